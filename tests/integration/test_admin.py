"""The dashboard's doors: one-time links, sign-in, second factor, sessions, and what must not open them."""

import base64
import hashlib
import hmac
import re
import struct
import time

import pytest

from daemon import request, wait_for
from dashboard import PASSWORD, Admin, invite, joined
from nodes import Cluster

SETTINGS = ["listen.trusted_proxies=127.0.0.0/8", "node.trust_clock=yes"]
WRONG = "do not fit"


@pytest.fixture(scope="module")
def cluster(build_directory):
    with Cluster(build_directory, "one", more=SETTINGS) as cluster:
        yield cluster


@pytest.fixture
def node(cluster):
    return cluster.nodes[0]


def audit(node, action):
    return [(row["actor"], row["subject"], row["detail"])
            for row in node.must("GET", f"/v1/audit?action={action}&limit=200")["data"]]


def code(secret, at=None):
    """RFC 6238, from a secret as apps take it."""
    step = int(time.time() if at is None else at) // 30
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000:06}"


def test_nobody_gets_in_without_a_link(node):
    stranger = Admin(node)
    for path in ("/admin", "/admin/account", "/admin/keys"):
        page = stranger.get(path)
        assert page.status in (200, 404) and page.path in ("/admin/sign-in", path), page
        assert "Sign in" in page.text or page.status == 404
    for email, password in (("admin", "admin"), ("admin@example.com", "password"), ("", "")):
        assert WRONG in stranger.sign_in(email, password).text
    assert stranger.cookies == {}


def test_a_link_works_once(cluster, node):
    link = invite(cluster, "auditor")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/admin/join/adm_invite_[0-9A-Za-z]{49}", link)
    one, two = Admin(node), Admin(node)
    path = "/admin/join/" + link.rsplit("/", 1)[1]
    assert "as auditor" in one.get(path).text and one.cookies == {}
    page = one.join(path)
    assert page.status == 200 and "Overview" in page.text and len(one.cookies["km_admin"]) == 43
    assert two.get(path).status == 404 and two.join(path).status == 404
    assert two.get(path[:-1] + "x").status == 404 and two.cookies == {}
    assert (audit(node, "admin.join")[0][2], audit(node, "admin.invite")[0][0]) == ({"role": "auditor"}, "cli")
    assert link.rsplit("_", 1)[1] not in node.log()


@pytest.mark.parametrize("fields, says", [
    ({"password": "short", "password_again": "short"}, "12 characters"),
    ({"password_again": "something else"}, "is not the same"),
    ({"email": "nobody"}, "The address"),
    ({"name": ""}, "Your name"),
])
def test_a_form_that_is_wrong_keeps_the_link(cluster, node, fields, says):
    admin, link = Admin(node), invite(cluster)
    path = "/admin/join/" + link.rsplit("/", 1)[1]
    form = {"name": "Ada <b>", "email": "ada@ops.example", "password": PASSWORD, "password_again": PASSWORD}
    page = admin.send("POST", path, {**form, **fields})
    assert page.status == 422 and says in page.text, page
    assert PASSWORD not in page.body and "<b>" not in page.body
    assert admin.join(path).status == 200


def test_sign_in_and_out(cluster, node):
    admin = joined(cluster)
    first = dict(admin.cookies)
    page = admin.post("/admin/sign-out")
    assert page.path == "/admin/sign-in" and admin.cookies == {}
    admin.cookies = dict(first)
    assert admin.get("/admin").path == "/admin/sign-in"  # that session is over
    for wrong in (PASSWORD[:-1], PASSWORD + " ", ""):
        page = admin.sign_in(admin.email, wrong)
        assert page.status == 401 and WRONG in page.text and admin.email in page.body
    assert admin.sign_in(admin.email.upper()).path == "/admin"
    assert admin.cookies != first
    rows = audit(node, "admin.sign_in_failed")
    assert rows[0][0] == "anonymous" and rows[0][1].startswith("adm_") and rows[0][2] == {"reason": "password"}
    assert audit(node, "admin.sign_in")[0][0] == audit(node, "admin.sign_in")[0][1] == rows[0][1]


def test_wrong_tries_are_throttled(cluster, node):
    """By network; another one may still try."""
    admin = joined(cluster)
    def attempt(address, password):
        return admin.send("POST", "/admin/sign-in", {"email": admin.email, "password": password},
                          **{"X-Forwarded-For": address})
    answers = [attempt("192.0.2.7", "wrong").status for _ in range(10)]
    assert answers == [401] * 10
    # What is given back while these are looked at is used up faster than it comes.
    wait_for(lambda: attempt("192.0.2.7", "wrong").status == 429, "the end of it")
    late = attempt("192.0.2.7", PASSWORD)
    assert late.status == 429 and int(late.headers["Retry-After"]) > 0
    assert attempt("192.0.2.8", PASSWORD).status == 303


def test_a_session_is_never_one_that_was_there_before(cluster, node):
    """Fixation: what a browser brings along does not become a session."""
    admin = joined(cluster)
    planted = "A" * 43
    victim = Admin(node)
    victim.cookies = {"km_admin": planted}
    victim.sign_in(admin.email)
    assert victim.cookies["km_admin"] != planted
    thief = Admin(node)
    thief.cookies = {"km_admin": planted}
    assert thief.get("/admin").path == "/admin/sign-in"


def test_forms_of_others_do_nothing(cluster, node):
    admin, other = joined(cluster), joined(cluster)
    fields = {"password": PASSWORD, "new_password": PASSWORD + " new", "new_password_again": PASSWORD + " new"}
    token = other.get("/admin/account").hidden("csrf")
    for csrf, headers, code_word in (
            (None, {}, "another sign-in"), ("", {}, "another sign-in"), (token, {}, "another sign-in"),
            (admin.get("/admin/account").hidden("csrf"), {"Sec-Fetch-Site": "cross-site"}, "another site")):
        sent = dict(fields) if csrf is None else {**fields, "csrf": csrf}
        page = admin.send("POST", "/admin/account/password", sent, **headers)
        assert page.status == 403 and code_word in page.text, page
    page = admin.send("POST", "/admin/account/password", None)
    assert page.status in (403, 415), page
    assert Admin(node).sign_in(admin.email).path == "/admin"


def test_second_factor(cluster, node):
    admin = joined(cluster)
    page = admin.get("/admin/account")
    secret = page.hidden("totp_secret") or re.search(r'name="totp_secret"[^>]*value="([A-Z2-7]{32})"', page.body)[1]
    page = admin.post("/admin/account/code-on", {"totp_secret": secret, "code": "000000"}, of=page)
    assert page.status == 422 and "does not fit" in page.text and secret in page.body
    before = code(secret, time.time() - 30)
    page = admin.post("/admin/account/code-on", {"totp_secret": secret, "code": before}, of=page)
    assert page.status == 200 and "factor is on" in page.text, page

    again = Admin(node)
    page = again.sign_in(admin.email)
    assert page.path == "/admin/sign-in/code" and "authenticator" in page.text
    half = dict(again.cookies)
    assert again.get("/admin").path == "/admin/sign-in/code"  # and nowhere else
    assert again.post("/admin/account/password", {}, of=page).path == "/admin/sign-in/code"
    wrong = again.post("/admin/sign-in/code", {"code": before}, of=page)  # used
    assert wrong.status == 401 and "does not fit" in wrong.text
    now = code(secret)
    page = again.post("/admin/sign-in/code", {"code": now[:3] + " " + now[3:]}, of=page)
    assert page.path == "/admin" and again.cookies != half
    stale = Admin(node)
    stale.cookies = half
    assert stale.get("/admin").path == "/admin/sign-in"
    assert audit(node, "admin.sign_in")[0][2] == {"second_factor": True}

    wrong = again.post("/admin/account/code-off", {"password": "not that one"})
    assert wrong.status == 422 and "is not your password" in wrong.text
    assert "factor is off" in again.post("/admin/account/code-off", {"password": PASSWORD}).text
    assert Admin(node).sign_in(admin.email).path == "/admin"
    assert secret not in node.log()


def test_sessions_are_listed_and_end(cluster, node):
    admin = joined(cluster)
    phone, tablet = Admin(node), Admin(node)
    phone.send("POST", "/admin/sign-in", {"email": admin.email, "password": PASSWORD},
               **{"User-Agent": "Phone/1", "X-Forwarded-For": "198.51.100.9"})
    tablet.sign_in(admin.email)
    page = admin.get("/admin/account")
    assert "Phone/1" in page.text and "198.51.100.9" in page.text and page.text.count("This one") == 1
    [session] = re.findall(r"Phone/1.*?sessions/(ses_\w+)/end", page.body, re.S)[:1]
    stranger = joined(cluster)
    assert stranger.post(f"/admin/account/sessions/{session}/end").status == 404
    assert phone.get("/admin").path == "/admin"
    assert "Signed out there" in admin.post(f"/admin/account/sessions/{session}/end").text
    assert phone.get("/admin").path == "/admin/sign-in" and tablet.get("/admin").path == "/admin"
    admin.post("/admin/account/sessions/end-others")
    assert tablet.get("/admin").path == "/admin/sign-in" and admin.get("/admin").path == "/admin"


def test_a_new_password_ends_other_sessions(cluster, node):
    admin = joined(cluster)
    other = Admin(node)
    other.sign_in(admin.email)
    new = "quite another sentence"
    page = admin.post("/admin/account/password",
                      {"password": PASSWORD, "new_password": new, "new_password_again": new})
    assert "password is changed" in page.text
    assert other.get("/admin").path == "/admin/sign-in" and admin.get("/admin").path == "/admin"
    assert Admin(node).sign_in(admin.email).status == 401
    assert Admin(node).sign_in(admin.email, new).path == "/admin"
    assert new not in node.log() and PASSWORD not in node.log()


def test_the_overview_counts(cluster, node):
    """What is folded, of all keys."""
    secret = node.signup(key={"title": "Counted"})["secret"]
    admin = joined(cluster)
    def totals():
        found = re.search(r"([\d,]+) allowed\s+([\d,]+) denied", admin.get("/admin?range=24h").text)
        return int(found[1].replace(",", "")), int(found[2].replace(",", ""))
    allowed, denied = totals()
    for _ in range(3):
        assert node.gate_until(secret).status == 200
    node.must("POST", "/v1/verify", {"key": secret, "permissions": ["csv_export"]})
    wait_for(lambda: totals() == (allowed + 3, denied + 1), "the fold")
    page = admin.get("/admin")
    assert "Active keys" in page.text and "Who used most" in page.text and "<svg class=\"chart\"" in page.body


def test_what_every_page_says_of_itself(cluster, node):
    admin = joined(cluster)
    for path in ("/admin", "/admin/account", "/admin/nowhere"):
        page = admin.get(path)
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert page.headers["Cache-Control"] == "no-store" and page.headers["X-Frame-Options"] == "DENY"
        assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?! src)|https?://(?!www\.w3)", page.body), path
    answer = request(node.api, "POST", "/admin/sign-in", b"email=a&password=b",
                     {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"})
    assert answer.headers["Set-Cookie"] is None
    line = admin.send("POST", "/admin/sign-in", {"email": admin.email, "password": PASSWORD}).headers["Set-Cookie"]
    assert "HttpOnly" in line and "SameSite=Lax" in line and "Path=/;" in line
