"""Long work from the dashboard: a part for each press of a button, by itself with scripts, and nothing lost with a
browser that is closed meanwhile."""

import html
import re
import time

import pytest

from accessibility import look
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


def test_every_page(browser, node, stripe, payers, admin, axe):
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
