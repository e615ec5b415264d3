"""The customer portal in a real browser: walked with and without scripts, by keyboard alone, and each of its
pages looked at."""

import json
import re
import secrets
import shutil
import subprocess
import time

import pytest

import claims
import portals
from accessibility import look, reach
from browser import Refused
from daemon import free_port, request, wait_for
from nodes import Cluster

DAY_MS = 86400000
LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="#0f766e"/>
<path d="M6 17l6-11 6 11z" fill="#fff"/></svg>"""


@pytest.fixture(scope="module")
def cluster(build_directory, tmp_path_factory):
    logo = tmp_path_factory.mktemp("brand") / "logo.svg"
    logo.write_text(LOGO)
    public = f"127.0.0.1:{free_port()}"
    gateway = "http://127.0.0.1:1/v1/gateway"
    settings = ["product.name=Acme Maps", "product.support=help@acme.example", "node.trust_clock=yes",
                f"product.logo_file={logo}", "product.colour=#0f766e", "product.colour_dark=#5eead4",
                "product.documentation_url=https://acme.example/docs", f"product.endpoint={gateway}",
                f"listen.public={public}"]
    with Cluster(build_directory, "one", more=settings) as cluster:
        cluster.public = public
        node = cluster.nodes[0]
        tier = node.must("GET", "/v1/tiers/free")
        node.must("PUT", "/v1/tiers/team", {**tier, "slug": "team", "name": "Team", "max_keys": 8,
                                            "monthly_quota": 100000})
        yield cluster


@pytest.fixture
def node(cluster):
    return cluster.nodes[0]


class Account:
    def __init__(self, cluster, title="Production server", **more):
        self.cluster, self.node = cluster, cluster.nodes[0]
        made = self.node.signup("team", name=more.pop("name", "Globex Corporation"), key={"title": title, **more})
        self.id, self.key, self.secret = made["customer"]["id"], made["key"]["id"], made["secret"]

    def link(self):
        return f"http://{self.cluster.public}{portals.link(self.node, self.id)}"

    def another(self, title, **more):
        return self.node.must("POST", "/v1/keys", {"customer_id": self.id, "title": title, **more})

    def used(self):
        """Thirty days of calls, and of this month what they come to."""
        today = int(time.time() * 1000) // DAY_MS * DAY_MS
        customer, key = claims.number_of(self.id), claims.number_of(self.key)
        start = self.node.must("GET", f"/v1/customers/{self.id}")["quota"]["period_start"]
        rows = ", ".join(
            f"({key}, {today - day * DAY_MS}, {customer}, 0, {1900 + 260 * ((day * 7) % 11)},"
            f" {1900 + 260 * ((day * 7) % 11)}, {(day % 9 == 0) * 130}, {(day % 4 == 0) * 90}, 0)"
            for day in range(30))
        self.cluster.database.sql(
            "INSERT INTO usage_hour (key_id, hour, customer_id, period_start, units, allowed, denied_quota,"
            f" denied_rate, denied_other) VALUES {rows} ON DUPLICATE KEY UPDATE units = units;"
            f"INSERT INTO budget (kind, subject, period_start, used) VALUES (1, {customer},"
            f" UNIX_TIMESTAMP('{start[:10]}') * 1000, 91240) ON DUPLICATE KEY UPDATE used = 91240")
        return self


@pytest.fixture
def account(cluster):
    return Account(cluster)


def at(page, path, more="true"):
    page.until(f"location.pathname === {json.dumps(path)} && document.readyState === 'complete' && {more}")


def go_in(page, account):
    page.open(account.link())
    page.click("button.main")
    page.until("location.pathname.startsWith('/portal') && !!document.querySelector('nav')")


def ours_alone(page, cluster):
    for sent in page.requests:
        assert sent["url"].startswith(f"http://{cluster.public}/"), sent["url"]
    assert page.console == []


def test_from_the_link_to_a_new_secret(browser, cluster, account):
    with browser.page() as page:
        go_in(page, account)
        at(page, "/portal/welcome")
        page.click("main .buttons a.main")
        at(page, "/portal")
        assert "Globex Corporation" in page.text() and account.secret[:10] in page.text()
        page.click(f"a[href$='{account.key}']")
        at(page, f"/portal/keys/{account.key}")
        page.click("a[href$=regenerate]")
        at(page, f"/portal/keys/{account.key}/regenerate")
        page.click("button.bad")
        page.until("!!document.querySelector('[data-secret]')")
        secret = page.value("document.querySelector('[data-secret]').value")
        assert account.node.gate_until(secret).status == 200
        assert account.node.gate_until(account.secret).status == 401
        assert page.value("document.querySelectorAll('[data-sample]').length") == 5
        assert page.value("[...document.querySelectorAll('[data-sample]')].every(s => s.textContent.includes("
                          + json.dumps(secret) + "))")
        page.call("Page.reload")  # asks first: it was not copied
        at(page, f"/portal/keys/{account.key}", "!document.querySelector('[data-secret]')")
        assert page.dialogs == ["beforeunload"]
        assert secret not in page.value("document.documentElement.outerHTML")
        for _ in range(2):
            page.value("history.back()")
            page.until("document.readyState === 'complete'")
        page.value("history.forward()")
        page.until("document.readyState === 'complete'")
        assert secret not in page.value("document.documentElement.outerHTML")
        assert account.node.gate_until(secret).status == 200
        ours_alone(page, cluster)


def test_a_click_spares_the_button(browser, cluster, account):
    """Behind a link on a page of another site; the address itself, as a scanner opens it, changes nothing."""
    with browser.page() as page:
        link = account.link()
        for _ in range(2):
            page.open(link)
            page.until("!!document.querySelector('button.main')")
        assert {sent["method"] for sent in page.requests} == {"GET"}
        page.open("data:text/html," + f"<a href='{link}'>My keys</a>")
        page.click("a")
        page.until("!!document.querySelector('nav')")
        assert page.console == []


def test_pressed_twice(browser, account):
    with browser.page() as page:
        page.open(account.link())
        link = page.value("location.href")
        page.click("button.main")
        page.until("!!document.querySelector('nav')")
        page.open(link)
        page.until("document.querySelector('h1').textContent === 'This link cannot be opened'")


def test_the_cookie_that_a_browser_keeps(browser, account):
    with browser.page() as page:
        go_in(page, account)
        [cookie] = page.call("Network.getCookies")["cookies"]
        assert cookie["name"] == "km_portal" and cookie["httpOnly"] and cookie["sameSite"] == "Lax"
        assert not cookie["secure"] and page.value("document.cookie") == ""
        # What docs/decisions/0008-portal-link.md says of the other one.
        for name in ("__Host-other", "other"):
            page.value(f"document.cookie = '{name}=1; Secure; Path=/'")
        assert page.value("document.cookie") == "__Host-other=1; other=1"


class Silent:
    """A page without scripts, where nothing can be evaluated: its document is looked at from outside."""

    def __init__(self, page):
        self.page = page

    def root(self):
        return self.page.call("DOM.getDocument", depth=0)["root"]["nodeId"]

    def html(self):
        return self.page.call("DOM.getOuterHTML", nodeId=self.root())["outerHTML"]

    def path(self):
        history = self.page.call("Page.getNavigationHistory")
        return re.sub("^https?://[^/]*", "", history["entries"][history["currentIndex"]]["url"])

    def until(self, text):
        def seen():
            try:
                html = self.html()
            except Refused:  # between two documents
                return None
            return html if text in html else None
        return wait_for(seen, text)

    def press(self, selector):
        node = self.page.call("DOM.querySelector", nodeId=self.root(), selector=selector)["nodeId"]
        assert node, selector
        self.page.call("DOM.focus", nodeId=node)
        self.page.press("Enter")

    def type(self, selector, text):
        node = self.page.call("DOM.querySelector", nodeId=self.root(), selector=selector)["nodeId"]
        self.page.call("DOM.focus", nodeId=node)
        self.page.call("Input.insertText", text=text)


def test_without_scripts(browser, cluster, account):
    """All of it: in, another key, a rotation, its end, disabling, and out."""
    with browser.page(390, script=False) as page:
        silent = Silent(page)
        page.call("Page.navigate", url=account.link())
        silent.until("Open my API keys")
        silent.press("button.main")
        silent.until("Welcome to Acme Maps")
        silent.press("main .buttons a.main")
        silent.until("Globex Corporation")
        silent.press("a[href$=new-key]")
        silent.until("Create and show the key")
        silent.type("#title", "By hand")
        silent.press("button.main")
        html = silent.until("It is not shown again")
        secret = re.search(r"data-secret(?:=\"\")?>([^<]*)<", html)[1]
        assert account.node.gate_until(secret).status == 200
        page.call("Page.reload")  # sends the form again
        html = silent.until("This was done already")
        assert secret not in html
        keys = account.node.must("GET", f"/v1/keys?customer_id={account.id}")["data"]
        assert [key["title"] for key in keys] == ["By hand", "Production server"]
        page.call("Page.navigate", url=f"http://{cluster.public}/portal/keys/{account.key}")
        silent.until("How to use it")
        silent.press("a[href$=rotate]")
        silent.until("Rotate and show the secret")
        silent.press("button.main")
        silent.until("It is not shown again")
        silent.press(".buttons a.plain")
        silent.until("Two secrets work")
        silent.press("a[href$=end-overlap]")
        silent.until("End the old secret now?")
        silent.press("button.bad")
        silent.until("The old secret has ended")
        silent.press("a[href$=disable]")
        silent.until("Disable this key?")
        silent.press("button.bad")
        silent.until("The key is disabled")
        silent.press("button.link")
        silent.until("You are signed out")
        page.call("Page.navigate", url=f"http://{cluster.public}/portal")
        silent.until("Your visit has ended")


def test_by_keyboard_alone(browser, account):
    with browser.page() as page:
        page.open(account.link())
        page.press("Tab")
        page.press("Enter")
        page.until("!!document.querySelector('nav')")
        page.call("Page.navigate", url=page.value("location.href").replace("/welcome", ""))
        at(page, "/portal")
        reach(page, ".skip")
        reach(page, f"a[href$='{account.key}']")
        page.press("Enter")
        at(page, f"/portal/keys/{account.key}")
        reach(page, "a[href$=rotate]")
        page.press("Enter")
        at(page, f"/portal/keys/{account.key}/rotate")
        reach(page, "#hours")
        reach(page, "button.main")
        page.press("Enter")
        page.until("!!document.querySelector('[data-secret]')")
        reach(page, "#secret")
        assert page.value("document.activeElement.selectionEnd") == 57
        reach(page, "[data-copy]")


def test_a_sample_runs_as_it_is_shown(browser, cluster, account):
    """Against the gateway, in the languages that are installed here."""
    with browser.page() as page:
        go_in(page, account)
        page.open(f"http://{cluster.public}/portal/keys/{account.key}/regenerate")
        page.click("button.bad")
        page.until("!!document.querySelector('[data-secret]')")
        samples = page.value("Object.fromEntries([...document.querySelectorAll('[data-sample]')]"
                             ".map(s => [s.dataset.sample, s.textContent]))")
        page.value("document.querySelector('[data-secret]').dispatchEvent(new Event('copy'))")
    gateway = f"http://{account.node.gateway}/v1/gateway"
    run = {"curl": ["bash", "-c"], "python": ["python3", "-c"], "javascript": ["node", "--input-type=module", "-e"]}
    for language, command in run.items():
        if not shutil.which(command[0]):
            continue
        code = samples[language].replace("http://127.0.0.1:1/v1/gateway", gateway)
        if language == "curl":
            code = code.replace("curl ", "curl -sS -o /dev/null -w '%{http_code}' ", 1)
        done = subprocess.run([*command, code], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and "200" in done.stdout, (language, done.stderr[-300:])


SHOWN = {"welcome": "/portal/welcome", "overview": "/portal", "key": "/portal/keys/{key}",
         "confirm": "/portal/keys/{key}/regenerate", "new-key": "/portal/new-key",
         "encryption": "/portal/encryption", "notices": "/portal/notices"}


def every_page(page, cluster, account):
    """Yields the name of each page of a visit, from the link to the end, when it is shown."""
    host = f"http://{cluster.public}"
    page.open(account.link())
    yield "open"
    link = page.value("location.href")
    page.click("button.main")
    page.until("!!document.querySelector('nav')")
    off, claimed = (account.another(title)["id"] for title in ("Old importer", "Unclaimed"))
    account.node.must("POST", f"/v1/keys/{off}/disable")
    account.node.must("POST", f"/v1/keys/{account.key}/rotate", {})
    verbs = {"edit": claimed, "rotate": claimed, "end-overlap": account.key, "disable": account.key, "enable": off, "revoke": off}
    for name, path in {**SHOWN, **{verb: f"/portal/keys/{key}/{verb}" for verb, key in verbs.items()},
                       "disabled": f"/portal/keys/{off}", "nothing": "/portal/keys/key_0000000000000",
                       "nowhere": "/portal/nowhere"}.items():
        page.open(host + path.format(key=account.key))
        yield name
    page.open(f"{host}/portal/new-key")
    page.value("document.getElementById('title').value = ' '")
    page.value("document.getElementById('expires_at').value = '2020-01-01'")
    page.click("button.main")
    page.until("!!document.querySelector('.wrong')")
    yield "new-key refused"
    page.open(f"{host}/portal/keys/{off}/regenerate")
    number = page.value("document.querySelector('[name=form]').value")
    page.click("button.bad")
    page.until("!!document.querySelector('[data-secret]')")
    yield "reveal"
    page.value("document.querySelector('[data-secret]').dispatchEvent(new Event('copy'))")
    page.open(f"{host}/portal/keys/{off}/regenerate")
    page.value(f"document.querySelector('[name=form]').value = '{number}'")
    page.click("button.bad")
    page.until("document.querySelector('h1')?.textContent === 'This was done already'")
    yield "done already"
    page.open(link)
    yield "opened before"
    page.open(f"{host}/portal/open/km_portal_x")
    yield "no link"
    page.open(f"{host}/portal")
    page.click("form[action$=sign-out] button")
    page.until("document.querySelector('h1')?.textContent.includes('signed out')")
    yield "signed out"
    page.open(f"{host}/portal")
    yield "ended"


def test_every_page(browser, cluster, axe):
    account, seen = Account(cluster, permissions=["csv_export", "user_info"]).used(), []
    account.another("Staging", environment="test")
    with browser.page() as page:
        for name in every_page(page, cluster, account):
            seen.append(name)
            look(page, f"portal-{name}", axe)
    assert len(seen) == 24 and len(set(seen)) == 24


def test_the_product_is_recognised(cluster):
    page = request(cluster.public, "GET", "/portal/signed-out", headers=portals.BROWSER).body.decode()
    logo = re.search(r'src="\.\./(brand/[0-9a-f]{16}\.svg)"', page)[1]
    colours = re.search(r'href="\.\./(brand/[0-9a-f]{16}\.css)"', page)[1]
    picture = request(cluster.public, "GET", f"/{logo}")
    assert picture.body.decode() == LOGO and "sandbox" in picture.headers["Content-Security-Policy"]
    assert picture.headers["Content-Type"] == "image/svg+xml"
    style = request(cluster.public, "GET", f"/{colours}").body.decode()
    assert "#0f766e" in style and "#5eead4" in style
    assert request(cluster.public, "GET", f"/brand/{secrets.token_hex(8)}.css").status == 404
