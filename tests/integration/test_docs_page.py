"""The documents in a real browser: every documented call is in the API reference, nothing is asked for elsewhere, and
axe-core has nothing serious to say of any page of the site."""

import contextlib
import http.server
import json
import os
import shutil
import subprocess
import threading

import pytest

from accessibility import look, serious
from conftest import SOURCE
from test_openapi import OPERATIONS


def opened(page, daemon, fragment=""):
    page.open(f"http://{daemon.api}/docs{fragment}")
    page.until("!document.querySelector('.docs').hidden")


@pytest.mark.parametrize("width, dark", [(1280, False), (390, True)])
def test_every_call_is_there(browser, daemon, axe, width, dark):
    with browser.page(width, 900, dark) as page:
        opened(page, daemon)
        assert page.value("[...document.querySelectorAll('.call')].map(e => e.id).sort()") == sorted(
            operation["operationId"] for _, _, operation in OPERATIONS)
        links = page.value("[...document.querySelectorAll('nav a')].map(a => a.textContent)")
        assert sorted(links) == sorted(method.upper() + path for path, method, _ in OPERATIONS)
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
        assert page.console == []
        assert serious(page, axe, colours=dark) == []
        assert all(sent["url"].startswith(f"http://{daemon.api}/") for sent in page.requests)
        folder = os.environ.get("KEYMETER_SCREENSHOTS")
        if folder:
            page.screenshot(f"{folder}/docs-{width}.png")


def test_finding_and_reading_one(browser, daemon):
    with browser.page() as page:
        opened(page, daemon, "#rotate_key")
        top = page.value("document.getElementById('rotate_key').getBoundingClientRect().top")
        assert 0 <= top < 300
        text = page.value("document.getElementById('rotate_key').innerText")
        for part in ("POST", "/v1/keys/{id}/rotate", "grace_seconds", "Idempotency-Key", "curl -X POST"):
            assert part in text, part
        page.value("document.getElementById('find').focus()")
        page.call("Input.insertText", text="REVEAL")
        page.until("document.querySelector('[data-found]').textContent === '1 call'")
        shown = page.value("[...document.querySelectorAll('nav li')].filter(e => e.checkVisibility())"
                           ".map(e => e.textContent)")
        assert shown == ["POST/v1/claims/reveal"]
        page.press("Tab")
        page.press("Enter")
        page.until("location.hash === '#reveal_claim'")


def test_its_examples_are_those_of_the_document(browser, daemon):
    [signup] = [operation for path, _, operation in OPERATIONS if path == "/v1/signups"]
    example = signup["requestBody"]["content"]["application/json"]["example"]
    with browser.page() as page:
        opened(page, daemon)
        text = page.value(f"document.querySelector('#{signup['operationId']} pre').innerText")
    assert f"http://{daemon.api}/v1/signups" in text
    assert json.loads(text.split("-d '")[1].rsplit("'", 1)[0]) == example


# The start, tables and code, pictures, a manual page, a list of files.
KINDS = ("index.html", "gateways.html", "concepts.html", "man/keymeter.1.html", "files/systemd/index.html")


@contextlib.contextmanager
def served(folder):
    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_the_site_keeps_nobody_out(browser, axe, tmp_path):
    """Every page by axe-core; one of each kind on a phone, in the dark and by keyboard, too."""
    if not shutil.which("cmark-gfm") or not shutil.which("mandoc"):
        pytest.skip("NOT RUN: site: cmark-gfm or mandoc is not installed")
    subprocess.run([SOURCE / "scripts/site", tmp_path], check=True, capture_output=True)
    names = [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*.html"))]
    names = [name for name in names if not name.startswith("files/templates/")]  # these are mails, not pages of it
    assert set(KINDS) < set(names)
    with served(tmp_path) as address, browser.page() as page:
        for name in names:
            page.open(f"{address}/{name}")
            if name in KINDS:
                look(page, f"site {name}", axe)
            else:
                assert serious(page, axe) == [], name
        assert page.console == []
