"""The API reference in a real browser: every documented call is on it, nothing is asked for elsewhere."""

import json
import os

import pytest

from accessibility import serious
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
