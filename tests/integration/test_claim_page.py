"""The claim page in a real browser: what a customer sees, does by mouse or keyboard, and what goes over
the wire meanwhile, and each of its states looked at."""

import contextlib
import re
import socket
import threading

import pytest

import claims
import rotations
from accessibility import fits, look
from daemon import request, wait_for
from nodes import Cluster

SETTINGS = ["product.name=Acme <Maps>", "product.support=help@acme.example", "node.trust_clock=yes",
            "product.endpoint=https://api.acme.example/v1", "listen.trusted_proxies=127.0.0.0/8"]
SHOWN = "(() => { const s = [...document.querySelectorAll('[data-state]')].find(e => !e.hidden);" \
        " return s ? s.dataset.state : ''; })()"
SECRET = "document.querySelector('[data-secret]').value"


@pytest.fixture(scope="module")
def cluster(build_directory):
    with Cluster(build_directory, "one", more=SETTINGS) as cluster:
        yield cluster


class Link:
    """A rotated key whose new secret waits behind a link."""

    def __init__(self, cluster):
        self.cluster, self.node = cluster, cluster.nodes[0]
        self.key, self.old = rotations.signup(self.node)
        for _ in range(2):
            rotations.make_due(cluster, self.key)
            rotations.run(self.node)
        self.again()

    def again(self):
        self.token = rotations.link(self.cluster, self.key, 1)
        self.address = f"http://{self.node.api}/claim#{self.token}"
        return self

    def secrets(self):
        return int(self.cluster.database.value(
            f"SELECT COUNT(*) FROM key_secret WHERE key_id = {claims.number_of(self.key)}"))

    def passes(self, secret):
        answer = wait_for(lambda: (a := self.node.gate(secret)).status != 503 and a, "a verdict")
        return answer.status == 200 and answer.headers["X-Key-Id"] == self.key


@pytest.fixture
def link(cluster):
    return Link(cluster)


def reach(page, state):
    page.until(f"{SHOWN} === '{state}'")


def all_is_ours(page, link):
    """Nothing went elsewhere, and no request but the reveal's body had the token."""
    for sent in page.requests:
        assert sent["url"].startswith(f"http://{link.node.api}/"), sent["url"]
        assert link.token not in sent["url"] and not sent["headers"].get("Referer")
    return [sent["method"] + " " + sent["url"].split(link.node.api)[1] for sent in page.requests]


def test_opening_reveals_nothing_and_a_click_reveals_once(browser, link):
    with browser.page() as page:
        page.open(link.address)
        reach(page, "start")
        sent = all_is_ours(page, link)
        assert {line.split()[0] for line in sent} == {"GET"} and "GET /claim" in sent
        assert link.secrets() == 1 and page.value(SECRET) == ""
        page.click("[data-do=reveal]")
        reach(page, "shown")
        secret = page.value(SECRET)
        assert len(secret) == 57 and link.passes(secret) and link.passes(link.old)
        assert link.secrets() == 2
        [reveal] = [line for line in all_is_ours(page, link) if line.startswith("POST")]
        assert reveal == "POST /v1/claims/reveal"
        text = page.text()
        for part in (link.key, "walked", "live", link.old[:10] + "...", "24 hours", "Acme <Maps>",
                     'curl -H "X-API-Key: $API_KEY"', "https://api.acme.example/v1", "not shown again"):
            assert part in text, part
        assert page.console == []
    for _ in range(2):
        with browser.page() as page:
            page.open(link.address)
            reach(page, "start")
            page.click("[data-do=reveal]")
            reach(page, "claim_used")
            assert "The link was used on" in page.text() and "help@acme.example" in page.text()
            assert page.value(SECRET) == ""
            assert [line for line in page.console if "409" not in line] == []
    assert link.secrets() == 2
    assert not any(part in link.node.log() for part in (link.token[10:], secret[10:]))


def test_shown_once_in_the_same_tab_too(browser, link):
    with browser.page() as page:
        page.open(link.address)
        reach(page, "start")
        page.click("[data-do=reveal]")
        reach(page, "shown")
        page.call("Page.reload")  # asks first: it was not copied
        reach(page, "start")
        assert page.dialogs == ["beforeunload"]
        page.click("[data-do=reveal]")
        reach(page, "claim_used")


def test_by_keyboard_alone(browser, link):
    browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    with browser.page() as page:
        browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
                     browserContextId=page.context)
        page.open(link.address)
        reach(page, "start")
        page.press("Tab")
        assert page.value("document.activeElement.dataset.do") == "reveal"
        page.press("Enter")
        reach(page, "shown")
        # A screen reader goes on at the new heading.
        assert page.value("document.activeElement.id") == "shown-title"
        page.press("Tab")
        assert page.value("document.activeElement.id") == "secret"
        assert page.value("document.activeElement.selectionEnd") == 57
        page.press("Tab")
        assert page.value("document.activeElement.dataset.do") == "copy"
        assert page.value("getComputedStyle(document.activeElement).outlineWidth") == "3px"
        page.press("Enter")
        page.until("document.querySelector('[data-copied]').textContent.startsWith('Copied')")
        assert page.value(f"navigator.clipboard.readText().then(text => text === {SECRET})")
        page.call("Page.reload")
        reach(page, "start")
        assert page.dialogs == []


def test_what_assistive_technology_is_told(browser, link):
    with browser.page() as page:
        page.open(link.address)
        reach(page, "start")
        page.click("[data-do=reveal]")
        reach(page, "shown")
        nodes = [(node["role"]["value"], node.get("name", {}).get("value", ""))
                 for node in page.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
        assert ("textbox", "Key") in nodes and ("button", "Copy") in nodes
        assert ("heading", "Your new API key") in nodes and ("main", "") in nodes
        assert not [role for role, name in nodes if role in ("button", "link", "textbox", "image") and not name]
        assert page.value("document.documentElement.lang") == "en"


class Cutting:
    """A proxy's bad hour: the answers of the first reveals are cut off, all else passes."""

    def __init__(self, address, cuts):
        self.to, self.cuts = address.rsplit(":", 1), cuts
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        with (contextlib.suppress(OSError), client,
              socket.create_connection((self.to[0], int(self.to[1]))) as server):
            threading.Thread(target=self.back, args=(client, server), daemon=True).start()
            while data := client.recv(65536):
                server.sendall(data)

    def back(self, client, server):
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if b'"secret":' in data and self.cuts:
                    self.cuts -= 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)


def test_a_lost_answer_is_asked_for_again(browser, link):
    """Cut so often that the browser gives up, then shown: the same secret, made once."""
    cutting = Cutting(link.node.api, 1000)
    with browser.page() as page:
        page.open(link.address.replace(link.node.api, cutting.address))
        reach(page, "start")
        page.click("[data-do=reveal]")

        def keys():
            page.value("0")  # lets events come in
            return [sent["headers"]["Idempotency-Key"] for sent in page.requests if sent["method"] == "POST"]
        wait_for(lambda: len(keys()) >= 2, "the second try")
        cutting.cuts = 0
        reach(page, "shown")
        assert link.passes(page.value(SECRET)) and link.secrets() == 2
        assert len(set(keys())) == 1 and re.fullmatch("[0-9a-f]{32}", keys()[0])
        assert page.value("sessionStorage.length") == 0
    cutting.server.close()


def test_a_lost_answer_survives_a_reload(browser, link):
    cutting = Cutting(link.node.api, 1000)
    with browser.page() as page:
        page.open(link.address.replace(link.node.api, cutting.address))
        reach(page, "start")
        page.click("[data-do=reveal]")
        wait_for(lambda: cutting.cuts < 1000, "the first cut")
        page.call("Page.reload")
        reach(page, "start")
        cutting.cuts = 0  # not before: the first page tries again by itself
        page.click("[data-do=reveal]")
        reach(page, "shown")
        assert link.passes(page.value(SECRET)) and link.secrets() == 2
    cutting.server.close()


def refused(browser, link, state, address=None, width=390):
    with browser.page(width) as page:
        page.open(address or link.address)
        if state != "claim_not_found" or address is None:
            reach(page, "start")
            page.click("[data-do=reveal]")
        reach(page, state)
        assert fits(page)
        assert page.value("document.activeElement.tagName") in ("H1", "BODY")
        assert page.value(SECRET) == "" and "help@acme.example" in page.text()
        return page.text()


def test_what_leads_nowhere_says_what_to_do(browser, link):
    refused(browser, link, "claim_not_found", f"http://{link.node.api}/claim")
    refused(browser, link, "claim_not_found", link.address[:-1])
    other = Link(link.cluster)
    link.cluster.database.sql(f"UPDATE claim SET ended_at = 1 WHERE key_id = {claims.number_of(link.key)}")
    assert "newer mail" in refused(browser, link, "claim_ended")
    other.node.must("POST", f"/v1/keys/{other.key}/revoke")
    refused(browser, other, "claim_ended")
    assert link.secrets() == 1
    # The last one: this address is throttled behind it.
    link.address = link.address.replace(link.token, claims.token())
    refused(browser, link, "claim_not_found")
    for _ in range(10):
        request(link.node.api, "POST", "/v1/claims/reveal", {"token": claims.token()})
    assert re.search("again\\s+in \\d+ seconds", refused(browser, link, "too_many_attempts"))


def test_without_scripts_it_says_so(browser, link):
    with browser.page(390, script=False) as page:
        page.call("Page.navigate", url=link.address)
        # Nothing can be evaluated there: its accessible text is looked at.
        def told():
            nodes = page.call("Accessibility.getFullAXTree")["nodes"]
            text = " ".join(node.get("name", {}).get("value", "") for node in nodes if not node["ignored"])
            return text if "needs JavaScript" in text else None
        text = wait_for(told, "the notice")
        assert "has not been used" in text and "Show my new key" not in text
    assert link.secrets() == 1


def test_every_state(browser, link, axe):
    with browser.page() as page:
        page.open(link.address)
        reach(page, "start")
        look(page, "claim-start", axe)
        # By a proxy's address: this one may be throttled by now.
        page.call("Network.setExtraHTTPHeaders", headers={"X-Forwarded-For": "192.0.2.9"})
        page.click("[data-do=reveal]")
        reach(page, "shown")
        look(page, "claim-shown", axe)
        states = page.value("[...document.querySelectorAll('[data-state]')].map(one => one.dataset.state)")
        for state in states:
            if state not in ("start", "shown"):
                page.value("document.querySelectorAll('[data-state]').forEach(one => { one.hidden = one.dataset.state !=="
                           f" '{state}'; }})")
                look(page, f"claim-{state}", axe)
        assert len(states) == 9
