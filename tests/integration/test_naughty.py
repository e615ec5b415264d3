"""Texts that mean harm, in every field of every form of dashboard and portal: they are refused or shown as they were
written, as text. By HTTP in each field, and in a real browser the pages that hold them, where nothing may run, load or
lead elsewhere."""

import json
import os
import re
import secrets
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

import naughty
import portals
from dashboard import Admin, joined, mailing
from npm import package_file

# The suite writes each eighth text into a place; tests/fault/naughty all of them.
EACH = int(os.environ.get("KEYMETER_TEXT_EACH", "8"))
CUT = "x" + "é" * 150  # is no text any more where it is cut after an even number of bytes
ATTRIBUTE = naughty.ATTRIBUTES[0]
WATCH = """for (const name of ["alert", "confirm", "prompt", "print"]) window[name] = () => { window.executed = name; };
addEventListener("securitypolicyviolation", event => { (window.violated ??= []).push(event.blockedURI); });"""


@pytest.fixture(scope="module")
def cluster(build_directory, tmp_path_factory):
    with mailing(build_directory, tmp_path_factory.mktemp("mail")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def node(cluster):
    node = cluster.nodes[0]
    node.tier("wide", max_keys=10000, permissions=["csv_export"])
    return node


@pytest.fixture(scope="module")
def owner(cluster):
    return joined(cluster)


@pytest.fixture(scope="module")
def known(source_directory):
    return naughty.vocabulary(source_directory)


@pytest.fixture(scope="module")
def texts():
    return naughty.strings()


def good(page, known, text=None, sent=""):
    """The page, which is whole; with `text` also that it stands there, with `sent` that it does not as it is."""
    assert page.status < 500 and page.status != 415, page
    assert naughty.faults(page.body, known) == [], (page.path, text or sent)
    assert not re.search("[<>]", text or sent) or (text or sent) not in page.body, (page.path, text or sent)
    if text is not None:
        assert any(text in shown for shown in naughty.Shape(page.body).texts), (page.path, text)
    return page


def some(texts, at=0):
    """Each EACHth of them: other ones for each place that they are written into."""
    return list(texts)[at % EACH::EACH]


def with_all(fields, text):
    """A form's fields with the text in each of them that somebody could type in, and tokens as they are."""
    kept = {"csrf", "once", "version", "form"}
    return {name: value if name in kept else text for name, value in fields}


FORMS = ["/admin/keys/new", "/admin/keys/{key}/edit", "/admin/new-tier", "/admin/tiers/wide"]
BOXES = {True: ["rotation_off", "permissions[]"], False: ["requires_payment"]}  # of FORMS of keys and of tiers: without a tick
ACTS = {  # beside the forms with a page of their own: where it is sent to, and its fields
    "/admin/keys/import": ["lines", "algorithm", "hmac_key", "hmac_key_encoding"],
    "/admin/keys/rotate?before=2026-01-01T00:00:00Z": ["grace", "sure", "kept"], "/admin/reconcile": ["heal", "kept"],
    "/admin/customers/{customer}/edit": ["email", "name"], "/admin/customers/{customer}/tier": ["tier"],
    "/admin/customers/{customer}/approve": ["tier", "until_on", "note"], "/admin/customers/{customer}/erase": ["typed"],
    "/admin/keys/{key}/rotate": ["deliver", "grace_seconds"], "/admin/keys/{key}/postpone": ["days"],
    "/admin/keys/{key}/revoke": ["typed"], "/admin/tokens": ["name", "scopes[]"],
    "/admin/admins/invite": ["role"], "/admin/account/password": ["password", "new_password", "new_password_again", "username"],
    "/admin/account/code-on": ["totp_secret", "code"], "/admin/account/code-off": ["password"],
}
QUERIES = {"/admin": ["range", "done"], "/admin/keys": ["q", "status", "tier", "customer_id", "cursor", "done"],
           "/admin/customers": ["external_id", "email", "tier", "cursor"], "/admin/keys/new": ["customer"],
           "/admin/audit": ["action", "subject", "customer_id", "cursor"], "/admin/rotations": ["status", "cursor"],
           "/admin/notifications": ["customer_id", "key_id", "cursor"], "/admin/alerts": ["status", "cursor"],
           "/admin/keys/{key}": ["range", "done"], "/admin/customers/{customer}": ["range", "done"],
           "/admin/keys/rotate": ["q", "tier", "customer_id", "age", "before", "grace", "cursor", "at", "of", "told", "rotated"],
           "/admin/reconcile": ["heal", "cursor", "at", "of", "told", "changed", "unread"],
           "/admin/mail-preview": ["kind", "with", "format", "language"]}
DOORS = ["name", "email", "password", "password_again", "username", "code"]
PORTAL = {"/portal/new-key": ["title", "description", "environment", "expires_at", "permissions[]"],
          "/portal/encryption": ["openpgp_key", "smime_certificate", "remove", "language"],
          "/portal/keys/{key}/edit": ["title", "description", "version"], "/portal/keys/{key}/rotate": ["hours"]}
EXPORT = ["format", "before"]  # of the audit log, which is no page


@pytest.fixture(scope="module")
def ids(node):
    made = node.signup("wide", key={"title": "target"})
    return {"key": made["key"]["id"], "customer": made["customer"]["id"]}


def test_the_watch_would_see_it(known):
    """The list has something for each of its checks."""
    for text in ("<script>1</script>", "<b>", "<img src=x onerror=1>", "<a href=javascript:1>", "<!-- x -->", "<p onclick=1>",
                 "<form action=//evil.example>", "<base href=x>"):
        assert naughty.faults(f"<p>{text}</p>", known), text
    assert not naughty.faults("<p class=small>&lt;script&gt;</p><a href='../admin/keys'>x</a>", known)


def test_no_field_is_left_out(source_directory, owner, ids):
    """Each name that a field of a template has."""
    known = {*DOORS, *EXPORT, *(name for fields in [*ACTS.values(), *QUERIES.values(), *PORTAL.values()] for name in fields)}
    known |= {name for form in FORMS for name, _ in owner.get(form.format(**ids)).fields}
    known |= {*BOXES[True], *BOXES[False]}
    for path in (source_directory / "templates" / "web").glob("*.html"):
        for tag in re.findall(r"<(?:input|textarea|select)\b[^>]*", path.read_text()):
            name = re.search(r' name="([^"]*)"', tag)
            if name and 'type="hidden"' not in tag:
                name = name[1].replace("{{n}}", "1").replace("{{field}}", "permissions[]")
                assert name in known, (path.name, name)


def test_every_text_in_every_field_of_the_dashboard(owner, known, texts, ids):
    """Each form takes a text in all of its fields at once."""
    forms = {path: owner.get(path) for path in (form.format(**ids) for form in FORMS)}
    for at, (path, form) in enumerate(forms.items()):
        for text in [*some(texts, at), CUT]:
            sent = {**with_all(form.fields, text), **dict.fromkeys(BOXES[path.startswith("/admin/keys")], text)}
            page = owner.send("POST", path, {**sent, "once": secrets.token_hex(16)})
            good(page, known, sent=text)
            assert page.status in (303, 409, 422), page
    page = owner.get("/admin/account")
    for at, (path, fields) in enumerate(ACTS.items()):
        for text in [*some(texts, at), CUT]:
            good(owner.post(path.format(**ids), dict.fromkeys(fields, text), of=page), known, sent=text)
    assert owner.get("/admin").status == 200  # still signed in


def test_every_text_in_every_address(owner, known, texts, ids):
    for at, (path, names) in enumerate(QUERIES.items()):
        for text in some(texts, at):
            good(owner.get(f"{path.format(**ids)}?{urlencode(dict.fromkeys(names, text))}"), known, sent=text)


def test_every_text_at_the_doors(cluster, node, known, texts):
    stranger = Admin(node)
    link = "/admin/join/" + cluster.run("admin", "invite", "--role", "auditor").rsplit("/", 1)[1]
    for text in some(texts):
        good(stranger.send("POST", link, dict.fromkeys(DOORS, text)), known, sent=text)
        stranger.cookies.clear()
    for text in texts[:8]:  # ten wrong ones a minute
        for path in ("/admin/sign-in", "/admin/sign-in/code"):
            good(stranger.send("POST", path, dict.fromkeys(DOORS, text)), known, sent=text)


@pytest.fixture(scope="module")
def stored(node, owner, texts, source_directory):
    """Texts that are taken, where everything that can be stored stands: of keys title, description and metadata, of
    customers the name, of tokens and tiers the name, of approvals the note."""
    try:
        more = json.loads(package_file(source_directory, "big-list-of-naughty-strings@1.0.0", "blns.json"))
    except pytest.skip.Exception:
        more = []
    kept, customers = {}, {}
    for text in dict.fromkeys([*texts, *some(more)]):
        made = node.call("POST", "/v1/signups", {
            "external_id": "customer-" + secrets.token_hex(6), "email": "someone@ops.example", "tier": "wide",
            "name": text, "key": {"title": text, "description": text, "metadata": {"note": text}}})
        if made.status == 201:
            kept[text], customers[text] = made.json["key"]["id"], made.json["customer"]["id"]
        else:
            assert made.status == 422, (text, made)
    assert len(kept) > 150 and all(text in kept for text in texts)
    page = owner.get("/admin/tokens")
    node.tier("named", name=ATTRIBUTE)
    node.tier("paid", requires_payment=True, max_keys=10000, permissions=["csv_export"])
    for text in some(texts, 3):
        owner.post("/admin/tokens", {"name": text, "scopes[]": "read", "once": secrets.token_hex(16)}, of=page)
        approved = owner.post(f"/admin/customers/{customers[text]}/approve", {
            "tier": "paid", "until_on": "2999-01-01", "note": text, "once": secrets.token_hex(16)}, of=page)
        assert approved.status == 200, approved
    return kept, customers


def lists(owner):
    """Each page of the lists."""
    for path in ("/admin/keys", "/admin/customers", "/admin/tokens", "/admin/tiers", "/admin/audit", "/admin"):
        page = owner.get(path)
        while True:
            yield page
            more = re.search(r'rel="next" href="[./]*(admin/[^"]*)"', page.body)
            if not more:
                break
            page = owner.get("/" + more[1].replace("&amp;", "&"))


def test_what_is_stored_is_shown_as_it_was_written(node, owner, known, stored, texts):
    keys, customers = stored
    for at, path in enumerate(("/admin/keys/{0}", "/admin/keys/{0}/edit", "/admin/customers/{1}")):
        for text in some(keys, at):
            good(owner.get(path.format(keys[text], customers[text])), known, re.sub(r"\r\n?", "\n", text))
    for text in some(texts, 3):
        node.tier("renamed", name=text[:100])
        good(owner.get("/admin/tiers/renamed"), known, text[:100])
        good(owner.get("/admin/tiers"), known, text[:100])
    shown = {part for page in lists(owner) for part in naughty.Shape(good(page, known).body).texts}
    assert [text for text in texts if text not in shown] == []


def test_the_portal_shows_and_takes_them(node, known, stored, texts):
    keys, customers = stored
    made = node.signup("wide", key={"title": "its own"})
    visit = portals.Visit(node, made["customer"]["id"])

    def page_of(answer, path, text=""):
        page = SimpleNamespace(status=answer.status, body=answer.body.decode(), path=path)
        return good(page, known, sent=text)
    for at, (path, fields) in enumerate(PORTAL.items()):
        path = path.format(key=made["key"]["id"])
        hidden = visit.form(path)
        for text in [*some(texts, at), CUT]:
            sent = {name.replace("[]", "__"): text for name in fields}
            page_of(visit.post(path, **{**hidden, **sent}), path, text)
            page_of(visit.post(path, csrf=text, form=text, **sent), path, text)
    form = visit.form("/portal/new-key")
    for text in some(texts, 1):
        answer = visit.post("/portal/new-key", **{**form, "form": secrets.token_hex(16)}, title=text, description=text)
        assert answer.status == 200, (text, answer)
        page_of(answer, "/portal/new-key", text)
    for path in ("/portal", "/portal/welcome", "/portal/notices", f"/portal/keys/{made['key']['id']}"):
        page_of(visit.get(path), path)
    for text in some(keys, 2):
        other = portals.Visit(node, customers[text])
        for path in ("/portal", "/portal/keys/{}", "/portal/keys/{}/regenerate", "/portal/keys/{}/edit"):
            page_of(other.get(path.format(keys[text])), path, text)


def test_nothing_runs_in_a_browser(browser, node, owner, stored):
    """Lists with all of them, and pages with one each, of both faces."""
    keys, customers = stored
    host = f"http://{node.api}"
    marked = [text for text in keys if naughty.MARK in text or "<" in text]

    def quiet(page, path):
        page.open(host + path)
        told = page.value("[window.executed ?? null, window.violated ?? [], location.origin]")
        assert told == [None, [], host], (path, told)
    with browser.page() as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        [(name, value)] = owner.cookies.items()
        page.call("Network.setCookie", name=name, value=value, url=host, httpOnly=True, sameSite="Lax")
        for path in ("/admin/keys", "/admin/customers", "/admin/tokens", "/admin/tiers"):
            quiet(page, path)
            while more := page.value("document.querySelector('a[rel=next]')?.getAttribute('href')"):
                quiet(page, "/" + more.lstrip("./"))
        for text in some(some(marked)) + [ATTRIBUTE]:
            for path in (f"/admin/keys/{keys[text]}", f"/admin/keys/{keys[text]}/edit", f"/admin/customers/{customers[text]}"):
                quiet(page, path)
        # Typed, refused and shown again.
        for text in some(some(marked, 1)) + [ATTRIBUTE]:
            page.open(f"{host}/admin/keys/new")
            page.value("document.querySelectorAll('main form input, main form textarea').forEach(one => {"
                       " if (!['hidden', 'date', 'checkbox', 'radio'].includes(one.type)) one.value = " + json.dumps(text) + "; })")
            page.click(".buttons button")
            page.until("!!document.querySelector('.wrong')")
            assert page.value("document.getElementById('title').value") == text
            assert page.value("window.executed ?? null") is None
        for text in some(some(marked, 2)) + [ATTRIBUTE]:
            page.open(host + portals.link(node, customers[text]))
            page.until("!!document.querySelector('nav, form[data-auto], button.main')")
            if not page.value("!!document.querySelector('nav')"):
                page.click("button.main")
                page.until("!!document.querySelector('nav')")
            for path in ("/portal", "/portal/welcome", f"/portal/keys/{keys[text]}", f"/portal/keys/{keys[text]}/edit"):
                quiet(page, path)
        assert page.dialogs == [] and [line for line in page.console if "422" not in line] == []
        assert all(sent["url"].startswith((host, "data:image/svg", "about:")) for sent in page.requests)
