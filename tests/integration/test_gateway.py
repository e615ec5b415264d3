"""The contract of verifying, walked from outside: gateway and POST /v1/verify."""

import pytest

from daemon import Daemon, request

PERMISSIONS = ["csv_export", "user_info"]


@pytest.fixture(scope="module")
def made(daemon):
    daemon.tier("wide", monthly_quota=None)
    return daemon.signup("wide", key={"title": "t", "permissions": PERMISSIONS})


def new_key(daemon, made, **fields):
    return daemon.must("POST", "/v1/keys", {"customer_id": made["customer"]["id"], **fields})


def test_allow_has_every_identity_header(daemon, made):
    answer = daemon.gate_until(made["secret"])
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["X-Key-Id"] == made["key"]["id"]
    assert answer.headers["X-Key-Customer"] == made["customer"]["external_id"]
    assert answer.headers["X-Key-Tier"] == "wide"
    assert answer.headers["X-Key-Environment"] == "live"
    assert answer.headers["X-Key-Permissions"] == ",".join(PERMISSIONS)
    assert answer.headers["X-Key-Expires-At"] == ""
    assert answer.headers["Cache-Control"] == "no-store"
    assert '"second";q=1000000;w=1' in answer.headers["RateLimit-Policy"]


def test_missing_mistyped_and_unknown_keys_are_401(daemon, made):
    secret = made["secret"]
    typo = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    unknown = "km_live_" + "0" * 43
    for key in (None, "", typo, unknown + "000000", daemon.info["token"]):
        answer = daemon.gate_until(key)
        assert answer.status == 401, key
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["X-Key-Id"] == ""


def test_the_key_may_come_as_a_bearer_token(daemon, made):
    answer = request(daemon.gateway, "POST", "/v1/gateway/any/path",
                     headers={"Authorization": "Bearer " + made["secret"]})
    assert answer.status == 200


def test_quota_ends_with_429_and_its_problem_type(daemon):
    daemon.tier("three", monthly_quota=3)
    secret = daemon.signup("three")["secret"]
    for left in (2, 1, 0):
        answer = daemon.gate_until(secret)
        assert answer.status == 200
        assert f'"month";r={left};' in answer.headers["RateLimit"]
    answer = daemon.gate_until(secret)
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json["type"].endswith("#quota-exceeded")
    assert daemon.gate_until(secret, "?cost=0").status == 200


def test_a_denied_call_is_not_charged(daemon):
    daemon.tier("ten", monthly_quota=10)
    made = daemon.signup("ten")
    assert daemon.gate_until(made["secret"], "?permissions=nobody").status == 403
    assert daemon.gate_until(made["secret"], "?cost=11").status == 429
    assert daemon.gate_until(made["secret"], "?cost=10").status == 200
    used = daemon.must("GET", f"/v1/customers/{made['customer']['id']}")["quota"]["used"]
    assert used == 10


def test_rate_limit_is_429_with_retry_after(daemon):
    daemon.tier("slow", rate_limits=[{"name": "minute", "limit": 2, "window_seconds": 60}])
    secret = daemon.signup("slow")["secret"]
    assert [daemon.gate_until(secret).status for _ in range(3)] == [200, 200, 429]
    answer = daemon.gate_until(secret)
    assert 0 < int(answer.headers["Retry-After"]) <= 30
    assert answer.json["code"] == "rate_limited"


def test_networks_admit_only_their_addresses(daemon, made):
    inside = new_key(daemon, made, allowed_networks=["127.0.0.0/8"])["secret"]
    outside = new_key(daemon, made, allowed_networks=["10.0.0.0/8"])["secret"]
    assert daemon.gate_until(inside).status == 200
    assert daemon.gate_until(outside).status == 403
    # Not a trusted proxy: what it says of others is not believed.
    assert daemon.gate_until(outside, **{"X-Forwarded-For": "10.0.0.1"}).status == 403


def test_what_trusted_proxies_forward_is_read_from_the_right(build_directory):
    daemon = Daemon(build_directory, ["listen.trusted_proxies=127.0.0.1/32, 10.0.0.1"]).start()
    try:
        daemon.tier("wide", monthly_quota=None)
        customer = daemon.signup("wide")["customer"]["id"]
        key = daemon.must("POST", "/v1/keys", {
            "customer_id": customer, "allowed_networks": ["10.0.0.0/8", "127.0.0.0/8", "192.0.2.7"]})
        for forwarded, status in [
                (None, 200), ("192.0.2.7", 200), ("198.51.100.1", 403),
                ("192.0.2.7, 198.51.100.1", 403),  # the client wrote the first one
                ("198.51.100.1, 192.0.2.7", 200), ("198.51.100.1, 10.0.0.1", 403),
                ("192.0.2.7, 10.0.0.1", 200),
                # No address, so nobody's: the proxy's own, which is allowed, is not the client's.
                ("unknown", 403), ("unknown, 10.0.0.1", 403), ("192.0.2.7:4711", 403), ("", 200),
                ("192.0.2.7,", 403)]:
            headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
            assert daemon.gate_until(key["secret"], **headers).status == status, forwarded
        assert daemon.stop() == 0
    finally:
        daemon.close()


def test_options_count_only_where_the_proxy_wrote_them(daemon, made):
    secret = made["secret"]
    assert daemon.gate_until(secret, "?permissions=csv_export,user_info").status == 200
    assert daemon.gate_until(secret, "?permissions=nobody").status == 403
    assert daemon.gate_until(secret, "/client?permissions=nobody").status == 200
    assert daemon.gate_until(secret, "/~permissions=nobody/client?permissions=a").status == 403
    for clients in ("/~/~permissions=nobody", "/%7epermissions=nobody", "//~permissions=nobody"):
        assert daemon.gate_until(secret, clients).status == 200, clients
    answer = daemon.gate_until("", "?deny=403")
    assert (answer.status, answer.headers["X-Verify-Status"]) == (403, "401")
    for bad in ("?cost=1&cost=2", "?cost=-1", "?cost=1000001", "?nothing=1", "?deny=402",
                "?problem=body", "?problem=header&problem=header"):
        assert daemon.gate(secret, bad).status == 400, bad


def test_the_problem_moves_to_a_header_for_proxies_that_drop_bodies(daemon, made):
    body = daemon.gate_until("", "", **{"X-Request-Id": "one"})
    header = daemon.gate_until("", "?problem=header", **{"X-Request-Id": "one"})
    assert (header.status, header.body) == (401, b"") and "Content-Type" not in header.headers
    assert header.headers["X-Verify-Problem"].encode() == body.body
    both = daemon.gate_until("", "/~deny=403;problem=header/x", **{"X-Request-Id": "one"})
    assert (both.status, both.headers["X-Verify-Problem"]) == (403, body.body.decode())
    assert "X-Verify-Problem" not in daemon.gate_until(made["secret"], "?problem=header").headers


def test_regenerate_kills_the_old_secret_and_keeps_usage(daemon, made):
    key = new_key(daemon, made)
    assert daemon.gate_until(key["secret"]).status == 200
    again = daemon.must("POST", f"/v1/keys/{key['id']}/regenerate", {})
    assert daemon.gate_until(key["secret"]).status == 401
    assert daemon.gate_until(again["secret"]).status == 200
    assert daemon.must("GET", f"/v1/keys/{key['id']}")["usage"]["used"] == 2


def test_both_secrets_work_until_the_overlap_ends(daemon, made):
    key = new_key(daemon, made)
    rotated = daemon.must("POST", f"/v1/keys/{key['id']}/rotate", {"grace_seconds": 3600})
    assert daemon.gate_until(key["secret"]).headers["X-Key-Expires-At"].endswith("Z")
    assert daemon.gate_until(rotated["secret"]).status == 200
    assert daemon.call("POST", f"/v1/keys/{key['id']}/rotate", {}).status == 409
    daemon.must("POST", f"/v1/keys/{key['id']}/end-overlap", {})
    assert daemon.gate_until(key["secret"]).status == 401
    assert daemon.gate_until(rotated["secret"]).status == 200


def test_disable_enable_revoke_are_obeyed_at_once(daemon, made):
    key = new_key(daemon, made)
    path = f"/v1/keys/{key['id']}"
    for _ in range(20):
        daemon.must("POST", path + "/disable")
        assert daemon.gate_until(key["secret"]).status == 403
        daemon.must("POST", path + "/enable")
        assert daemon.gate_until(key["secret"]).status == 200
    daemon.must("POST", path + "/revoke")
    assert daemon.gate_until(key["secret"]).status == 401


def test_a_tier_edit_is_obeyed_at_once(daemon):
    tier = daemon.tier("edited", monthly_quota=100)
    secret = daemon.signup("edited")["secret"]
    assert daemon.gate_until(secret).status == 200
    daemon.must("PUT", "/v1/tiers/edited", {**tier, "monthly_quota": 1})
    assert daemon.gate_until(secret).status == 429
    daemon.must("PUT", "/v1/tiers/edited", {**tier, "monthly_quota": 2})
    assert daemon.gate_until(secret).status == 200
    assert daemon.gate_until(secret).status == 429


def test_verify_tells_what_the_gateway_tells(daemon, made):
    answer = daemon.call("POST", "/v1/verify", {"key": made["secret"], "permissions": PERMISSIONS})
    assert answer.status == 200
    body = answer.json
    assert (body["valid"], body["code"]) == (True, "VALID")
    assert body["key_id"] == made["key"]["id"]
    assert body["customer"]["external_id"] == made["customer"]["external_id"]
    denied = daemon.call("POST", "/v1/verify", {"key": made["secret"], "permissions": ["nobody"]}).json
    assert (denied["valid"], denied["code"]) == (False, "INSUFFICIENT_PERMISSIONS")
    assert daemon.call("POST", "/v1/verify", {"key": "nonsense"}).json["code"] == "NOT_FOUND"
    wrong = daemon.call("POST", "/v1/verify", {"key": made["secret"], "costs": 2})
    assert wrong.status == 422 and wrong.json["errors"][0]["location"] == "body.costs"


def test_a_revoked_token_verifies_nothing(daemon, made):
    token = daemon.must("POST", "/v1/tokens", {"name": "gate", "scopes": ["verify"]})
    secret = token.get("token") or token.get("secret")
    body = {"key": made["secret"]}
    assert daemon.call("POST", "/v1/verify", body, token=secret).status == 200
    assert daemon.call("GET", "/v1/keys", token=secret).status == 403
    daemon.must("DELETE", f"/v1/tokens/{token['id']}")
    assert daemon.call("POST", "/v1/verify", body, token=secret).status == 401


def test_a_token_held_to_permissions_gets_no_secret_beyond_them(daemon, made):
    token = daemon.must("POST", "/v1/tokens", {"name": "held", "scopes": ["issue"],
                                               "permissions": ["csv_export"]})
    secret = token.get("token") or token.get("secret")
    key = new_key(daemon, made, permissions=["user_info"])
    path = f"/v1/keys/{key['id']}"
    for call in ("regenerate", "rotate", "enable"):
        answer = daemon.call("POST", f"{path}/{call}", token=secret)
        assert (answer.status, answer.json["code"]) == (403, "permission_not_allowed"), call
    assert daemon.call("PATCH", path, {"title": "mine"}, token=secret).status == 403
    assert daemon.call("POST", path + "/revoke", token=secret).status == 200


@pytest.mark.parametrize("path", ["/v1/keys?tier=%ff", "/v1/customers?tier=%ff",
                                  "/v1/customers?external_id=%ff"])
def test_a_filter_that_is_no_text_is_a_clear_error(daemon, path):
    answer = daemon.call("GET", path)
    assert answer.status == 422 and answer.json["errors"][0]["location"].startswith("query.")


def test_counts_and_secrets_outlive_a_kill(build_directory):
    daemon = Daemon(build_directory).start()
    try:
        daemon.tier("hundred", monthly_quota=100)
        made = daemon.signup("hundred")
        accepted = sum(daemon.gate(made["secret"]).status == 200 for _ in range(30))
        daemon.kill()
        daemon.start()
        used = daemon.must("GET", f"/v1/customers/{made['customer']['id']}")["quota"]["used"]
        assert accepted <= used <= 30
        rest = 0
        while daemon.gate_until(made["secret"]).status == 200:
            rest += 1
        assert used + rest == 100
        assert daemon.stop() == 0
    finally:
        daemon.close()
