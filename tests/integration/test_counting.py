"""What is counted against what: monthly caps, test keys, overage and ack = memory, from outside."""

from daemon import wait_for


def new_key(daemon, made, **fields):
    return daemon.must("POST", "/v1/keys", {"customer_id": made["customer"]["id"], **fields})


def counts(daemon, secret, times):
    statuses = [daemon.gate_until(secret).status for _ in range(times + 1)]
    return statuses == [200] * times + [429]


def test_a_cap_bounds_its_key_and_counts_against_the_quota(daemon):
    daemon.tier("capped", monthly_quota=5)
    made = daemon.signup("capped")
    key = new_key(daemon, made, monthly_cap=3)
    assert key["monthly_cap"] == 3
    assert counts(daemon, key["secret"], 3)
    assert '"month";r=0;' in daemon.gate_until(key["secret"]).headers["RateLimit"]
    changed = daemon.must("PATCH", f"/v1/keys/{key['id']}", {"monthly_cap": 4})
    assert changed["monthly_cap"] == 4
    assert counts(daemon, key["secret"], 1)
    assert daemon.must("PATCH", f"/v1/keys/{key['id']}", {"monthly_cap": None})["monthly_cap"] is None
    assert counts(daemon, key["secret"], 1)
    assert daemon.gate_until(made["secret"]).status == 429
    assert daemon.must("GET", f"/v1/customers/{made['customer']['id']}")["quota"]["used"] == 5
    assert daemon.must("GET", f"/v1/keys/{key['id']}")["usage"]["used"] == 5


def test_a_test_key_is_verified_and_not_counted_against_the_quota(daemon):
    daemon.tier("tried", monthly_quota=1)
    made = daemon.signup("tried")
    key = new_key(daemon, made, environment="test")
    assert key["secret"].startswith("km_test_") and key["environment"] == "test"
    for _ in range(3):
        answer = daemon.gate_until(key["secret"])
        assert answer.status == 200 and answer.headers["X-Key-Environment"] == "test"
    verdict = daemon.must("POST", "/v1/verify", {"key": key["secret"]})
    assert verdict["valid"] and verdict["environment"] == "test"
    assert counts(daemon, made["secret"], 1)
    assert daemon.gate_until(key["secret"]).status == 200
    assert daemon.must("GET", f"/v1/customers/{made['customer']['id']}")["quota"]["used"] == 1
    assert daemon.must("GET", f"/v1/keys/{key['id']}")["usage"]["used"] == 5


def test_overage_is_allowed_and_shown(daemon):
    daemon.tier("over", monthly_quota=2, overage="allow")
    made = daemon.signup("over")
    for _ in range(4):
        assert daemon.gate_until(made["secret"]).status == 200
    quota = daemon.must("GET", f"/v1/customers/{made['customer']['id']}")["quota"]
    assert (quota["limit"], quota["used"], quota["remaining"]) == (2, 4, 0)
    quota = daemon.must("POST", "/v1/verify", {"key": made["secret"]})["quota"]
    assert (quota["limit"], quota["used"], quota["remaining"]) == (2, 5, 0)
    daemon.tier("over", monthly_quota=2, overage="block")
    assert daemon.gate_until(made["secret"]).status == 429


def test_memory_counts_all_the_same(daemon):
    daemon.tier("quick", monthly_quota=40, ack="memory")
    made = daemon.signup("quick")
    assert counts(daemon, made["secret"], 40)
    shown = f"/v1/customers/{made['customer']['id']}"
    wait_for(lambda: daemon.must("GET", shown)["quota"]["used"] == 40, "all counts")
    daemon.must("POST", f"/v1/keys/{made['key']['id']}/revoke")
    assert daemon.gate_until(made["secret"]).status == 401
