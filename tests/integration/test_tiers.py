"""Tiers, service tokens, usage and the audit list, seen from outside."""

import pytest


def test_the_seeded_tiers(daemon):
    tiers = {tier["slug"]: tier for tier in daemon.must("GET", "/v1/tiers")["data"]}
    assert {"free", "pro", "enterprise"} <= set(tiers)
    assert tiers["free"]["monthly_quota"] == 1000
    assert tiers["enterprise"]["monthly_quota"] is None
    assert tiers["pro"]["requires_payment"] is True
    assert tiers["free"]["rate_limits"] == [{"name": "minute", "limit": 100, "window_seconds": 60},
                                            {"name": "second", "limit": 10, "window_seconds": 1}]


def test_put_takes_what_get_gives(daemon):
    tier = daemon.must("GET", "/v1/tiers/pro")
    again = daemon.must("PUT", "/v1/tiers/pro", tier)
    tier.pop("updated_at"), again.pop("updated_at")
    assert again == tier


def test_a_new_slug_makes_a_tier(daemon):
    tier = daemon.must("GET", "/v1/tiers/free")
    tier.update(slug="brand-new", name="Brand new")
    assert daemon.call("PUT", "/v1/tiers/brand-new", tier).status == 201
    assert daemon.call("PUT", "/v1/tiers/brand-new", tier).status == 200
    assert daemon.must("GET", "/v1/tiers/brand-new")["name"] == "Brand new"


@pytest.mark.parametrize("change, where", [
    ({"monthly_quota": -1}, "body.monthly_quota"),
    ({"monthly_quota": 1.5}, "body.monthly_quota"),
    ({"overage": "maybe"}, "body.overage"),
    ({"rate_limits": [{"name": "a", "limit": 0, "window_seconds": 1}]}, "body.rate_limits[0].limit"),
    ({"rate_limits": [{"name": "a", "limit": 1, "window_seconds": 1}] * 2}, "body.rate_limits[1].name"),
    ({"label": "kmt"}, "body.label"),
    ({"permissions": ["a b"]}, "body.permissions[0]"),
    ({"notice_days": 90}, "body.notice_days"),
    ({"slug": "other"}, "body.slug"),
    ({"surprise": 1}, "body.surprise"),
])
def test_a_wrong_tier_is_422_with_its_location(daemon, change, where):
    tier = daemon.must("GET", "/v1/tiers/free")
    refused = daemon.call("PUT", "/v1/tiers/free", {**tier, **change})
    assert (refused.status, refused.json["code"]) == (422, "validation_failed")
    assert [error["location"] for error in refused.json["errors"]] == [where]
    assert daemon.must("GET", "/v1/tiers/free") == tier


def test_a_tier_edit_is_obeyed_by_the_next_call(daemon):
    daemon.tier("edited", monthly_quota=1)
    secret = daemon.signup("edited")["secret"]
    assert daemon.gate_until(secret).status == 200
    assert daemon.gate_until(secret).status == 429
    daemon.tier("edited", monthly_quota=2)
    assert daemon.gate_until(secret).status == 200
    assert daemon.gate_until(secret).status == 429


def test_scopes_and_revoked_tokens(daemon):
    made = daemon.must("POST", "/v1/tokens", {"name": "reader", "scopes": ["read"]})
    reader = made["secret"]
    assert daemon.call("GET", "/v1/tiers", token=reader).status == 200
    refused = daemon.call("PUT", "/v1/tiers/free", {}, token=reader)
    assert (refused.status, refused.json["code"]) == (403, "scope_required")
    listed = daemon.must("GET", "/v1/tokens")["data"]
    mine = next(token for token in listed if token["id"] == made["id"])
    assert "secret" not in mine and mine["start"] == reader[:10]
    daemon.must("DELETE", f"/v1/tokens/{made['id']}")
    refused = daemon.call("GET", "/v1/tiers", token=reader)
    assert (refused.status, refused.json["code"]) == (401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    daemon.must("DELETE", f"/v1/tokens/{made['id']}")  # may be repeated


@pytest.mark.parametrize("token", ["", "x", "kmt_" + "0" * 49])
def test_no_or_a_wrong_token_is_401(daemon, token):
    refused = daemon.call("GET", "/v1/tiers", token=token)
    assert (refused.status, refused.json["code"]) == (401, "unauthenticated")


def test_usage_has_every_committed_call_at_once(daemon):
    daemon.tier("counted", monthly_quota=100)
    made = daemon.signup("counted")
    # Counts of denied calls are written with the next accepted one.
    assert daemon.gate_until(made["secret"], "?permissions=nobody").status == 403
    for _ in range(5):
        assert daemon.gate_until(made["secret"]).status == 200
    for path in (f"/v1/keys/{made['key']['id']}/usage",
                 f"/v1/customers/{made['customer']['external_id']}/usage"):
        usage = daemon.must("GET", path)
        assert sum(bucket["allowed"] for bucket in usage["data"]) == 5
        assert sum(bucket["denied_other"] for bucket in usage["data"]) == 1
        assert (usage["quota"]["used"], usage["quota"]["remaining"]) == (5, 95)
        hours = daemon.must("GET", path + "?granularity=hour")
        assert sum(bucket["allowed"] for bucket in hours["data"]) == 5


@pytest.mark.parametrize("query, where", [
    ("from=yesterday", "query.from"), ("granularity=week", "query.granularity"),
    ("form=2026-01-01T00:00:00Z", "query.form"),
    ("from=2020-01-01T00:00:00Z&granularity=hour", "query.from"),
    ("from=2036-01-01T00:00:00Z&to=2035-01-01T00:00:00Z", "query.from"),
])
def test_a_wrong_range_is_422(daemon, query, where):
    key = daemon.info["key_id"]
    refused = daemon.call("GET", f"/v1/keys/{key}/usage?{query}")
    assert refused.status == 422
    assert [error["location"] for error in refused.json["errors"]] == [where]


def test_the_audit_list_pages_without_gaps(daemon):
    for _ in range(3):
        made = daemon.must("POST", "/v1/tokens", {"name": "audited", "scopes": ["verify"]})
    first = daemon.must("GET", "/v1/audit?limit=2")
    assert first["data"][0]["subject"] == made["id"]
    assert first["data"][0]["action"] == "token.create"
    second = daemon.must("GET", f"/v1/audit?limit=2&cursor={first['next_cursor']}")
    sequences = [row["sequence"] for row in first["data"] + second["data"]]
    assert sequences == list(range(sequences[0], sequences[0] - 4, -1))
    only = daemon.must("GET", "/v1/audit?action=token.create")["data"]
    assert only and {row["action"] for row in only} == {"token.create"}
    for name in ("action", "subject"):
        for text in ("%C3%A9", "%FF", "a%20b"):
            refused = daemon.call("GET", f"/v1/audit?{name}={text}")
            assert refused.status == 422, refused
            assert [error["location"] for error in refused.json["errors"]] == [f"query.{name}"]


def test_probes_and_metrics(daemon):
    assert daemon.call("GET", "/livez", token="").json == {"status": "live"}
    assert daemon.call("GET", "/readyz", token="").json == {"status": "ready"}
    text = daemon.call("GET", "/metrics", token="").body.decode()
    assert "\nkeymeter_up 1\n" in text
    assert 'keymeter_verify_total{code="VALID"}' in text


def test_routing_says_404_and_405(daemon):
    assert daemon.call("GET", "/v1/nothing", token="").json["code"] == "not_found"
    refused = daemon.call("DELETE", "/v1/tiers", token="")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")
    head = daemon.call("HEAD", "/v1/tiers")
    assert (head.status, head.body) == (200, b"")


def test_the_65th_tier_is_refused_and_the_64th_works(daemon):
    """The last test of this file: tiers cannot be deleted."""
    count = len(daemon.must("GET", "/v1/tiers?limit=200")["data"])
    for number in range(count, 64):
        daemon.tier(f"tier-{number}")
    secret = daemon.signup(tier="tier-63", key={"title": "t"})["secret"]
    assert daemon.gate_until(secret).status == 200
    tier = daemon.must("GET", "/v1/tiers/free")
    tier.update(slug="one-more")
    refused = daemon.call("PUT", "/v1/tiers/one-more", tier)
    assert (refused.status, refused.json["code"]) == (409, "too_many_tiers")
    assert "64" in refused.json["detail"]
    assert daemon.call("PUT", "/v1/tiers/tier-63", {**tier, "slug": "tier-63"}).status == 200
