"""The log's lines about requests: each management request of a token once, failed authentications with
a bounded rate, and never a path, a whole key or a call of the gateway."""

import json

import pytest

from daemon import Daemon, request, wait_for

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def logged(build_directory):
    daemon = Daemon(build_directory, ["log.refusals=1000", "log.level=info"]).start()
    try:
        yield daemon
        assert daemon.stop() == 0, daemon.log()[-4000:]
    finally:
        daemon.close()


def lines(daemon, event):
    """The lines of one event; whatever begins like one must be a JSON object."""
    found = []
    for line in (daemon.state / "log").read_text().split("\n"):
        if line.startswith("{"):
            entry = json.loads(line)
            if entry.get("event") == event:
                found.append(entry)
    return found


def of_request(daemon, event, request_id):
    return [entry for entry in lines(daemon, event) if entry["request_id"] == request_id]


def test_a_management_request_is_one_line(logged):
    made = logged.signup("free")
    answer = logged.call("GET", f"/v1/keys/{made['key']['id']}?", **{
        "X-Request-Id": "log-1", "traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert answer.status == 200
    [line] = of_request(logged, "request", "log-1")
    assert line["level"] == "info"
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/keys/{id}", 200)
    assert line["duration_ms"] >= 0 and line["address"] == "127.0.0.1"
    assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)
    assert line["token"].startswith("tok_") and "suppressed" not in line
    refused = logged.call("POST", "/v1/keys", {"title": 7}, **{"X-Request-Id": "log-2"})
    assert refused.status == 422
    assert [e["status"] for e in of_request(logged, "request", "log-2")] == [422]


@pytest.mark.parametrize("header", ["", "00-" + "0" * 32 + f"-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01",
                                    f'00-{TRACE}-{SPAN}-0"', f"00-{TRACE}-{SPAN}"])
def test_a_malformed_traceparent_is_left_out(logged, header):
    name = f"trace-{abs(hash(header))}"
    logged.call("GET", "/v1/tiers", **{"X-Request-Id": name, "traceparent": header})
    [line] = of_request(logged, "request", name)
    assert "trace_id" not in line and "span_id" not in line


def test_calls_of_the_gateway_and_verify_have_no_line(logged):
    secret = logged.signup("free")["secret"]
    assert logged.gate_until(secret, **{"X-Request-Id": "gate-1"}).status == 200
    for path, body in (("/v1/verify", {"key": secret}), ("/v1/verify/batch", {"requests": []})):
        assert logged.call("POST", path, body, **{"X-Request-Id": "gate-1"}).status == 200
    logged.call("GET", "/livez", token="", **{"X-Request-Id": "gate-1"})
    logged.call("GET", "/v1/tiers", **{"X-Request-Id": "gate-2"})
    assert of_request(logged, "request", "gate-2")
    assert not of_request(logged, "request", "gate-1")


def test_every_failed_authentication_is_told(logged):
    made = logged.signup("free")
    secret, path = made["secret"], f"/v1/keys/{made['key']['id']}"
    other = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    token = logged.must("POST", "/v1/tokens", {"name": "gone", "scopes": ["read"]})
    logged.must("DELETE", f"/v1/tokens/{token['id']}")
    logged.must("POST", path + "/revoke")

    def told(call, where, reason, key, **more):
        name = f"auth-{where}-{reason}-{len(lines(logged, 'auth_failed'))}"
        call(name)
        [line] = of_request(logged, "auth_failed", name)
        assert (line["where"], line["reason"], line["level"]) == (where, reason, "warn")
        assert line["key"] == key and line["address"] == more.get("address", "127.0.0.1")
        assert not of_request(logged, "request", name)

    def gate(key):
        return lambda name: logged.gate(key, **{"X-Request-Id": name})

    def api(key):
        return lambda name: logged.call("GET", "/v1/tiers", token=key, **{"X-Request-Id": name})

    def verify(body):
        return lambda name: logged.call("POST", "/v1/verify", body, **{"X-Request-Id": name})

    start = secret[:10] + "..."
    told(gate(None), "gateway", "missing", None)
    told(gate(other), "gateway", "malformed", start)
    told(gate(secret), "gateway", "revoked", start)
    told(gate("hunter2"), "gateway", "malformed", "h...")
    told(gate('" \\\t;x' * 12), "gateway", "malformed", "?????x????...")
    told(api(""), "api", "missing", None)
    told(api("kmt_" + "x" * 49), "api", "malformed", "kmt_xxxxxx...")
    told(api(token["secret"]), "api", "unknown", token["secret"][:10] + "...")
    told(verify({"key": secret, "ip": "192.0.2.77"}), "verify", "revoked", start, address="192.0.2.77")
    told(verify({"key": other}), "verify", "malformed", start)


def test_no_whole_key_is_ever_logged(logged):
    made = logged.signup("free")
    logged.call("GET", f"/v1/{made['secret']}")
    logged.call("GET", f"/v1/keys/{made['secret']}")
    logged.gate(made["secret"] + "x", **{"X-Request-Id": "whole"})
    logged.call("GET", "/v1/tiers", token=made["secret"])
    assert len(of_request(logged, "auth_failed", "whole")) == 1
    text = (logged.state / "log").read_text()
    assert made["secret"] not in text and made["secret"][:12] not in text


def test_a_flood_of_failures_is_bounded_and_counted(build_directory):
    daemon = Daemon(build_directory, ["log.refusals=3"]).start()
    try:
        before = len(lines(daemon, "auth_failed"))
        for _ in range(400):
            assert daemon.gate("nonsense").status == 401
        def told():
            """The next line of a later second says how many were kept back."""
            daemon.gate("nonsense")
            found = lines(daemon, "auth_failed")[before:]
            calls = len(found) + sum(line.get("suppressed", 0) for line in found)
            return found if "suppressed" in found[-1] and calls >= 401 else None
        found = wait_for(told, "the number of lines kept back")
        seconds = {}
        for line in found:
            seconds.setdefault(line["time"][:19], []).append(line)
        # Seconds of the log's clock and of the limit's are not the same ones: two of the latter touch
        # one of the former.
        assert max(map(len, seconds.values())) <= 6
        text = request(daemon.api, "GET", "/metrics").body.decode()
        assert 'auth_failures_total{where="gateway",reason="malformed"} 4' in text
        assert daemon.stop() == 0
    finally:
        daemon.close()


def test_requests_can_be_switched_off(build_directory):
    daemon = Daemon(build_directory, ["log.requests=no", "log.refusals=0"]).start()
    try:
        daemon.signup("free")
        daemon.gate("nonsense")
        daemon.call("GET", "/v1/nothing", token="")
        assert not lines(daemon, "request") and not lines(daemon, "auth_failed")
        assert daemon.stop() == 0
    finally:
        daemon.close()
