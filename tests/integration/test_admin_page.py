"""The dashboard in a real browser: an owner's way from the one-time link to a revoked key, with and without
JavaScript, by keyboard, in both colour schemes."""

import json
import re

import pytest

from accessibility import look, reach
from daemon import wait_for
from dashboard import PASSWORD, code, invite, joined, mailing


@pytest.fixture(scope="module")
def cluster(build_directory, tmp_path_factory):
    with mailing(build_directory, tmp_path_factory.mktemp("mail"), "product.name=Acme Maps") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def node(cluster):
    return cluster.nodes[0]


@pytest.fixture(scope="module")
def filled(cluster, node):
    """What a dashboard looks like after some weeks."""
    tier = node.tier("team", name="Team", monthly_quota=500, permissions=["csv_export", "user_info"])
    titles = ["Production", "Nightly export", "Staging", "Partner import", "CI"]
    keys = []
    for number, name in enumerate(["acme-maps", "blue-bikes", "civic-data", "delta-foods"]):
        made = node.must("POST", "/v1/signups", {
            "external_id": name, "email": f"it@{name}.example", "name": name.replace("-", " ").title(),
            "tier": tier["slug"], "key": {"title": titles[number], "permissions": ["csv_export"]}})
        keys.append((made["key"]["id"], made["secret"]))
        for _ in range(60 >> number):
            node.gate_until(made["secret"])
    node.must("POST", "/v1/keys", {"customer_id": "acme-maps", "title": "CI", "environment": "test"})
    node.must("POST", "/v1/verify", {"key": keys[0][1], "permissions": ["user_info"]})
    node.must("POST", f"/v1/keys/{keys[2][0]}/rotate", {})
    node.must("POST", f"/v1/keys/{keys[3][0]}/disable")
    return keys


def go(page, address):
    page.open(address)


def type_into(page, selector, text):
    page.value(f"document.querySelector({json.dumps(selector)}).focus()")
    page.value(f"document.querySelector({json.dumps(selector)}).select?.()")
    page.call("Input.insertText", text=text)


def send(page, selector, shows):
    """Clicks, and waits until the next page shows."""
    page.click(selector)
    page.until(f"document.readyState === 'complete' && document.body.innerText.includes({json.dumps(shows)})")


def all_is_ours(page, node):
    for sent in page.requests:  # the browser's own icons are data
        assert sent["url"].startswith("data:image/svg+xml") or sent["url"].startswith(f"http://{node.api}/"), sent["url"]


def signed_in(page, node, admin):
    """The session of somebody who joined without a browser."""
    [(name, value)] = admin.cookies.items()
    page.call("Network.setCookie", name=name, value=value, url=f"http://{node.api}/", httpOnly=True, sameSite="Lax")


def test_from_the_link_to_a_revoked_key(browser, cluster, node, filled):
    with browser.page() as page:
        go(page, invite(cluster))
        for field, text in (("name", "Ada Lovelace"), ("email", "ada@acme.example"), ("password", PASSWORD),
                            ("password_again", PASSWORD)):
            type_into(page, f"#{field}", text)
        send(page, "main button", "Overview")
        assert "acme-maps" in page.text() and "Acme Maps" in page.text()

        send(page, "nav a[href$='admin/keys']", "New key")
        send(page, "a.button.main", "Environment")
        type_into(page, "#customer", "acme-maps")
        type_into(page, "#title", "From the dashboard")
        page.click("input[value=csv_export]")
        send(page, ".buttons button", "only time")
        secret = page.value("document.querySelector('#secret').value")
        assert node.gate_until(secret).status == 200
        browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
                     browserContextId=page.context)
        page.click("[data-copy]")
        page.until("document.querySelector('[data-copied]').textContent === 'Copied.'")
        assert page.value(f"navigator.clipboard.readText().then(text => text === {json.dumps(secret)})")

        send(page, ".buttons a", "What to do with it")
        send(page, "section a.button", "Edit key")
        type_into(page, "#title", "Renamed")
        send(page, ".buttons button", "Saved.")
        page.click(".acts summary")  # rotate
        send(page, "details[open] form button", "only time")
        assert node.gate_until(secret).status == 200
        send(page, ".buttons a", "End the old secret")
        page.click("summary.danger")
        assert page.value("document.querySelector('[data-typed]').form.querySelector('button').disabled")
        type_into(page, "#typed", "Renamed")
        send(page, "details[open] button.bad", "for good")
        assert node.gate_until(secret).status == 401
        send(page, "nav a[href$='admin/audit']", "key.revoke")
        all_is_ours(page, node)
        assert page.console == []


def test_search_follows_what_is_typed(browser, cluster, node, filled):
    with browser.page() as page:
        signed_in(page, node, joined(cluster))
        go(page, f"http://{node.api}/admin/keys")
        type_into(page, "#q", "nightly")
        page.until("!document.body.innerText.includes('Production')")
        assert "Nightly export" in page.text() and page.value("location.search") == "?q=nightly"
        assert page.value("document.activeElement.id") == "q" and page.console == []
        all_is_ours(page, node)


def test_without_scripts(browser, cluster, node, filled):
    """Everything is forms and links."""
    with browser.page(390, 844, script=False) as page:
        signed_in(page, node, joined(cluster))
        page.call("Page.navigate", url=f"http://{node.api}/admin/keys?q=nightly")
        def told():
            nodes = page.call("Accessibility.getFullAXTree")["nodes"]
            text = " ".join(one.get("name", {}).get("value", "") for one in nodes if not one["ignored"])
            return text if "Nightly export" in text else None
        assert "Search" in wait_for(told, "the list")


def test_by_keyboard_alone(browser, cluster, node, filled):
    with browser.page() as page:
        signed_in(page, node, joined(cluster))
        go(page, f"http://{node.api}/admin/keys/{filled[1][0]}")
        page.press("Tab")
        assert page.value("document.activeElement.className") == "skip"
        page.press("Enter")
        assert page.value("location.hash") == "#main"
        reach(page, ".acts summary")
        assert page.value("document.activeElement.textContent") == "Rotate"
        page.press("Enter")
        page.until("document.querySelector('details[open] select') !== null")
        page.press("Tab")
        assert page.value("document.activeElement.id") == "grace"


PAGES = {"overview": "", "keys": "/keys", "keys found": "/keys?q=nightly&status=active", "key-new": "/keys/new?customer=acme-maps",
         "key": "/keys/{key}", "key rotating": "/keys/{rotating}", "key disabled": "/keys/{disabled}",
         "key-edit": "/keys/{key}/edit", "customers": "/customers", "customer": "/customers/{customer}",
         "tiers": "/tiers", "tier": "/tiers/team", "tier free": "/tiers/free", "rotations": "/rotations", "notifications": "/notifications",
         "alerts": "/alerts", "audit": "/audit", "tier-new": "/new-tier", "import": "/keys/import",
         "preview": "/mail-preview", "verified": "/audit/verify", "tokens": "/tokens", "admins": "/admins",
         "account": "/account", "settings": "/settings", "nowhere": "/nowhere", "no key": "/keys/key_0000000000000"}


def addresses(node, filled):
    """{name: address of a page that an owner sees}."""
    ids = {"key": filled[0][0], "rotating": filled[2][0], "disabled": filled[3][0],
           "customer": node.must("GET", "/v1/customers/acme-maps")["id"]}
    return {name: f"http://{node.api}/admin{path.format(**ids)}" for name, path in PAGES.items()}


def every_page(page, cluster, node, filled):
    """Yields the name of each page when it is shown: those of strangers, then an owner's, refused forms and
    secrets that are shown once among them."""
    host = f"http://{node.api}/admin"
    go(page, f"{host}/sign-in")
    yield "sign-in"
    type_into(page, "#email", "nobody@ops.example")
    type_into(page, "#password", "not the right one")
    page.click("main button")
    page.until("!!document.querySelector('[role=alert]')")
    yield "sign-in refused"
    go(page, invite(cluster, "auditor"))
    yield "join"
    go(page, f"{host}/join/nothing")
    yield "no link"
    admin = joined(cluster)
    account = admin.get("/admin/account")
    secret = re.search(r'name="totp_secret"[^>]*value="([A-Z2-7]{32})"', account.body)[1]
    admin.post("/admin/account/code-on", {"totp_secret": secret, "code": code(secret)}, of=account)
    go(page, f"{host}/sign-in")
    type_into(page, "#email", admin.email)
    type_into(page, "#password", PASSWORD)
    page.click("main button")
    page.until("!!document.querySelector('#code')")
    yield "code"
    signed_in(page, node, joined(cluster, name="Ada Lovelace"))  # who has none yet
    for name, address in addresses(node, filled).items():
        go(page, address)
        yield name
    go(page, f"{host}/keys/new")
    type_into(page, "#customer", "no-such-customer")
    page.click(".buttons button")
    page.until("!!document.querySelector('.wrong, [role=alert]')")
    yield "key-new refused"
    go(page, f"{host}/tiers/team")
    type_into(page, "#max_keys", "many")
    page.click(".buttons button")
    page.until("!!document.querySelector('.wrong')")
    yield "tier refused"
    go(page, f"{host}/keys/new?customer=acme-maps")
    page.click(".buttons button")
    page.until("!!document.querySelector('#secret')")
    yield "secret"
    go(page, addresses(node, filled)["customer"])
    page.value("document.querySelector('form[action$=portal-link]').closest('details').open = true")
    page.click("form[action$=portal-link] button")
    page.until("!!document.querySelector('#secret')")
    yield "portal-link"
    go(page, f"{host}/keys/import")
    type_into(page, "#lines", f"acme-maps, {'ab' * 32}, sk_old_, Old\nnobody")
    page.value("document.querySelector('form[data-pieces]').submit()")  # as without scripts
    page.until("!!document.querySelector('[data-lines] tr')")
    yield "imported"
    go(page, f"{host}/admins")
    page.value("document.querySelector('form[action$=invite]').closest('details').open = true")
    page.click("form[action$=invite] button")
    page.until("!!document.querySelector('#secret')")
    yield "link"


def test_every_page(browser, cluster, node, filled, axe):
    seen = []
    with browser.page() as page:
        for name in every_page(page, cluster, node, filled):
            seen.append(name)
            look(page, f"admin-{name}", axe)
    assert len(set(seen)) == len(PAGES) + 11
