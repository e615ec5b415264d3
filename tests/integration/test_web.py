"""Pages as HTTP sees them: headers, HEAD, what caches may keep, errors for browsers and programs, which
listener has what, and that a page loads nothing but our own files."""

import re
import secrets
from html.parser import HTMLParser

import pytest

from daemon import Daemon, free_port, request

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def public(build_directory):
    """A daemon whose pages for customers have a listener of their own."""
    address = f"127.0.0.1:{free_port()}"
    running = Daemon(build_directory, [f"listen.public={address}", "product.name=Fish & <Chips>",
                                       "product.header=Authorization: Bearer"])
    try:
        running.start().public = address
        yield running
        assert running.stop() == 0, running.log()[-4000:]
    finally:
        running.close()


def get(address, path, method="GET", **headers):
    return request(address, method, path, headers={**BROWSER, **headers})


class Parts(HTMLParser):
    """What a page consists of, as far as it matters here."""

    def __init__(self, answer):
        super().__init__()
        self.loads, self.inline, self.ids, self.open, self.styles = [], [], [], [], []
        self.feed(answer.body.decode())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ("script", "img", "link"):
            self.loads.append(attrs.get("src") or attrs.get("href"))
        self.inline += [name for name in attrs if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in attrs):
            self.inline.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.styles += [attrs["href"]] if attrs.get("rel") == "stylesheet" else []


def is_page(answer, status):
    assert answer.status == status and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy)


def test_the_claim_page(daemon):
    answer = get(daemon.api, "/claim")
    is_page(answer, 200)
    parts = Parts(answer)
    assert parts.inline == [] and len(set(parts.ids)) == len(parts.ids)
    assert parts.loads and all(load.startswith("./static/") for load in parts.loads)
    assert get(daemon.api, "/claim?utm_source=mail").body == answer.body
    assert request(daemon.api, "GET", "/claim").body == answer.body  # whatever it asks for


def test_head_has_the_headers_of_get(daemon):
    for path in ("/claim", "/nothing", "/" + Parts(get(daemon.api, "/claim")).styles[0][2:]):
        there, head = get(daemon.api, path), get(daemon.api, path, "HEAD")
        assert head.status == there.status and head.body == b""
        varies = {"X-Request-Id", "Date", "Content-Length"}
        assert {k: v for k, v in head.headers.items() if k not in varies} == {
            k: v for k, v in there.headers.items() if k not in varies}
        assert path == "/nothing" or head.headers["Content-Length"] == str(len(there.body))


def test_static_files_are_kept_for_good(daemon):
    for load in set(Parts(get(daemon.api, "/claim")).loads):
        answer = get(daemon.api, load[1:])
        assert answer.status == 200 and answer.headers.get_all("Cache-Control") == [
            "public, max-age=31536000, immutable"]
        assert re.fullmatch(r"/static/[a-z]+\.[0-9a-f]{16}\.(css|js|svg)", load[1:])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Type"].split(";")[0] == {
            "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}[load.rsplit(".", 1)[1]]
        assert b"http://" not in answer.body.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"https://" not in answer.body
    for path in ("/static/page.css", "/static/page.0123456789abcdef.css", "/static/../claim.html",
                 "/static/", "/static/%2e%2e/claim.html", "/static/claim.html"):
        is_page(get(daemon.api, path), 404)


def test_errors_are_pages_for_browsers_and_problems_for_programs(daemon):
    answer = get(daemon.api, "/admin/nothing/here")
    is_page(answer, 404)
    assert Parts(answer).styles[0].startswith("../../static/")  # wherever a proxy has put it
    assert answer.headers["X-Request-Id"] in answer.body.decode()
    for path in ("/v1/nothing", "/nothing"):
        headers = BROWSER if path.startswith("/v1/") else {}
        problem = request(daemon.api, "GET", path, headers=headers)
        assert problem.status == 404 and problem.json["code"] == "not_found"
        assert problem.headers["Content-Type"] == "application/problem+json"
    posted = get(daemon.api, "/claim", "POST")
    is_page(posted, 405)
    assert posted.headers["Allow"] == "GET, HEAD"
    refused = request(daemon.api, "DELETE", "/claim")
    assert refused.json["code"] == "method_not_allowed" and refused.headers["Allow"] == "GET, HEAD"


def test_what_a_stranger_writes_is_not_on_the_page(daemon):
    mark = secrets.token_hex(8)
    for path in (f"/{mark}", f"/claim?{mark}=%3Cscript%3E", f"/claim/{mark}"):
        assert mark not in get(daemon.api, path, Referer=f"http://{mark}/").body.decode()
    assert b"<x" not in get(daemon.api, "/nothing", **{"X-Request-Id": "<x>"}).body


def test_customers_pages_are_on_the_public_listener(public):
    answer = get(public.public, "/claim")
    is_page(answer, 200)
    assert "Fish &amp; &lt;Chips&gt;" in answer.body.decode()
    assert "Authorization: Bearer YOUR_KEY" in answer.body.decode()
    is_page(get(public.api, "/claim"), 404)
    assert request(public.api, "GET", "/claim").json["code"] == "not_found"
    for load in set(Parts(answer).loads):
        for address in (public.public, public.api):
            assert get(address, load[1:]).status == 200
    is_page(get(public.api, "/docs"), 200)
    for path in ("/docs", "/openapi.json", "/livez", "/metrics", "/", "/admin/"):
        is_page(get(public.public, path), 404)
    # A page leads back to what its own listener has.
    assert b"../portal\"" in get(public.public, "/portal/x").body and b"/portal\"" not in get(public.api, "/portal/x").body
    assert b"../admin\"" in get(public.api, "/admin/x").body and b"/admin\"" not in get(public.public, "/admin/x").body
    assert request(public.public, "GET", "/v1/keys").status == 404
