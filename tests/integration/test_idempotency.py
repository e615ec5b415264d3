"""Idempotency-Key: a call that creates or replaces a secret is done once, whatever the client saw."""

import hashlib
import secrets

import pytest

from billing_stand_in import BillingStandIn
from daemon import Daemon
from nodes import Cluster

BILLING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def fresh():
    return "idem-" + secrets.token_hex(12)


def sign_up(tier="free", **more):
    return {"external_id": "once-" + secrets.token_hex(6), "email": "once@example.com", "tier": tier,
            **more}


def post(daemon, path, body, key, **headers):
    return daemon.call("POST", path, body, **{"Idempotency-Key": key}, **headers)


def digest(answer):
    """Of the body, whose secret no failed test is to print."""
    return hashlib.sha256(answer.body).hexdigest()


def same(first, again):
    """`again` is a replay of `first`, byte for byte."""
    assert (again.status, digest(again)) == (first.status, digest(first))
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Content-Type"] == first.headers["Content-Type"] == "application/json"
    assert again.headers["Cache-Control"] == "no-store"


@pytest.fixture(scope="module")
def owner(daemon):
    daemon.tier("many", max_keys=1000, rotation_days=90)
    return daemon.signup("many")


def key_count(daemon, customer_id):
    return len(daemon.must("GET", f"/v1/keys?customer_id={customer_id}&limit=200")["data"])


CALLS = {
    "signups": lambda owner: ("/v1/signups", sign_up()),
    "customers": lambda owner: ("/v1/customers", sign_up()),
    "keys": lambda owner: ("/v1/keys", {"customer_id": owner["customer"]["id"], "title": "one"}),
    "rotate": lambda owner: (f"/v1/keys/{owner['key']['id']}/rotate", {"grace_seconds": 0}),
    "regenerate": lambda owner: (f"/v1/keys/{owner['key']['id']}/regenerate", {}),
    "import": lambda owner: ("/v1/keys/import", {
        "customer_id": owner["customer"]["id"], "algorithm": "sha256", "start": "sk_old",
        "hash": hashlib.sha256(secrets.token_bytes(32)).hexdigest()}),
    "tokens": lambda owner: ("/v1/tokens", {"name": "once", "scopes": ["read"]}),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_same_key_and_body_get_the_same_answer(daemon, owner, call):
    path, body = CALLS[call](owner)
    key = fresh()
    first = post(daemon, path, body, key)
    assert first.status in (200, 201), first
    same(first, post(daemon, path, body, key))
    same(first, post(daemon, path, body, key))
    secret = first.json.get("secret")
    assert bool(secret) == (call not in ("customers", "import"))
    if secret and call != "tokens":
        assert daemon.gate_until(secret).status == 200


def test_a_replay_makes_nothing(daemon, owner):
    customer, key = owner["customer"]["id"], fresh()
    before = key_count(daemon, customer)
    body = {"customer_id": customer}
    first = post(daemon, "/v1/keys", body, key)
    same(first, post(daemon, "/v1/keys", body, key))
    assert key_count(daemon, customer) == before + 1
    assert post(daemon, "/v1/keys", body, fresh()).json["id"] != first.json["id"]


def test_another_body_is_refused(daemon, owner):
    customer, key = owner["customer"]["id"], fresh()
    body = {"customer_id": customer, "title": "one"}
    first = post(daemon, "/v1/keys", body, key)
    before = key_count(daemon, customer)
    for other in ({**body, "title": "two"}, dict(reversed(body.items()))):
        refused = post(daemon, "/v1/keys", other, key)
        assert (refused.status, refused.json["code"]) == (422, "idempotency_mismatch")
    assert key_count(daemon, customer) == before
    same(first, post(daemon, "/v1/keys", body, key))


def test_it_is_scoped_to_token_and_path(daemon, owner):
    key, body = fresh(), {"customer_id": owner["customer"]["id"]}
    other = daemon.must("POST", "/v1/tokens", {"name": "other", "scopes": ["issue"]})["secret"]
    first = post(daemon, "/v1/keys", body, key)
    theirs = post(daemon, "/v1/keys", body, key, token=other)
    assert theirs.status == 201 and theirs.json["id"] != first.json["id"]
    elsewhere = post(daemon, f"/v1/keys/{first.json['id']}/regenerate", {}, key)
    assert elsewhere.status == 200 and "Idempotent-Replayed" not in elsewhere.headers


def test_a_revoked_token_gets_no_replay(daemon, owner):
    made = daemon.must("POST", "/v1/tokens", {"name": "gone", "scopes": ["issue"]})
    key, body = fresh(), {"customer_id": owner["customer"]["id"]}
    assert post(daemon, "/v1/keys", body, key, token=made["secret"]).status == 201
    daemon.must("DELETE", f"/v1/tokens/{made['id']}")
    assert post(daemon, "/v1/keys", body, key, token=made["secret"]).status == 401


@pytest.mark.parametrize("key", ["short-of-sixteen", "x" * 256, "tab\tis-not-printable", "ä" * 16])
def test_a_key_that_is_none_is_named(daemon, owner, key):
    key = key[:15] if key.startswith("short") else key
    refused = post(daemon, "/v1/keys", {"customer_id": owner["customer"]["id"]}, key)
    assert (refused.status, refused.json["code"]) == (422, "validation_failed")
    assert refused.json["errors"][0]["location"] == "header.Idempotency-Key"
    assert "16 to 255 printable" in refused.json["errors"][0]["message"]


def test_where_no_secret_is_shown_a_short_key_does(daemon):
    body = sign_up()
    same(post(daemon, "/v1/customers", body, "c"), post(daemon, "/v1/customers", body, "c"))


def test_refusals_are_not_kept(daemon, owner):
    """After a 422 and a 409 the same key does the work, with another body too."""
    key = fresh()
    assert post(daemon, "/v1/keys", {"customer_id": "nobody"}, key).status == 422
    body = {"customer_id": owner["customer"]["id"]}
    made = post(daemon, "/v1/keys", body, key)
    assert made.status == 201
    path, key = f"/v1/keys/{made.json['id']}/rotate", fresh()
    daemon.must("POST", path, {"grace_seconds": 60})
    assert post(daemon, path, {}, key).json["code"] == "rotation_in_progress"
    daemon.must("POST", f"/v1/keys/{made.json['id']}/end-overlap")
    same(post(daemon, path, {}, key), post(daemon, path, {}, key))


def test_a_kept_rotation_tells_the_usage_exactly(daemon, owner):
    made = daemon.must("POST", "/v1/keys", {"customer_id": owner["customer"]["id"]})
    for _ in range(3):
        assert daemon.gate_until(made["secret"]).status == 200
    rotated = post(daemon, f"/v1/keys/{made['id']}/rotate", {}, fresh())
    assert rotated.json["usage"]["used"] == 3, rotated


def test_after_a_payment_the_same_key_signs_up(build_directory, tmp_path):
    """402 and 503 may be tried again, with the same key."""
    (tmp_path / "secret").write_text(BILLING_SECRET + "\n")
    (tmp_path / "secret").chmod(0o600)
    with BillingStandIn(BILLING_SECRET) as billing:
        daemon = Daemon(build_directory, ["payment.provider=http", f"payment.url={billing.url}",
                                          f"payment.secret_file={tmp_path}/secret", "payment.timeout=2s"])
        try:
            daemon.start()
            body, key = sign_up("pro", payment={"reference": "ref-1"}), fresh()
            assert post(daemon, "/v1/signups", body, key).status == 402
            billing.answer(status=500, body={"status": "active"})
            assert post(daemon, "/v1/signups", body, key).status == 503
            billing.answer(body={"status": "active"})
            same(post(daemon, "/v1/signups", body, key), post(daemon, "/v1/signups", body, key))
        finally:
            daemon.close()


def test_restarted_killed_and_on_another_node(build_directory):
    with Cluster(build_directory, "a", "b") as cluster:
        a, b = cluster.nodes
        body, key = sign_up(), fresh()
        first = post(a, "/v1/signups", body, key)
        assert first.status == 201, first
        same(first, post(b, "/v1/signups", body, key))
        assert post(b, "/v1/signups", {**body, "name": "x"}, key).json["code"] == "idempotency_mismatch"
        a.kill()
        a.start()
        same(first, post(a, "/v1/signups", body, key))
        # After a day nothing of it stands any more: here the day is taken out of the row.
        cluster.database.sql("UPDATE idempotency SET expires_at = 1")
        assert post(b, "/v1/signups", body, key).json["code"] == "customer_exists"

