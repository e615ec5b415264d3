"""Long work from the dashboard: a part for each press of a button, by itself with scripts, and nothing lost with a
browser that is closed meanwhile."""

import html
import re
import time

import pytest

import mails
from accessibility import look
from claims import number_of
from daemon import wait_for
from dashboard import joined
from nodes import Cluster
from stripe_stand_in import StripeStandIn
from test_admin_page import go, signed_in
from test_stripe import price_tiers, settings_of
from test_webhooks import customer, settled

RECONCILE = "/admin/reconcile"
PAYERS, PART = 7, 6  # three seconds' readings are a part


@pytest.fixture(scope="module")
def stripe():
    with StripeStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def cluster(build_directory, stripe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mail")
    paid = settings_of(stripe, tmp_path_factory.mktemp("payments"), f"payment.reads_per_second={PART // 3}",
                       "payment.reconcile=24h")
    with Cluster(build_directory, "one", more=[*paid, f"mail.url=maildir:{folder}", "mail.from=keys@acme.example",
                                               "product.name=Acme Maps", "node.trust_clock=yes"]) as cluster:
        price_tiers(cluster.nodes[0])
        yield cluster


@pytest.fixture(scope="module")
def node(cluster):
    return cluster.nodes[0]


@pytest.fixture(scope="module")
def admin(cluster):
    return joined(cluster, "admin", name="Ada Lovelace")


@pytest.fixture(scope="module")
def payers(node, stripe):
    made = [customer(node, stripe) for _ in range(PAYERS)]
    for _, _, sub in made:
        settled(stripe, sub)
    return made


def press(admin, page, button, **fields):
    """The form of that button, with what it holds."""
    form = next(one for one in re.findall(r'(?s)<form method="post".*?</form>', page.body) if f">{button}</button>" in one)
    to = html.unescape(re.search(r'action="([^"]*)"', form)[1])
    held = {name: html.unescape(value) for name, value in
            re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)}
    return admin.follow(admin.send("POST", page.path.split("?")[0] + to, {**held, **fields}))


def lapse(stripe, sub):
    """Without a word of it."""
    stripe.change(sub, "canceled", invoice="paid")
    stripe.subscriptions[sub["id"]]["items"]["data"][0]["current_period_end"] = int(time.time()) - 1


# ---- reconciling ----

def test_a_part_for_each_press(node, stripe, payers, admin):
    assert "admin/reconcile" in admin.get("/admin/customers").body
    path, secret, sub = payers[2]
    name = node.must("GET", path)["external_id"]
    lapse(stripe, sub)
    begin = admin.get(RECONCILE)
    assert f"about {PAYERS} customers" in begin.text and "at most 2 a second" in begin.text
    assert admin.send("POST", RECONCILE, {"heal": "yes"}).status == 403  # without the form's token
    part = press(admin, begin, "Begin", heal="no")
    assert part.status == 200 and f"{PART} of about {PAYERS} read, 1 differs" in part.text, part
    assert f"{name} pro, active (active) → pro, suspended (canceled)" in part.text
    again = admin.get(part.path.split("?")[0] + html.unescape(re.search(r'action="(\?[^"]*cursor[^"]*)"', part.body)[1]))
    assert f"{PART} of about {PAYERS} read, 1 differs" in again.text and "1 more were told before" in again.text
    for page in (part, again):
        end = press(admin, page, "Continue")
        assert f"Done: {PAYERS} read, 1 differs" in end.text and "Nothing was changed" in end.text, end
        assert (name in end.text) == (page is part)
    assert node.must("GET", path)["status"] == "active" and node.gate_until(secret).status == 200

    healing = press(admin, end, "Heal what differs")
    assert f"{PART} of about {PAYERS} read, 1 healed" in healing.text, healing
    assert node.gate_until(secret).status == 403
    end = press(admin, healing, "Continue")
    assert f"Done: {PAYERS} read, 1 healed" in end.text and name in end.text and "Heal what differs" not in end.text
    [row] = node.must("GET", f"/v1/audit?action=customer.entitlement&subject={path.split('/')[-1]}")["data"]
    assert row["detail"]["after"]["status"] == "suspended"


def test_what_the_address_and_the_form_say_of_before_is_only_shown(admin, payers):
    begin = admin.get(f"{RECONCILE}?at=x&of=-1&cursor=nonsense&changed=%3Cb%3E&told=99999999999999999999")
    assert begin.status == 200 and "Begin" in begin.text and f"about {PAYERS} customers" in begin.text
    kept = '[["cus_0000000000001", "<b>bold</b>", "x", true], ["key_0000000000001", "no", "x", true], 7, ["a"]]'
    last = "cur_" + payers[-1][0][-13:]
    for sent in (kept, "[", "{}", '"x"', ""):
        page = admin.post(f"{RECONCILE}?cursor={last}&at=1&of=2", {"kept": sent}, of=begin)
        assert page.status == 200 and "Done: 1 read" in page.text and "<b>bold" not in page.body, page
        assert ("cus_0000000000001" in page.body) == (sent == kept) and "key_0000000000001" not in page.body


def test_it_goes_on_by_itself_and_again_where_it_stopped(browser, node, stripe, payers, admin):
    with browser.page() as page:
        signed_in(page, node, admin)
        go(page, f"http://{node.api}{RECONCILE}")
        page.value("window.seen = []; new MutationObserver(() => seen.push(document.getElementById('progress').value))"
                   ".observe(document.getElementById('progress'), {attributes: true})")
        page.click("#work button")
        page.until("!document.querySelector('[data-pause]').hidden")
        assert page.value("document.activeElement.matches('[data-pause]')")
        page.click("[data-pause]")
        page.until(f"document.querySelector('[data-told]').textContent.startsWith('{PART} of about {PAYERS} read')")
        page.until("document.activeElement.textContent === 'Continue'")
        address = page.value("location.href")
    with browser.page() as page:
        signed_in(page, node, admin)
        go(page, address)
        assert f"{PART} of about {PAYERS} read" in page.text()
        page.click("#work button.main")
        page.until("document.querySelector('[data-told]').textContent.startsWith('Done')")
        assert page.value("document.querySelector('[data-told]').textContent") == f"Done: {PAYERS} read, none differs."
        assert page.value("location.search") == "" and page.value("document.activeElement.matches('[data-end]')")
        go(page, f"http://{node.api}{RECONCILE}")
        page.value("window.seen = []; new MutationObserver(() => seen.push(document.getElementById('progress').value))"
                   ".observe(document.getElementById('progress'), {attributes: true})")
        page.click("#work button")
        page.until("document.querySelector('[data-told]').textContent.startsWith('Done')")
        assert page.value(f"seen.includes({PART})") and page.value("document.getElementById('progress').value") == PAYERS
        assert page.console == []


# ---- rotating several keys ----

ROTATE, LOT, ROTATED_AT_ONCE = "/admin/keys/rotate", 26, 25


def posted(cluster):
    """Mails of rotations so far."""
    return int(cluster.database.value("SELECT COUNT(*) FROM outbox WHERE kind = 'rotated'"))


def a_second_later():
    """Times have whole seconds, and what is as young as the beginning is left."""
    now = int(time.time())
    wait_for(lambda: int(time.time()) > now, "the next second")


@pytest.fixture(scope="module")
def lot(node):
    """A customer's keys whose secrets go by links."""
    node.tier("roomy", max_keys=1000)
    name = node.signup("roomy")["customer"]["id"]
    return name, [node.must("POST", "/v1/keys", {"customer_id": name, "title": f"bulk {n}"}) for n in range(LOT)]


def test_keys_are_rotated_a_part_for_each_press(cluster, node, admin, lot):
    with mails.Gpg() as gpg:
        sealed = node.signup("roomy", openpgp_key=gpg.public, key={"title": "bulk sealed"})
    hidden = node.signup("roomy", key={"title": "bulk without an address"})
    cluster.database.sql(f"UPDATE customer SET email_sealed = NULL WHERE id = {number_of(hidden['customer']['id'])}")
    waiting = node.must("POST", "/v1/keys", {"customer_id": lot[0], "title": "bulk waiting", "deliver": "email"})
    off = node.must("POST", "/v1/keys", {"customer_id": lot[0], "title": "bulk off"})
    node.must("POST", f"/v1/keys/{off['id']}/disable")
    a_second_later()
    before, many = posted(cluster), LOT + 2

    listed = admin.get("/admin/keys?q=bulk")
    begin = admin.get("/" + html.unescape(re.search(r'href="[./]*(admin/keys/rotate\?[^"]*)"', listed.body)[1]))
    assert f"about {many} keys" in begin.text and "with bulk in their title" in begin.text, begin
    unsure = press(admin, begin, "Rotate", grace="3600")
    assert unsure.status == 422 and "The box has to be ticked" in unsure.text and posted(cluster) == before
    part = press(admin, begin, "Rotate", grace="3600", sure="yes")
    assert f"{ROTATED_AT_ONCE} of about {many} keys" in part.text, part
    assert "Old secrets die in 1 hour" in part.text and posted(cluster) == before + ROTATED_AT_ONCE

    # The browser was closed; somebody else opens what it had. The box is to be ticked again.
    other = joined(cluster, "admin")
    left = re.search(r'action="(\?[^"]*cursor[^"]*)"', part.body)[1]
    resumed = other.get(ROTATE + html.unescape(left))
    assert f"{ROTATED_AT_ONCE} of about {many} keys" in resumed.text and press(other, resumed, "Continue").status == 422
    end = press(other, resumed, "Continue", sure="yes")
    assert f"Done: {many} keys, 1 failed." in end.text and f"{LOT + 1} rotated" in end.text, end
    assert "bulk without an address" in end.text and "needs an address" in end.text
    assert posted(cluster) == before + LOT + 1

    # And now the first one sends again what it has shown: nothing is done twice, by whomever.
    address = html.unescape(re.search(r'<form method="post" action="(\?[^"]*)" class="formed"', begin.body)[1])
    for who, page in ((admin, begin), (admin, part), (other, other.get(ROTATE + address))):
        again = press(who, page, "Continue" if page is part else "Rotate", grace="3600", sure="yes")
        assert again.status == 200 and posted(cluster) == before + LOT + 1, again
    assert f"{ROTATED_AT_ONCE} of about" in again.text and "Continue" in again.text
    again = press(other, again, "Continue")
    assert "No key was rotated" in again.text and f"{LOT} left as they are" in again.text, again
    assert posted(cluster) == before + LOT + 1
    shown = node.must("GET", f"/v1/keys/{sealed['key']['id']}")
    assert shown["status"] == "rotating" and len(shown["secrets"]) == 2 and node.gate_until(sealed["secret"]).status == 200
    assert len(node.must("GET", f"/v1/keys/{off['id']}")["secrets"]) == 1 and waiting["start"] is None
    row = node.must("GET", f"/v1/audit?action=key.rotate&subject={lot[1][0]['id']}")["data"][0]
    assert row["actor"].startswith("adm_")
    assert not re.search(r"km_live_[0-9A-Za-z]{49}", part.body + end.body)


def test_young_secrets_are_left_and_an_unknown_customer_has_none(admin, lot):
    page = admin.get(f"{ROTATE}?customer_id={lot[0]}&age=86400")
    assert "No key fits" in page.text and ">Rotate</button>" not in page.body
    assert "No key fits" in admin.get(f"{ROTATE}?customer_id=nobody").text
    wrong = admin.get(f"{ROTATE}?customer_id=a%20b")
    assert wrong.status == 422 and "must be an id" in wrong.text
    assert admin.send("POST", f"{ROTATE}?before=2020-01-01T00:00:00Z", {"sure": "yes", "grace": "0"}).status == 403


def test_rotating_goes_on_by_itself(browser, cluster, node, admin, lot):
    a_second_later()
    before = posted(cluster)
    with browser.page() as page:
        signed_in(page, node, admin)
        go(page, f"http://{node.api}/admin/customers/{lot[0]}")
        page.click("a[href*='keys/rotate']")
        page.until("document.readyState === 'complete' && !!document.querySelector('input[name=sure]')")
        page.click("#work .main")  # the browser asks for the tick first
        assert page.value("document.querySelector('[data-progress]').hidden")
        page.click("input[name=sure]")
        page.click("#work .main")
        page.until("document.querySelector('[data-told]').textContent.startsWith('Done')")
        told = page.value("document.querySelector('[data-told]').textContent")
        assert told == f"Done: {LOT + 1} keys." and f"{LOT + 1} rotated" in page.text()  # one is of the sign-up
        assert page.value("location.search") == "" and page.console == []
    assert posted(cluster) == before + LOT + 1


# ---- what it looks like ----

def every_page(page, node):
    """Yields the name of each page of long work when it is shown, as without scripts."""
    def by_hand(button, shows):
        page.value("[...document.querySelectorAll('#work form')].find(form =>"
                   f" form.querySelector('button').textContent === '{button}').submit()")
        page.until(f"document.readyState === 'complete' && document.body.innerText.includes('{shows}')")

    go(page, f"http://{node.api}{RECONCILE}")
    yield "reconcile"
    by_hand("Begin", "Continue")
    yield "reconcile part"
    by_hand("Continue", "Once more")
    yield "reconciled"
    a_second_later()
    go(page, f"http://{node.api}{ROTATE}?q=bulk")
    yield "rotate"
    page.click("input[name=sure]")
    by_hand("Rotate", "Continue")
    yield "rotate part"
    by_hand("Continue", "Keys with two secrets")
    yield "rotated"


def test_every_page(browser, node, stripe, payers, lot, admin, axe):
    for _, _, sub in payers[3:5]:
        lapse(stripe, sub)
    with browser.page() as page:
        signed_in(page, node, admin)
        for name in every_page(page, node):
            look(page, f"admin-{name}", axe)


# ---- behind all else: a provider that failed is left alone for a while ----

def test_who_could_not_be_read_is_told(stripe, payers, admin):
    stripe.fault = 500
    try:
        part = press(admin, admin.get(RECONCILE), "Begin", heal="yes")
    finally:
        stripe.fault = None
    assert f"{PART} of about {PAYERS} read, none differs, {PART} could not be read" in part.text, part
    assert part.body.count("could not be read</span>") == PART
    end = press(admin, part, "Continue")
    assert "did not answer" in end.text and end.body.count("could not be read</span>") >= PART
