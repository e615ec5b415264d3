"""Keys that were issued elsewhere: taken over by their hash, verified at once on every node, re-hashed
when they are first used."""

import base64
import hashlib
import hmac
import secrets

import pytest

from daemon import PATIENCE, Daemon, request, wait_for
from mariadb import Mariadb
from operator_side import Operator
from test_canary import sightings


@pytest.fixture(scope="module")
def app(daemon):
    return daemon


@pytest.fixture(scope="module")
def customer(app):
    tier = app.tier("import-" + secrets.token_hex(3))["slug"]
    return app.must("POST", "/v1/customers", {"external_id": "i-" + secrets.token_hex(6),
                                              "email": "i@example.com", "tier": tier})


def text_of(prefix="sk.live/"):
    return prefix + secrets.token_urlsafe(18) + "="


def sha256(text):
    return hashlib.sha256(text.encode()).digest()


def body(customer, text, **more):
    return {"customer_id": customer["id"], "algorithm": "sha256", "hash": sha256(text).hex(),
            "start": text[:10], **more}


def signed(customer, text, key, **more):
    digest = hmac.new(key, text.encode(), "sha256").digest()
    return body(customer, text, algorithm="hmac-sha256", hash=base64.b64encode(digest).decode(), **more)


def verify(app, text):
    return app.must("POST", "/v1/verify", {"key": text})


def rehashed(app, key):
    return any(row["action"] == "key.rehash" and row["subject"] == key["id"]
               for row in app.must("GET", "/v1/audit?limit=200")["data"])


def test_an_imported_key_works_at_once_and_is_rehashed_once(app, customer):
    text = text_of()
    assert app.gate(text).status == 401 and verify(app, text)["code"] == "NOT_FOUND"
    made = app.must("POST", "/v1/keys/import", body(customer, text, title="old", metadata={"a": 1}))
    assert "secret" not in made and made["start"] == text[:10] and made["title"] == "old"
    assert made["fingerprint"] == sha256(text).hex()[:8] and made["metadata"] == {"a": 1}
    assert app.gate(text).headers["X-Key-Id"] == made["id"]
    assert verify(app, text)["code"] == "VALID"
    assert verify(app, text + "x")["code"] == "NOT_FOUND"
    wait_for(lambda: rehashed(app, made), "the re-hashing")
    for _ in range(2):
        assert app.must("POST", "/v1/keys/lookup", {"key": text})["id"] == made["id"]
        assert verify(app, text)["key_id"] == made["id"]
    assert app.must("GET", f"/v1/keys/{made['id']}")["fingerprint"] == made["fingerprint"]
    again = app.call("POST", "/v1/keys/import", body(customer, text))
    assert again.status == 409 and again.json["code"] == "hash_exists"
    actions = [row["action"] for row in app.must("GET", "/v1/audit?limit=200")["data"]
               if row["subject"] == made["id"]]
    assert actions == ["key.rehash", "key.import"]


def test_it_is_looked_up_before_it_was_used(app, customer):
    text = text_of()
    made = app.must("POST", "/v1/keys/import", body(customer, text))
    assert app.must("POST", "/v1/keys/lookup", {"key": text})["id"] == made["id"]
    again = app.call("POST", "/v1/keys/import", body(customer, text))
    assert again.status == 409 and again.json["code"] == "hash_exists"


@pytest.mark.parametrize("key, form, wire", [
    (b"short", "text", "short"),
    (b"\x00\xff" * 40, "hex", (b"\x00\xff" * 40).hex()),
    (b"\x01\xfe" * 32, "base64", base64.b64encode(b"\x01\xfe" * 32).decode()),
])
def test_hmac(app, customer, key, form, wire):
    text = text_of()
    made = app.must("POST", "/v1/keys/import",
                    signed(customer, text, key, hmac_key=wire, hmac_key_encoding=form))
    assert verify(app, text)["key_id"] == made["id"]
    plain = text_of()  # by the same source, and by the other one
    app.must("POST", "/v1/keys/import", signed(customer, plain, key, hmac_key=wire, hmac_key_encoding=form))
    assert app.gate(plain).status == 200


def test_a_text_of_our_own_form_can_be_imported(app, customer):
    text = app.must("POST", "/v1/keys", {"customer_id": customer["id"]})["secret"]
    other = app.must("POST", "/v1/keys", {"customer_id": customer["id"]})
    assert app.must("POST", f"/v1/keys/{other['id']}/regenerate")["secret"]
    assert verify(app, other["secret"])["code"] == "NOT_FOUND"
    made = app.must("POST", "/v1/keys/import", body(customer, other["secret"]))
    assert verify(app, other["secret"])["key_id"] == made["id"]
    assert verify(app, text)["key_id"] != made["id"]


@pytest.mark.parametrize("use", [True, False])
def test_revoke_and_regenerate(app, customer, use):
    revoked, renewed = text_of(), text_of()
    keys = [app.must("POST", "/v1/keys/import", body(customer, text)) for text in (revoked, renewed)]
    if use:
        assert [verify(app, text)["code"] for text in (revoked, renewed)] == ["VALID"] * 2
    app.must("POST", f"/v1/keys/{keys[0]['id']}/revoke")
    assert verify(app, revoked)["code"] == "REVOKED" and app.gate(revoked).status == 401
    secret = app.must("POST", f"/v1/keys/{keys[1]['id']}/regenerate")["secret"]
    assert verify(app, renewed)["code"] == "NOT_FOUND" and verify(app, secret)["code"] == "VALID"
    assert app.call("POST", "/v1/keys/lookup", {"key": renewed}).status == 404


def test_max_keys_applies(app):
    customer = app.signup(tier="free", key={"title": "the one"})["customer"]
    answer = app.call("POST", "/v1/keys/import", body(customer, text_of()))
    assert answer.status == 403 and answer.json["code"] == "key_limit_reached"


@pytest.mark.parametrize("change, location", [
    ({"hash": "ab"}, "body.hash"), ({"hash": "zz" * 32}, "body.hash"), ({"hash": None}, "body.hash"),
    ({"algorithm": "md5"}, "body.algorithm"), ({"hmac_key": "x"}, "body.hmac_key"),
    ({"algorithm": "hmac-sha256"}, "body.hmac_key"),
    ({"algorithm": "hmac-sha256", "hmac_key": "xyz", "hmac_key_encoding": "hex"}, "body.hmac_key"),
    ({"start": "more than ten"}, "body.start"), ({"start": None}, "body.start"), ({"deliver": "response"}, "body.deliver"),
])
def test_a_wrong_field_is_named(app, customer, change, location):
    answer = app.call("POST", "/v1/keys/import", {**body(customer, text_of()), **change})
    assert answer.status == 422, answer
    assert location in [error["location"] for error in answer.json["errors"]]


def test_what_can_be_no_key_is_denied(app, customer):
    app.must("POST", "/v1/keys/import", body(customer, text_of()))
    assert app.gate("").status == 401 and app.gate("x" * 256).status == 401
    assert app.gate("x" * 255).status == 401
    assert verify(app, app.info["token"])["code"] == "NOT_FOUND"


def test_another_node_obeys_at_once(build_directory, tmp_path):
    """The first import of all, and each later one, with a source it has not heard of: the node answered
    "unknown" on the spot, and from memory, right before."""
    database, made = Mariadb(), []
    try:
        database.start()
        nodes = [Operator(build_directory, tmp_path, database, f"log-{name}") for name in "ab"]
        assert nodes[0].run("migrate", "up").returncode == 0
        token = nodes[0].run("token", "create", "--scope", "admin").stdout.strip()
        for node, name in zip(nodes, "ab"):
            made.append(node.serve(settings=[f"node.name={name}", PATIENCE]))
            node.wait_ready(made[-1])

        def call(node, method, path, what=None):
            return request(nodes[node].api, method, path, what, {"Authorization": f"Bearer {token}"})

        tier = {**call(0, "GET", "/v1/tiers/free").json, "slug": "wide", "name": "wide", "max_keys": 100}
        assert call(0, "PUT", "/v1/tiers/wide", tier).status in (200, 201)
        customer = call(0, "POST", "/v1/customers", {"external_id": "two", "email": "t@example.com",
                                                     "tier": "wide"}).json
        for i in range(4):
            text = text_of()
            for _ in range(2):
                assert call(1, "POST", "/v1/verify", {"key": text}).json["code"] == "NOT_FOUND"
            what = signed(customer, text, b"k%d" % i, hmac_key=f"k{i}") if i % 2 else body(customer, text)
            key = call(0, "POST", "/v1/keys/import", what)
            assert key.status == 201, key
            assert call(1, "POST", "/v1/verify", {"key": text}).json["code"] == "VALID"
            assert call(0, "POST", "/v1/verify", {"key": text}).json["code"] == "VALID"
            wait_for(lambda: database.value("SELECT COUNT(*) FROM key_hash WHERE algorithm IN ('sha256',"
                                            " 'hmac-sha256')") == "0", "the re-hashing")
            assert call(1, "POST", "/v1/verify", {"key": text}).json["code"] == "VALID"
    finally:
        for process in made:
            process.kill()
            process.wait()
        database.close()


def test_an_hmac_key_is_found_nowhere(build_directory):
    app = Daemon(build_directory).start()
    try:
        tier = app.tier("canary")["slug"]
        customer = app.must("POST", "/v1/customers", {"external_id": "planted-canary-0815",
                                                      "email": "c@example.com", "tier": tier})
        key, text = "canary-" + secrets.token_hex(20), text_of()
        app.must("POST", "/v1/keys/import", signed(customer, text, key.encode(), hmac_key=key))
        assert app.gate_until(text).status == 200
        app.call("POST", "/v1/keys/import", signed(customer, text, key.encode(), hmac_key=key))
        wait_for(lambda: any(row["action"] == "key.rehash" for row in
                             app.must("GET", "/v1/audit?limit=200")["data"]), "the re-hashing")
        assert app.stop() == 0
        assert sightings(app.state, ["planted-canary-0815"])
        assert sightings(app.state, [key, text]) == []
    finally:
        app.close()
