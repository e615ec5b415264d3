"""`POST /v1/verify/batch` seen from outside: order, exactness within a batch, what is refused as a
whole, and that a 503 hides no charged call."""

import json
import os
import secrets
import signal

import pytest

import mariadb
from daemon import Daemon, wait_for


def batch(daemon, calls, token=None, status=200):
    answer = daemon.call("POST", "/v1/verify/batch", {"requests": calls}, token=token)
    assert answer.status == status, answer
    return answer.json["results"] if status == 200 else answer.json


def settled(daemon, calls):
    """A first call of a customer may find no lease in time: what is UNAVAILABLE is sent again."""
    def ask():
        answer = daemon.call("POST", "/v1/verify/batch", {"requests": calls})
        return answer.status != 503 and answer.json["results"]
    return wait_for(ask, "an answer other than 503")


def quiet(daemon, made):
    """The changes that made the key have been read: it is decided upon in peace from now on."""
    settled(daemon, [{"key": made["secret"], "cost": 0}])
    return made


def used(daemon, made):
    return daemon.must("GET", f"/v1/customers/{made['customer']['id']}")["quota"]["used"]


@pytest.fixture(scope="module")
def wide(daemon):
    daemon.tier("wide", monthly_quota=None, permissions=["csv_export"])
    return daemon.signup("wide")


def test_a_quota_is_exact_within_a_batch_and_in_order(daemon):
    daemon.tier("ten", monthly_quota=10)
    made = quiet(daemon, daemon.signup("ten"))
    codes = [r["code"] for r in settled(daemon, [{"key": made["secret"]}] * 25)]
    assert codes == ["VALID"] * 10 + ["QUOTA_EXCEEDED"] * 15
    assert used(daemon, made) == 10


def test_as_many_are_accepted_while_the_key_is_new(daemon):
    made = daemon.signup("ten")
    codes = sorted(r["code"] for r in settled(daemon, [{"key": made["secret"]}] * 500))
    assert codes == ["QUOTA_EXCEEDED"] * 490 + ["VALID"] * 10
    assert used(daemon, made) == 10


def test_costs_are_taken_in_order(daemon):
    made = quiet(daemon, daemon.signup("ten"))
    costs = [4, 4, 4, 2, 0, 1]
    codes = [r["code"] for r in settled(daemon, [{"key": made["secret"], "cost": c} for c in costs])]
    assert codes == ["VALID", "VALID", "QUOTA_EXCEEDED", "VALID", "VALID", "QUOTA_EXCEEDED"]
    assert used(daemon, made) == 10


def test_rate_limits_count_within_a_batch(daemon):
    daemon.tier("slow", monthly_quota=None,
                rate_limits=[{"name": "day", "limit": 3, "window_seconds": 86400}])
    made = daemon.signup("slow")
    codes = [r["code"] for r in settled(daemon, [{"key": made["secret"]}] * 7)]
    assert codes == ["VALID"] * 3 + ["RATE_LIMITED"] * 4
    assert used(daemon, made) == 3


def test_a_thousand_of_many_keys_stay_in_order(daemon, wide):
    made = [wide, *(daemon.signup("wide") for _ in range(4))]
    calls = [{"key": made[i % 5]["secret"], "cost": i % 3} for i in range(1000)]
    before = [used(daemon, m) for m in made]
    results = settled(daemon, calls)
    assert len(results) == 1000
    for i, result in enumerate(results):
        assert result["code"] == "VALID", (i, result)
        assert result["key_id"] == made[i % 5]["key"]["id"], i
    for k, m in enumerate(made):
        charged = sum(call["cost"] for call in calls[k::5])
        assert used(daemon, m) - before[k] == charged


def test_mixed_denials_keep_their_places(daemon, wide):
    customer = wide["customer"]["id"]
    def key(**more):
        return daemon.must("POST", "/v1/keys", {"customer_id": customer, **more})
    revoked, disabled, fenced = key(), key(), key(allowed_networks=["192.0.2.0/24"])
    daemon.must("POST", f"/v1/keys/{revoked['id']}/revoke")
    daemon.must("POST", f"/v1/keys/{disabled['id']}/disable")
    dead = key()
    daemon.must("POST", f"/v1/keys/{dead['id']}/regenerate", {})
    calls = [({"key": "nonsense"}, "NOT_FOUND"), ({"key": wide["secret"]}, "VALID"),
             ({"key": dead["secret"]}, "NOT_FOUND"), ({"key": disabled["secret"]}, "DISABLED"),
             ({"key": daemon.info["token"]}, "NOT_FOUND"),
             ({"key": revoked["secret"]}, "REVOKED"),
             ({"key": fenced["secret"]}, "IP_NOT_ALLOWED"),
             ({"key": fenced["secret"], "ip": "192.0.2.9"}, "VALID"),
             ({"key": wide["secret"], "permissions": ["nobody"]}, "INSUFFICIENT_PERMISSIONS"),
             ({"key": wide["secret"], "cost": 0}, "VALID")]
    results = settled(daemon, [call for call, _ in calls])
    got = [result["code"] for result in results]
    wanted = [code for _, code in calls]
    assert got == wanted
    assert [r["valid"] for r in results] == [c == "VALID" for c in got]


def test_what_is_malformed_is_refused_as_a_whole_and_charges_nothing(daemon, wide):
    good = {"key": wide["secret"]}
    before = used(daemon, wide)
    wrong = batch(daemon, [good, {"key": wide["secret"], "cost": -1}, {"cost": 1}, 7,
                           {**good, "surprise": 1}, {**good, "ip": "nowhere"}], status=422)
    assert [error["location"] for error in wrong["errors"]] == [
        "body.requests[1].cost", "body.requests[2].key", "body.requests[3]",
        "body.requests[4].surprise", "body.requests[5].ip"]
    assert batch(daemon, [good] * 1001, status=422)["errors"][0]["location"] == "body.requests"
    for body in ({"requests": None}, {"requests": {}}, {}, {"requests": [], "more": 1}):
        assert daemon.call("POST", "/v1/verify/batch", body).status == 422, body
    assert used(daemon, wide) == before
    assert batch(daemon, []) == []


def test_the_body_may_have_512_kib_here_and_only_here(daemon, wide):
    head = {"Content-Type": "application/json"}
    body = json.dumps({"requests": [{"key": wide["secret"]}]}).encode()
    most = body + b" " * (512 * 1024 - len(body))
    assert daemon.call("POST", "/v1/verify/batch", most, **head).status == 200
    assert daemon.call("POST", "/v1/verify/batch", most + b" ", **head).status == 413
    assert daemon.call("POST", "/v1/verify", most, **head).status == 413
    # A body at its limit and full of calls: each with the longest permissions that fit.
    names = ["p" + secrets.token_hex(4) for _ in range(20)]
    many = [{"key": "x" * 200, "permissions": names}] * 1000
    text = json.dumps({"requests": many}, separators=(",", ":")).encode()
    assert len(text) < 512 * 1024
    assert {r["code"] for r in daemon.call("POST", "/v1/verify/batch", text, **head).json["results"]} == {
        "NOT_FOUND"}


def test_metadata_is_left_out_of_the_rest_of_a_large_answer(daemon):
    made = daemon.signup("wide")
    big = {f"name{i}": "x" * 500 for i in range(20)}
    key = daemon.must("POST", "/v1/keys", {"customer_id": made["customer"]["id"], "metadata": big})
    results = settled(daemon, [{"key": key["secret"]}] * 1000)
    told = [r.get("metadata") == big for r in results]
    assert told == sorted(told, reverse=True) and 150 < sum(told) < 250
    assert all(r["valid"] for r in results)


def test_a_revoked_token_gets_401(daemon, wide):
    token = daemon.must("POST", "/v1/tokens", {"name": "batch", "scopes": ["verify"]})
    calls = [{"key": wide["secret"]}]
    assert batch(daemon, calls, token["secret"])[0]["valid"]
    daemon.must("DELETE", f"/v1/tokens/{token['id']}")
    batch(daemon, calls, token["secret"], status=401)
    reader = daemon.must("POST", "/v1/tokens", {"name": "reader", "scopes": ["read"]})
    batch(daemon, calls, reader["secret"], status=403)


def test_a_full_queue_refuses_the_whole_and_a_dead_database_hides_nothing(build_directory):
    daemon = Daemon(build_directory, ["metering.queue=100"]).start()
    try:
        daemon.tier("wide", monthly_quota=None)
        made = daemon.signup("wide")
        call = {"key": made["secret"]}
        wrong = batch(daemon, [call] * 101, status=422)
        assert "metering.queue" in wrong["errors"][0]["message"]
        assert {r["code"] for r in settled(daemon, [call] * 100)} == {"VALID"}
        database = daemon.info["database_pid"]
        mariadb.freeze(database)
        try:
            answer = daemon.call("POST", "/v1/verify/batch", {"requests": [call, {"key": "x"}]})
            assert answer.status == 503 and answer.headers["Retry-After"]
        finally:
            os.kill(database, signal.SIGCONT)
        assert {r["code"] for r in settled(daemon, [call] * 100)} == {"VALID"}
        assert 200 <= used(daemon, made) <= 201
        assert daemon.stop() == 0
    finally:
        daemon.close()
