"""Lists of keys over the management API: words, filters, last use, and pages that neither repeat nor
skip while keys come and go."""

import secrets

import pytest

from daemon import wait_for


@pytest.fixture(scope="module")
def app(daemon):
    return daemon


@pytest.fixture(scope="module")
def customer(app):
    tier = app.tier("search-" + secrets.token_hex(3))["slug"]
    return app.must("POST", "/v1/customers", {"external_id": "s-" + secrets.token_hex(6),
                                              "email": "s@example.com", "tier": tier})


def make(app, customer, title):
    return app.must("POST", "/v1/keys", {"customer_id": customer["id"], "title": title})


def listed(app, query):
    """The ids of all pages."""
    found, cursor = [], None
    while True:
        page = app.must("GET", f"/v1/keys?{query}" + (f"&cursor={cursor}" if cursor else ""))
        found += [key["id"] for key in page["data"]]
        cursor = page["next_cursor"]
        if not cursor:
            return found


def test_words_of_the_title(app, customer):
    mark = "w" + secrets.token_hex(4)
    first = make(app, customer, f"Nightly export, {mark}")["id"]
    second = make(app, customer, f"{mark}-Größenberechnung (EXPORT)")["id"]
    assert listed(app, f"q={mark}") == [second, first]
    assert listed(app, f"q={mark[:-1]}+EXP") == [second, first]
    assert listed(app, f"q=nightly+{mark.upper()}") == [first]
    assert listed(app, f"q=GR%C3%96SSEN+{mark}") == [second]
    assert listed(app, f"q=xport+{mark}") == []
    assert listed(app, f"q={mark}&customer_id={customer['external_id']}&status=active") == [second, first]
    assert listed(app, f"q={mark}&status=revoked") == []


def test_a_title_that_changes_is_found_by_the_new_one(app, customer):
    old, new = ("t" + secrets.token_hex(4) for _ in range(2))
    key = make(app, customer, old)["id"]
    app.must("PATCH", f"/v1/keys/{key}", {"title": new})
    assert listed(app, f"q={old}") == [] and listed(app, f"q={new}") == [key]


def test_an_erased_customer_is_found_by_no_word(app, customer):
    mark = "e" + secrets.token_hex(4)
    other = app.must("POST", "/v1/customers", {"external_id": "s-" + secrets.token_hex(6),
                                               "email": "s@example.com", "tier": customer["tier"]})
    make(app, other, mark)
    assert len(listed(app, f"q={mark}")) == 1
    app.must("DELETE", f"/v1/customers/{other['id']}")
    assert listed(app, f"q={mark}") == []


def test_tier_and_status_follow_their_changes(app, customer):
    tiers = [app.tier("f-" + secrets.token_hex(4))["slug"] for _ in range(2)]
    other = app.must("POST", "/v1/customers", {"external_id": "s-" + secrets.token_hex(6),
                                               "email": "s@example.com", "tier": tiers[0]})
    keys = [make(app, other, "x")["id"] for _ in range(3)][::-1]
    assert listed(app, f"tier={tiers[0]}") == keys
    app.must("PATCH", f"/v1/customers/{other['id']}", {"tier": tiers[1]})
    assert listed(app, f"tier={tiers[0]}") == [] and listed(app, f"tier={tiers[1]}") == keys
    app.must("POST", f"/v1/keys/{keys[0]}/disable")
    app.must("POST", f"/v1/keys/{keys[1]}/rotate")
    assert listed(app, f"tier={tiers[1]}&status=disabled") == keys[:1]
    assert listed(app, f"tier={tiers[1]}&status=rotating") == keys[1:2]
    assert listed(app, f"tier={tiers[1]}&status=active") == keys[2:]
    app.must("POST", f"/v1/keys/{keys[2]}/revoke")
    assert listed(app, f"tier={tiers[1]}&status=revoked") == keys[2:]


def test_unused_since(app, customer):
    mark = "u" + secrets.token_hex(4)
    used, never = (make(app, customer, f"{mark} {word}") for word in ("used", "never"))
    assert app.gate_until(used["secret"]).status == 200
    wait_for(lambda: app.must("GET", f"/v1/keys/{used['id']}")["last_used_at"], "the fold")
    assert listed(app, f"q={mark}&unused_since={never['created_at']}") == []
    assert listed(app, f"q={mark}&unused_since=2099-01-01T00:00:00Z") == [never["id"], used["id"]]
    assert {used["id"], never["id"]} <= set(listed(app, "unused_since=2099-01-01T00:00:00Z&limit=200"))


def test_pages_neither_repeat_nor_skip(app, customer):
    mark = "p" + secrets.token_hex(4)
    keys = [make(app, customer, f"{mark} {i}")["id"] for i in range(7)][::-1]
    found, cursor = [], ""
    for size in (1, 2, 3, 3):
        page = app.must("GET", f"/v1/keys?q={mark}&limit={size}{cursor}")
        found += [key["id"] for key in page["data"]]
        cursor = f"&cursor={page['next_cursor']}"
        app.must("POST", f"/v1/keys/{make(app, customer, mark)['id']}/revoke")  # comes before the first page
    assert page["next_cursor"] is None and found == keys


@pytest.mark.parametrize("query, location", [
    ("q=-", "query.q"), ("q=", "query.q"), ("q=%FF", "query.q"), ("q=" + "a+" * 9, "query.q"),
    ("unused_since=yesterday", "query.unused_since"), ("status=dead", "query.status"),
    ("sort=title", "query.sort"),
])
def test_a_wrong_filter_is_named(app, query, location):
    answer = app.call("GET", "/v1/keys?" + query)
    assert answer.status == 422, answer
    assert location in [error["location"] for error in answer.json["errors"]]


def test_a_key_in_the_place_of_words_is_refused(app, customer):
    answer = app.call("GET", "/v1/keys?q=" + make(app, customer, "x")["secret"])
    assert answer.status == 422 and answer.json["errors"][0]["location"] == "query"
