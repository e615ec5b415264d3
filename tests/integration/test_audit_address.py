"""Whose address stands in the audit log: the client's as trusted proxies tell it, whatever the call."""

import hashlib
import secrets

import pytest

from daemon import Daemon

CLIENT = "198.51.100.7"


@pytest.fixture(scope="module")
def behind(build_directory):
    running = Daemon(build_directory, ["listen.trusted_proxies=127.0.0.0/8"])
    try:
        yield running.start()
        assert running.stop() == 0, running.log()[-4000:]
    finally:
        running.close()


def calls(app):
    """Each call that changes something, made through a proxy; gives what they were made on."""
    def call(method, path, body=None):
        answer = app.call(method, path, body, **{"X-Forwarded-For": f"203.0.113.9, {CLIENT}"})
        assert answer.status in (200, 201, 202, 204), (method, path, answer)
        return answer.json if answer.body else {}

    tag = secrets.token_hex(6)
    tier = call("GET", "/v1/tiers/free")
    tier.update(slug="t" + tag, name="Audited", max_keys=9)
    call("PUT", "/v1/tiers/t" + tag, tier)
    call("POST", "/v1/signups", {"external_id": "s" + tag, "email": "a@example.com", "tier": "free"})
    customer = call("POST", "/v1/customers", {"external_id": "c" + tag, "email": "b@example.com",
                                              "tier": "t" + tag})["id"]
    call("PATCH", f"/v1/customers/{customer}", {"name": "Another"})
    call("POST", "/v1/keys/import", {"customer_id": customer, "algorithm": "sha256", "start": "old_",
                                     "hash": hashlib.sha256(tag.encode()).hexdigest()})
    key = "/v1/keys/" + call("POST", "/v1/keys", {"customer_id": customer})["id"]
    call("PATCH", key, {"title": "Another"})
    call("POST", key + "/rotate", {})
    call("POST", key + "/end-overlap", {})
    call("POST", key + "/postpone", {"days": 1})
    call("POST", key + "/regenerate", {})
    call("POST", key + "/disable")
    call("POST", key + "/enable")
    call("POST", key + "/revoke")
    call("POST", f"/v1/customers/{customer}/payment-approvals",
         {"tier": "pro", "until": "2099-01-01T00:00:00Z", "note": "paid"})
    call("DELETE", f"/v1/customers/{customer}")
    made = call("POST", "/v1/tokens", {"name": "audited", "scopes": ["verify"]})
    call("DELETE", "/v1/tokens/" + made["id"])


def test_every_call_is_noted_with_the_clients_address(behind):
    newest = behind.must("GET", "/v1/audit?limit=1")["data"][0]["id"]
    calls(behind)
    rows = behind.must("GET", "/v1/audit?limit=200")["data"]
    rows = rows[:[row["id"] for row in rows].index(newest)]
    assert len({row["action"] for row in rows}) >= 12, sorted({row["action"] for row in rows})
    assert {(row["action"], row["address"]) for row in rows if row["actor"].startswith("tok_")} == \
        {(row["action"], CLIENT) for row in rows if row["actor"].startswith("tok_")}


def test_who_is_no_trusted_proxy_cannot_write_an_address(daemon):
    made = daemon.call("POST", "/v1/tokens", {"name": "forged", "scopes": ["verify"]},
                       **{"X-Forwarded-For": CLIENT})
    assert made.status == 201
    row = daemon.must("GET", "/v1/audit?action=token.create&limit=1")["data"][0]
    assert (row["subject"], row["address"]) == (made.json["id"], "127.0.0.1")
