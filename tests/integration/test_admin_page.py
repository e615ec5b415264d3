"""The dashboard in a real browser: an owner's way from the one-time link to a revoked key, with and without
JavaScript, by keyboard, in both colour schemes. KEYMETER_SCREENSHOTS names a folder for pictures."""

import json
import os
import re

import pytest

from daemon import wait_for
from dashboard import PASSWORD, invite, joined
from nodes import Cluster


@pytest.fixture(scope="module")
def cluster(build_directory, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mail")
    with Cluster(build_directory, "one", more=[f"mail.url=maildir:{folder}", "mail.from=keys@acme.example",
                                               "product.name=Acme Maps", "node.trust_clock=yes"]) as cluster:
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


def picture(page, name):
    assert page.value("document.documentElement.scrollWidth") <= page.width, name
    if page.width < 600:  # rows stand as cards there, nothing is beside what can be seen
        assert page.value("[...document.querySelectorAll('.stack')].every("
                          "one => one.offsetWidth <= one.parentElement.clientWidth)"), name
    folder = os.environ.get("KEYMETER_SCREENSHOTS")
    if folder:
        page.screenshot(f"{folder}/{name}.png")


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
        for _ in range(40):
            page.press("Tab")
            if page.value("document.activeElement.textContent") == "Rotate":
                break
        assert page.value("getComputedStyle(document.activeElement).outlineWidth") == "3px"
        page.press("Enter")
        page.until("document.querySelector('details[open] select') !== null")
        page.press("Tab")
        assert page.value("document.activeElement.id") == "grace"


def test_what_assistive_technology_is_told(browser, cluster, node, filled):
    admin = joined(cluster)
    for path in ("", "/keys", "/keys/new", f"/keys/{filled[0][0]}", "/customers", "/tiers/free", "/admins", "/account",
                 "/tokens", "/audit", "/notifications", "/alerts", "/rotations", "/settings"):
        with browser.page() as page:
            signed_in(page, node, admin)
            go(page, f"http://{node.api}/admin{path}")
            nodes = [(one["role"]["value"], one.get("name", {}).get("value", ""))
                     for one in page.call("Accessibility.getFullAXTree")["nodes"] if not one["ignored"]]
            assert ("main", "") in nodes and ("navigation", "Dashboard") in nodes, path
            unnamed = [role for role, name in nodes if not name and role in (
                "button", "link", "textbox", "combobox", "checkbox", "radio", "image", "searchbox")]
            assert not unnamed, (path, unnamed)
            assert page.value("document.querySelectorAll('h1').length") == 1
            assert page.value("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
                              " === document.querySelectorAll('[id]').length"), path
            assert page.console == [], (path, page.console)
            size = page.value("performance.getEntriesByType('navigation')[0].decodedBodySize + performance"
                              ".getEntriesByType('resource').reduce((sum, one) => sum + one.decodedBodySize, 0)")
            assert size < 100000, (path, size)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits(browser, cluster, node, filled, width, dark):
    admin = joined(cluster, name="Ada Lovelace")
    suffix = f"{width}-{'dark' if dark else 'light'}"
    pages = {"overview": "", "keys": "/keys", "key": f"/keys/{filled[0][0]}", "key-new": "/keys/new?customer=acme-maps",
             "customers": "/customers", "tiers": "/tiers", "tier": "/tiers/team", "rotations": "/rotations",
             "notifications": "/notifications", "alerts": "/alerts", "audit": "/audit", "tokens": "/tokens",
             "admins": "/admins", "account": "/account", "settings": "/settings"}
    customer = node.must("GET", "/v1/customers/acme-maps")["id"]
    pages["customer"] = f"/customers/{customer}"
    with browser.page(width, 844 if width == 390 else 900, dark) as page:
        go(page, f"http://{node.api}/admin/sign-in")
        picture(page, f"admin-sign-in-{suffix}")
        go(page, invite(cluster))
        picture(page, f"admin-join-{suffix}")
        signed_in(page, node, admin)
        for name, path in pages.items():
            go(page, f"http://{node.api}/admin{path}")
            picture(page, f"admin-{name}-{suffix}")
        colour = page.value("getComputedStyle(document.body).backgroundColor")
        assert (int(re.search(r"\d+", colour)[0]) < 64) == dark
