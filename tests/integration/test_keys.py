"""The life of keys, customers and sign-ups over the management API, and what the gateway says then."""

import secrets

import pytest


@pytest.fixture(scope="module")
def app(daemon):
    return daemon


@pytest.fixture(scope="module")
def wide(app):
    """A tier with room for many keys and wide rate limits."""
    return app.tier("wide")["slug"]


@pytest.fixture
def customer(app, wide):
    return app.must("POST", "/v1/customers", {"external_id": "c-" + secrets.token_hex(6),
                                              "email": "Some.One@Example.com", "tier": wide})


@pytest.fixture
def key(app, customer):
    return app.must("POST", "/v1/keys", {"customer_id": customer["id"], "title": "first"})


def refused(answer, status, code):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == code, answer
    return answer.json


def without_usage(thing):
    """What calls change is left out: a fold may come between two looks."""
    told = {name: value for name, value in thing.items() if name not in ("secret", "usage", "last_used_at", "last_used_ip")}
    told["secrets"] = [{name: value for name, value in secret.items() if name != "last_used_at"}
                       for secret in thing["secrets"]]
    return told


# ---- keys: make, show, list ----

def test_a_new_key_has_all_that_the_contract_lists(app, customer):
    made = app.must("POST", "/v1/keys", {
        "customer_id": customer["external_id"], "title": "Größe", "description": "a\nb",
        "label": "acme_live", "permissions": ["csv_export"], "expires_at": "2099-01-01T00:00:00Z",
        "rate_limits": [{"name": "minute", "limit": 5, "window_seconds": 60}],
        "allowed_networks": ["10.0.0.0/8", "2001:db8::/32"], "metadata": {"a": 1}, "deliver": "response"})
    assert made["secret"].startswith("acme_live_") and len(made["secret"]) == len("acme_live_") + 49
    assert made["customer_id"] == customer["id"]
    assert made["start"] == made["secret"][:10]
    assert (made["status"], made["environment"], made["tier"]) == ("active", "live", "wide")
    assert made["permissions"] == ["csv_export"] and made["metadata"] == {"a": 1}
    assert made["allowed_networks"] == ["10.0.0.0/8", "2001:db8::/32"]
    assert made["expires_at"] == "2099-01-01T00:00:00Z" and made["rotates_at"] > made["created_at"]
    assert [secret["version"] for secret in made["secrets"]] == [1]
    assert made["usage"]["used"] == 0
    shown = app.must("GET", f"/v1/keys/{made['id']}")
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert without_usage(app.must("POST", "/v1/keys/lookup", {"key": made["secret"]})) == without_usage(made)


@pytest.mark.parametrize("change, location, code", [
    ({"customer_id": "nobody-at-all"}, "body.customer_id", "validation_failed"),
    ({"title": 5}, "body.title", "validation_failed"),
    ({"titel": "x"}, "body.titel", "validation_failed"),
    ({"label": "kmt"}, "body.label", "validation_failed"),
    ({"label": "UPPER"}, "body.label", "validation_failed"),
    ({"permissions": ["root"]}, "body.permissions", "permission_not_allowed"),
    ({"expires_at": "2001-01-01T00:00:00Z"}, "body.expires_at", "validation_failed"),
    ({"expires_at": "tomorrow"}, "body.expires_at", "validation_failed"),
    ({"allowed_networks": ["10.0.0.1/8"]}, "body.allowed_networks[0]", "validation_failed"),
    ({"monthly_cap": -1}, "body.monthly_cap", "validation_failed"),
    ({"environment": "staging"}, "body.environment", "validation_failed"),
    ({"deliver": "pigeon"}, "body.deliver", "validation_failed"),
])
def test_a_wrong_field_is_named(app, customer, change, location, code):
    answer = app.call("POST", "/v1/keys", {"customer_id": customer["id"], **change})
    problem = refused(answer, 422, code)
    assert location in [error["location"] for error in problem["errors"]]
    assert app.must("GET", f"/v1/keys?customer_id={customer['id']}")["data"] == []


def test_a_limit_is_tighter_unless_an_admin_sets_it(app, customer):
    issuer = app.must("POST", "/v1/tokens", {"name": "issuer", "scopes": ["issue"]})["secret"]
    body = {"customer_id": customer["id"],
            "rate_limits": [{"name": "second", "limit": 1000000, "window_seconds": 1}]}
    assert app.call("POST", "/v1/keys", body, token=issuer).status == 201
    app.tier("narrow", rate_limits=[{"name": "second", "limit": 10, "window_seconds": 1}])
    app.must("PATCH", f"/v1/customers/{customer['id']}", {"tier": "narrow"})
    refused(app.call("POST", "/v1/keys", body, token=issuer), 422, "validation_failed")
    assert app.call("POST", "/v1/keys", body).status == 201


def test_a_token_bound_to_permissions_keeps_keys_within_them(app, customer):
    token = app.must("POST", "/v1/tokens", {"name": "bound", "scopes": ["issue"],
                                            "permissions": ["user_info"]})["secret"]
    body = {"customer_id": customer["id"], "permissions": ["csv_export"]}
    refused(app.call("POST", "/v1/keys", body, token=token), 422, "permission_not_allowed")
    assert app.call("POST", "/v1/keys", {**body, "permissions": ["user_info"]}, token=token).status == 201


def test_the_tier_bounds_the_number_of_keys(app):
    made = app.signup("free")
    body = {"customer_id": made["customer"]["id"]}
    refused(app.call("POST", "/v1/keys", body), 403, "key_limit_reached")
    app.must("DELETE", f"/v1/keys/{made['key']['id']}")
    assert app.call("POST", "/v1/keys", body).status == 201


def test_lists_are_filtered_and_paged(app, customer):
    keys = [app.must("POST", "/v1/keys", {"customer_id": customer["id"]})["id"] for _ in range(5)]
    app.must("POST", f"/v1/keys/{keys[1]}/disable")
    app.must("POST", f"/v1/keys/{keys[2]}/revoke")
    app.must("POST", f"/v1/keys/{keys[3]}/rotate")
    seen, cursor = [], ""
    while True:
        page = app.must("GET", f"/v1/keys?customer_id={customer['id']}&limit=2{cursor}")
        assert len(page["data"]) <= 2
        seen += [key["id"] for key in page["data"]]
        if not page["next_cursor"]:
            break
        cursor = "&cursor=" + page["next_cursor"]
    assert seen == keys[::-1]
    for status, expected in (("active", [keys[4], keys[0]]), ("disabled", [keys[1]]),
                             ("revoked", [keys[2]]), ("rotating", [keys[3]]), ("expired", [])):
        page = app.must("GET", f"/v1/keys?customer_id={customer['external_id']}&status={status}")
        assert [key["id"] for key in page["data"]] == expected
    assert app.must("GET", f"/v1/keys?customer_id={customer['id']}&tier=free")["data"] == []
    for query in ("status=alive", "limit=0", "limit=201", "cursor=x", "q=-", "unused_since=2026-01-01"):
        refused(app.call("GET", "/v1/keys?" + query), 422, "validation_failed")


def test_what_is_not_there_is_404(app):
    for method, path, body in (("GET", "/v1/keys/key_0000000000000", None),
                               ("GET", "/v1/keys/nonsense", None),
                               ("PATCH", "/v1/keys/key_0000000000000", {"title": "x"}),
                               ("POST", "/v1/keys/key_0000000000000/rotate", None),
                               ("POST", "/v1/keys/key_0000000000000/revoke", None),
                               ("DELETE", "/v1/keys/key_0000000000000", None),
                               ("POST", "/v1/keys/lookup", {"key": "km_live_" + "0" * 49}),
                               ("GET", "/v1/customers/nobody-at-all", None),
                               ("PATCH", "/v1/customers/nobody-at-all", {"tier": "free"}),
                               ("DELETE", "/v1/customers/nobody-at-all", None)):
        refused(app.call(method, path, body), 404, "not_found")


# ---- keys: changes ----

def test_a_patch_changes_what_it_names(app, key):
    path = f"/v1/keys/{key['id']}"
    changed = app.must("PATCH", path, {"title": "second", "permissions": ["user_info"],
                                       "expires_at": "2098-01-01T00:00:00Z", "metadata": {"b": "c"}})
    assert (changed["title"], changed["permissions"]) == ("second", ["user_info"])
    assert "secret" not in changed
    changed = app.must("PATCH", path, {"expires_at": None})
    assert changed["expires_at"] is None and changed["title"] == "second"
    refused(app.call("PATCH", path, {"title": None}), 422, "validation_failed")
    refused(app.call("PATCH", path, {"permissions": ["root"]}), 422, "permission_not_allowed")
    refused(app.call("PATCH", path, {"customer_id": "x"}), 422, "validation_failed")
    assert app.must("GET", path) == changed


def test_rotation_overlaps_until_it_is_ended(app, key):
    path = f"/v1/keys/{key['id']}"
    rotated = app.must("POST", path + "/rotate", {"grace_seconds": 3600})
    assert rotated["status"] == "rotating" and rotated["secret_version"] == 2
    assert [secret["version"] for secret in rotated["secrets"]] == [2, 1]
    assert rotated["secrets"][0]["expires_at"] is None and rotated["secrets"][1]["expires_at"]
    assert app.gate_until(key["secret"]).status == 200
    assert app.gate_until(rotated["secret"]).status == 200
    refused(app.call("POST", path + "/rotate"), 409, "rotation_in_progress")
    ended = app.must("POST", path + "/end-overlap")
    assert ended["status"] == "active" and len(ended["secrets"]) == 1
    assert app.gate_until(key["secret"]).status == 401
    assert app.gate_until(rotated["secret"]).status == 200
    assert without_usage(app.must("POST", path + "/end-overlap")) == without_usage(ended)
    refused(app.call("POST", path + "/rotate", {"grace_seconds": 2592001}), 422, "validation_failed")
    again = app.must("POST", path + "/rotate", {"grace_seconds": 0})
    assert again["status"] == "active"
    assert app.gate_until(rotated["secret"]).status == 401
    assert app.gate_until(again["secret"]).status == 200


def test_regenerating_kills_all_older_secrets_and_keeps_the_usage(app, key):
    path = f"/v1/keys/{key['id']}"
    assert app.gate_until(key["secret"]).status == 200
    rotated = app.must("POST", path + "/rotate")
    made = app.must("POST", path + "/regenerate")
    for dead in (key["secret"], rotated["secret"]):
        assert app.gate_until(dead).status == 401
    assert made["id"] == key["id"] and made["secret_version"] == 3
    assert made["usage"]["used"] == 1
    assert app.gate_until(made["secret"]).status == 200
    refused(app.call("POST", "/v1/keys/lookup", {"key": key["secret"]}), 404, "not_found")


def test_disable_enable_revoke_act_at_once(app, key):
    path = f"/v1/keys/{key['id']}"
    for _ in range(2):
        assert app.must("POST", path + "/disable")["status"] == "disabled"
        assert app.gate_until(key["secret"]).status == 403
    for _ in range(2):
        assert app.must("POST", path + "/enable")["status"] == "active"
        assert app.gate_until(key["secret"]).status == 200
    for _ in range(2):
        assert app.must("POST", path + "/revoke")["status"] == "revoked"
        assert app.gate_until(key["secret"]).status == 401
    for call in ("/enable", "/disable", "/rotate", "/regenerate", "/end-overlap"):
        refused(app.call("POST", path + call), 409, "key_revoked")
    refused(app.call("PATCH", path, {"title": "x"}), 409, "key_revoked")


def test_deleting_revokes(app, key):
    assert app.call("DELETE", f"/v1/keys/{key['id']}").status == 204
    assert app.gate_until(key["secret"]).status == 401
    assert app.must("GET", f"/v1/keys/{key['id']}")["status"] == "revoked"


# ---- customers and sign-ups ----

def test_a_sign_up_makes_customer_and_key(app):
    external_id = "c-" + secrets.token_hex(6)
    made = app.must("POST", "/v1/signups", {
        "external_id": external_id, "email": "a@b.example", "name": "Ä & Co", "tier": "free",
        "key": {"title": "mine", "permissions": ["csv_export"]}})
    assert made["customer"]["external_id"] == external_id and made["customer"]["name"] == "Ä & Co"
    assert made["key"]["customer_id"] == made["customer"]["id"] and made["key"]["title"] == "mine"
    assert made["customer"]["quota"]["limit"] == 1000 and made["customer"]["quota"]["used"] == 0
    assert app.gate_until(made["secret"]).status == 200
    assert app.must("GET", f"/v1/customers/{external_id}")["quota"]["used"] == 1
    problem = refused(app.call("POST", "/v1/signups", {"external_id": external_id, "email": "x@y.example",
                                                       "tier": "free"}), 409, "customer_exists")
    assert problem["customer_id"] == made["customer"]["id"]


def test_a_refused_sign_up_leaves_nothing(app):
    body = {"external_id": "c-" + secrets.token_hex(6), "email": "a@b.example", "tier": "free"}
    for change, status, code in (({"tier": "pro"}, 402, "payment_required"),
                                 ({"tier": "none-such"}, 422, "validation_failed"),
                                 ({"key": {"permissions": ["root"]}}, 422, "permission_not_allowed"),
                                 ({"email": "nonsense"}, 422, "validation_failed"),
                                 ({"external_id": "with space"}, 422, "validation_failed"),
                                 ({"deliver": "pigeon"}, 422, "validation_failed")):
        refused(app.call("POST", "/v1/signups", {**body, **change}), status, code)
        assert app.call("GET", f"/v1/customers/{body['external_id']}").status == 404
    assert app.call("POST", "/v1/signups", body).status == 201


def test_customers_are_found_by_what_is_sealed(app, wide):
    address = f"Someone.{secrets.token_hex(4)}@Example.com"
    made = app.must("POST", "/v1/customers", {"external_id": "c-" + secrets.token_hex(6), "email": address,
                                              "tier": wide, "metadata": {"plan": "x"}})
    assert made["email"] == address and made["payment"]["provider"] == "none"
    for query in (f"email={address.lower()}", f"external_id={made['external_id']}",
                  f"email={address.upper()}&tier={wide}"):
        assert app.must("GET", f"/v1/customers?{query}")["data"] == [made], query
    assert app.must("GET", f"/v1/customers?email={address}&tier=free")["data"] == []
    other = f"Other.{secrets.token_hex(4)}@Example.com"
    changed = app.must("PATCH", f"/v1/customers/{made['id']}", {"email": other, "name": "New", "metadata": {}})
    assert (changed["email"], changed["name"], changed["metadata"]) == (other, "New", {})
    assert app.must("GET", f"/v1/customers?email={address}")["data"] == []
    assert app.must("GET", f"/v1/customers?email={other}")["data"] == [changed]
    assert app.must("PATCH", f"/v1/customers/{made['id']}", {"name": None})["name"] is None


def test_a_tier_change_acts_at_once_and_is_payment_checked(app, customer, key):
    path = f"/v1/customers/{customer['id']}"
    refused(app.call("PATCH", path, {"tier": "pro"}), 402, "payment_required")
    refused(app.call("PATCH", path, {"tier": "none-such"}), 422, "validation_failed")
    assert app.must("GET", path)["tier"] == customer["tier"]
    app.tier("tiny", monthly_quota=1)
    assert app.must("PATCH", path, {"tier": "tiny"})["quota"]["limit"] == 1
    assert app.gate_until(key["secret"]).status == 200
    assert app.gate_until(key["secret"]).status == 429


def test_deleting_a_customer_revokes_its_keys_and_forgets_it(app, customer, key):
    path = f"/v1/customers/{customer['external_id']}"
    assert app.gate_until(key["secret"]).status == 200
    assert app.call("DELETE", path).status == 204
    assert app.gate_until(key["secret"]).status == 401
    assert app.call("GET", path).status == 404
    assert app.call("GET", f"/v1/customers/{customer['id']}").status == 404
    assert app.call("GET", f"{path}/usage").status == 404
    assert app.call("GET", f"/v1/customers/{customer['id']}/usage").status == 404
    assert app.call("GET", f"/v1/keys/{key['id']}/usage").status == 200
    assert app.must("GET", f"/v1/keys/{key['id']}")["title"] == ""
    again = app.must("POST", "/v1/customers", {"external_id": customer["external_id"],
                                               "email": "new@example.com", "tier": customer["tier"]})
    assert again["id"] != customer["id"]


def test_every_change_is_in_the_audit_log(app, key):
    app.must("POST", f"/v1/keys/{key['id']}/rotate")
    app.must("POST", f"/v1/keys/{key['id']}/revoke")
    rows = [row for row in app.must("GET", "/v1/audit?limit=50")["data"] if row["subject"] == key["id"]]
    assert [row["action"] for row in rows] == ["key.revoke", "key.rotate", "key.create"]
    assert all(row["actor"].startswith("tok_") for row in rows)


def test_a_revoked_token_changes_nothing_more(app, customer):
    token = app.must("POST", "/v1/tokens", {"name": "short", "scopes": ["issue"]})
    body = {"customer_id": customer["id"]}
    assert app.call("POST", "/v1/keys", body, token=token["secret"]).status == 201
    app.must("DELETE", f"/v1/tokens/{token['id']}")
    assert app.call("POST", "/v1/keys", body, token=token["secret"]).status == 401
    assert len(app.must("GET", f"/v1/keys?customer_id={customer['id']}")["data"]) == 1


# ---- texts ----

HIDDEN = ["a\nb", "a\tb", "\x1b[2J", "\x7f", "\x85", "invoice\u202efdp", "\u200b", "\u2066x", "\ufeff"]


@pytest.mark.parametrize("text", HIDDEN)
def test_what_hides_or_turns_the_writing_is_refused(app, customer, key, text):
    tier = app.must("GET", f"/v1/tiers/{customer['tier']}")
    for method, path, body, field in [
            ("PATCH", f"/v1/keys/{key['id']}", {"title": text}, "title"),
            ("PATCH", f"/v1/customers/{customer['id']}", {"name": text}, "name"),
            ("PUT", f"/v1/tiers/{tier['slug']}", {**tier, "name": text}, "name"),
            ("POST", "/v1/tokens", {"name": text, "scopes": ["read"]}, "name")]:
        problem = refused(app.call(method, path, body), 422, "validation_failed")
        wrong = next(c for c in text if c not in "abx[2Jinvoicefdp")
        assert [error["location"] for error in problem["errors"]] == [f"body.{field}"]
        assert f"take out U+{ord(wrong):04X}" in problem["errors"][0]["message"]
    body = {"external_id": f"x{text}", "email": "someone@example.com", "tier": customer["tier"]}
    problem = refused(app.call("POST", "/v1/customers", body), 422, "validation_failed")
    assert [error["location"] for error in problem["errors"]] == ["body.external_id"]
    lines = {"description": f"first\n\t{text}", "metadata": {"a": text}}
    answer = app.call("PATCH", f"/v1/keys/{key['id']}", lines)
    if "\n" in text or "\t" in text:
        assert answer.json["description"] == lines["description"]
    else:
        problem = refused(answer, 422, "validation_failed")
        assert [error["location"] for error in problem["errors"]] == ["body.description", "body.metadata"]
    assert app.must("GET", f"/v1/keys/{key['id']}")["title"] == "first"


def test_a_key_of_any_characters_is_just_unknown(app):
    for text in [*HIDDEN, "", "\u00e9" * 100]:
        assert app.must("POST", "/v1/verify", {"key": text}) == {"valid": False, "code": "NOT_FOUND"}
        assert app.call("POST", "/v1/keys/lookup", {"key": text}).status == 404
