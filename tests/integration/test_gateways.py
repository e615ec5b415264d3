"""docs/gateways.md, run: each program of that page with that page's blocks, between a client and an
app, asking a real `keymeterd dev`. A program that is not installed is reported as not run."""

import contextlib
import re

import pytest
import yaml

from daemon import Daemon, wait_for
from gateway_docs import App, Proxy, Relay, blocks, find_program, own_addresses
from nodes import Cluster

NAMES = ["nginx", "nginx-deny-403", "haproxy", "caddy", "traefik", "envoy"]
IDENTITY = ["X-Key-Id", "X-Key-Customer", "X-Key-Tier", "X-Key-Environment", "X-Key-Permissions",
            "X-Key-Expires-At"]
PAGE_ORIGIN = "https://app.example.com"
PATIENCE = "metering.max_wait=900ms"  # a busy machine's commits, still within the proxies' 1 s
UNKNOWN = "km_live_" + "0" * 49


def needs(name):
    program = name.split("-")[0]
    if not find_program(program):
        pytest.skip(f"NOT RUN: {name}: no program {program} on the PATH")


@pytest.fixture(scope="module")
def keymeter(build_directory):
    daemon = Daemon(build_directory, ["limits.head_timeout=2s", PATIENCE,
                                      "listen.trusted_proxies=" + ", ".join(own_addresses())])
    try:
        daemon.start()
        daemon.tier("wide", monthly_quota=None)
        daemon.tier("slow", monthly_quota=None,
                    rate_limits=[{"name": "hour", "limit": 2, "window_seconds": 3600}])
        daemon.tier("three", monthly_quota=3)
        yield daemon
        assert daemon.stop() == 0, daemon.log()[-4000:]
    finally:
        daemon.close()


@pytest.fixture(scope="module")
def app():
    app = App()
    yield app
    app.close()


def asks(proxy):
    """A program that fails at its start ends the test at once, with its log."""
    assert proxy.process.poll() is None, proxy.log()[-4000:]
    return proxy.call().status == 401


@pytest.fixture(scope="module", params=NAMES)
def proxy(request, keymeter, app):
    needs(request.param)
    relay = Relay(keymeter.gateway)
    proxy = Proxy(request.param, app, [keymeter], [relay])
    proxy.relay, proxy.app, proxy.keymeter = relay, app, keymeter
    try:
        proxy.start()
        # HAProxy needs a health check first.
        wait_for(lambda: asks(proxy), f"{proxy.name} to ask")
        yield proxy
    finally:
        proxy.close()
        relay.down()


def new(proxy, tier="wide", **key):
    return proxy.keymeter.signup(tier, key={"title": "t", **key})


def auth(made):
    return ("X-API-Key", made["secret"])


def used(proxy, made):
    return proxy.keymeter.must("GET", f"/v1/keys/{made['key']['id']}")["usage"]["used"]


def reached(proxy, path, headers=(), **more):
    """The answer, and what reached the app meanwhile."""
    before = len(proxy.app.calls)
    answer = proxy.call(path, headers, **more)
    return answer, proxy.app.calls[before:]


def denied(proxy, headers, status, code, path="/x.html"):
    answer, calls = reached(proxy, path, headers)
    assert (answer.status, calls) == (status, []), (answer, proxy.log()[-2000:])
    assert answer.headers.get_all("Content-Type") == ["application/problem+json"]
    assert (answer.json["status"], answer.json["code"]) == (status, code)
    return answer


FORGERIES = [
    [],
    [(name, "forged") for name in IDENTITY],
    [(name, "") for name in IDENTITY],
    [(name, "forged") for name in IDENTITY for _ in range(2)],
    [(name.lower(), "forged") for name in IDENTITY],
    [(name.replace("-", "_"), "forged") for name in IDENTITY],
]


@pytest.mark.parametrize("forged", FORGERIES, ids=["none", "plain", "empty", "twice", "lower", "underscores"])
def test_the_app_hears_who_calls_from_keymeter_alone(proxy, forged):
    made = new(proxy)
    answer, calls = reached(proxy, "/a?b=c", [*forged, auth(made)])
    assert (answer.status, len(calls)) == (200, 1), (answer, proxy.log()[-2000:])
    assert calls[0]["path"] == "/a?b=c"
    heard = {}
    for name, value in calls[0]["headers"]:
        name = name.lower().replace("_", "-")
        if name.startswith("x-key-") and value:
            heard.setdefault(name, []).append(value)
    # Permissions and expiry are empty: no value of the client's may stand there.
    assert heard == {"x-key-id": [made["key"]["id"]], "x-key-tier": ["wide"], "x-key-environment": ["live"],
                     "x-key-customer": [made["customer"]["external_id"]]}
    if proxy.name == "traefik":  # copies nothing of an allowing answer to the client
        return
    assert '"second";q=1000000' in answer.headers["RateLimit-Policy"]
    assert '"second";r=' in answer.headers["RateLimit"]


def test_a_bearer_token_passes(proxy):
    made = new(proxy)
    assert proxy.call("/", [("Authorization", "Bearer " + made["secret"])]).status == 200


@pytest.mark.parametrize("headers", [[], [("X-API-Key", UNKNOWN)], [("X-API-Key", "")]])
def test_no_good_key_is_401(proxy, headers):
    answer = denied(proxy, headers, 401, "key_not_found")
    assert len(answer.headers.get_all("WWW-Authenticate")) == 1
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_disabled_key_is_403(proxy):
    made = new(proxy)
    proxy.keymeter.must("POST", f"/v1/keys/{made['key']['id']}/disable")
    denied(proxy, [auth(made)], 403, "key_disabled")


def test_rate_and_quota_are_429(proxy):
    made = new(proxy, "slow")
    assert [proxy.call("/", [auth(made)]).status for _ in range(2)] == [200, 200]
    answer = denied(proxy, [auth(made)], 429, "rate_limited")
    assert 1700 < int(answer.headers["Retry-After"]) <= 1800
    assert '"hour";r=0' in answer.headers["RateLimit"]
    made = new(proxy, "three")
    assert [proxy.call("/", [auth(made)]).status for _ in range(3)] == [200] * 3
    answer = denied(proxy, [auth(made)], 429, "quota_exceeded")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json["type"].endswith("#quota-exceeded")


def test_a_preflight_is_answered_without_a_key(proxy):
    asks = [("Origin", PAGE_ORIGIN), ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "x-api-key")]
    answer, calls = reached(proxy, "/a", asks, method="OPTIONS")
    assert answer.status in (200, 204) and not calls
    assert answer.headers.get_all("Access-Control-Allow-Origin") == [PAGE_ORIGIN]
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "x-api-key" in answer.headers["Access-Control-Allow-Headers"].lower()
    # What only looks like one is asked for a key.
    answer, calls = reached(proxy, "/a", [], method="OPTIONS")
    assert (answer.status, calls) == (401, [])
    answer, calls = reached(proxy, "/a", asks, method="POST")
    assert (answer.status, calls) == (401, [])


def test_what_a_client_adds_to_its_url_gains_nothing(proxy):
    made = new(proxy)
    attacks = ["/?cost=0", "/?permissions=", "/?cost=0&cost=0", "/a?deny=403", "/~cost=0/", "/~cost=0",
               "/%7Ecost=0/", "/%7ecost=0/a", "//~cost=0/", "/a/../~cost=0/", "/;cost=0", "/a;cost=0/",
               "/~/~cost=0/", "/%2e%2e/gateway?cost=0", "/%3Fcost=0", "/%23?cost=0", "/?%63ost=0"]
    passed = 0
    for path in attacks:
        answer, calls = reached(proxy, path, [auth(made)])
        assert len(calls) == (answer.status == 200), path
        passed += answer.status == 200
        assert used(proxy, made) == passed, path
    assert passed >= 10
    # Nor does it get past a permission, with the price that this path has.
    before = used(proxy, made)
    for path in ("/export/", "/export/?permissions=", "/export/?cost=0", "/export/~permissions=/",
                 "/export/a?permissions=csv_export"):
        denied(proxy, [auth(made)], 403, "insufficient_permissions", path)
    assert used(proxy, made) == before
    made = new(proxy, permissions=["csv_export"])
    answer, calls = reached(proxy, "/export/a?cost=0", [auth(made)])
    assert (answer.status, len(calls), used(proxy, made)) == (200, 1, 10)


def test_each_call_counts_once_over_kept_connections(proxy):
    made = new(proxy)
    assert proxy.call("/", [auth(made)]).status == 200
    connections = proxy.relay.accepted
    with contextlib.closing(proxy.connect()) as client:
        for number in range(20):
            method = "POST" if number % 2 else "GET"
            body = b"x" * 5000 if number % 2 else None
            answer = proxy.call("/a", [auth(made)], method=method, body=body, connection=client)
            assert (answer.status, answer.json["method"]) == (200, method)
            assert answer.json["length"] == len(body or b"")
    assert used(proxy, made) == 21
    assert proxy.relay.accepted - connections <= 2


def test_the_address_is_the_clients_and_not_what_it_says(proxy):
    inside = new(proxy, allowed_networks=["127.0.0.0/8"])
    outside = new(proxy, allowed_networks=["10.0.0.0/8"])
    for said in ([], [("X-Forwarded-For", "10.0.0.1")], [("X-Real-Ip", "10.0.0.1")],
                 [("Forwarded", "for=10.0.0.1")]):
        assert proxy.call("/", [auth(inside), *said]).status == 200
        denied(proxy, [auth(outside), *said], 403, "ip_not_allowed")


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_without_keymeter_nothing_passes(proxy, how):
    made = new(proxy)
    assert proxy.call("/", [auth(made)]).status == 200
    if how == "gone":
        proxy.relay.down()
    else:
        proxy.relay.hush()
    try:
        for headers in ([auth(made)], []):
            answer, calls = reached(proxy, "/a", headers)
            assert answer.status >= 500 and not calls, answer
            if proxy.program_name not in ("caddy", "traefik"):
                assert answer.status == 503
    finally:
        if how == "gone":
            proxy.relay.up()
        else:
            proxy.relay.silent = False
            proxy.relay.cut()
    wait_for(lambda: proxy.call("/", [auth(made)]).status == 200, "Keymeter to be asked again")


def with_block(block):
    """What replaces the `upstream keymeter` of nginx or the `backend keymeter` of HAProxy."""
    def edit(text, page):
        pattern = {"nginx-sticky.conf": r"^upstream keymeter \{.*?^\}\n",
                   "haproxy-sticky.cfg": r"^backend keymeter\n(^    .*\n)+"}[block]
        edited, count = re.subn(pattern, lambda _: page[block], text, flags=re.S | re.M)
        assert count == 1
        return edited
    return edit


@pytest.mark.parametrize("name, block", [("nginx", "nginx-sticky.conf"), ("haproxy", "haproxy-sticky.cfg")])
def test_sticky_routing_makes_rate_limits_exact(build_directory, app, name, block):
    needs(name)
    with contextlib.ExitStack() as stack:
        nodes = stack.enter_context(Cluster(build_directory, "one", "two", more=[PATIENCE])).nodes
        relays = [Relay(node.gateway) for node in nodes]
        for relay in relays:
            stack.callback(relay.down)
        proxy = Proxy(name, app, nodes, relays, with_block(block))
        stack.callback(proxy.close)
        proxy.start()
        wait_for(lambda: asks(proxy), f"{name} to ask")
        nodes[0].tier("five", monthly_quota=None, max_keys=20,
                      rate_limits=[{"name": "hour", "limit": 5, "window_seconds": 3600}])
        customer = nodes[0].signup("five")["customer"]["id"]
        secrets = [nodes[0].must("POST", "/v1/keys", {"customer_id": customer})["secret"]
                   for _ in range(17)]  # odd: or asking in turn would be sticky
        passed = dict.fromkeys(secrets, 0)
        for turn in range(12):
            for secret in secrets:
                header = ("Authorization", f"bearer {secret}") if turn % 3 else ("X-API-Key", secret)
                answer = proxy.call("/", [header])
                assert answer.status in (200, 429), (answer, proxy.log()[-2000:])
                passed[secret] += answer.status == 200
        assert set(passed.values()) == {5}
        assert all(relay.accepted for relay in relays)
        # A node that is gone: its keys move.
        nodes[0].tier("five", monthly_quota=None, max_keys=20)
        relays[0].down()
        for secret in secrets:
            wait_for(lambda key=("X-API-Key", secret): proxy.call("/", [key]).status == 200,
                     "a key to move to the other node")
        relays[0].up()


@pytest.mark.parametrize("trusted, status", [("127.0.0.1", 200), ("", 403)])
def test_keymeter_on_a_unix_socket(build_directory, app, tmp_path, trusted, status):
    """Its peers are proxies whose word counts once any proxy is trusted; before, nobody's address is
    known."""
    needs("nginx")
    gateway = tmp_path / "gateway"
    with contextlib.ExitStack() as stack:
        daemon = Daemon(build_directory, [PATIENCE, f"listen.trusted_proxies={trusted}"])
        stack.callback(daemon.close)
        daemon.gateway = f"unix:{gateway}"
        daemon.start()

        def edit(text, page):
            line = page["nginx-unix.conf"].replace("/run/keymeter/gateway", str(gateway))
            return text.replace("server 127.0.0.1:7071;\n", line, 1)

        proxy = Proxy("nginx", app, [], [], edit)
        stack.callback(proxy.close)
        proxy.start()
        for network, expected in (("127.0.0.2", status), ("127.0.0.1", 403)):
            made = daemon.signup(key={"title": "t", "allowed_networks": [network]})
            assert proxy.call("/", [auth(made)]).status == expected, proxy.log()[-2000:]
        assert daemon.stop() == 0


def test_istio_says_what_envoy_says():
    envoy = yaml.safe_load(blocks()["envoy.yaml"])
    manager = envoy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    filters = {each["name"]: each["typed_config"] for each in manager["http_filters"]}
    asks = filters["envoy.filters.http.ext_authz"]
    service = asks["http_service"]

    def names(part, which):
        return {each.get("exact") or each["prefix"] + "*" for each in service[part][which]["patterns"]}

    page = blocks("not run")
    istio = yaml.safe_load(page["istio-mesh.yaml"])["extensionProviders"][0]["envoyExtAuthzHttp"]
    assert istio["pathPrefix"] == service["path_prefix"]
    assert istio["timeout"] == service["server_uri"]["timeout"]
    assert (istio["failOpen"], istio["statusOnError"]) == (asks["failure_mode_allow"], "503")
    # Envoy sends Authorization by itself.
    assert set(istio["includeRequestHeadersInCheck"]) == {
        "authorization", *names("authorization_request", "allowed_headers")}
    answer = "authorization_response"
    assert set(istio["headersToUpstreamOnAllow"]) == names(answer, "allowed_upstream_headers")
    assert set(istio["headersToDownstreamOnDeny"]) == names(answer, "allowed_client_headers")
    assert set(istio["headersToDownstreamOnAllow"]) == names(answer, "allowed_client_headers_on_success")
    policy = yaml.safe_load(page["istio-policy.yaml"])["spec"]
    assert (policy["action"], policy["provider"]["name"]) == ("CUSTOM", "keymeter")
    plugin = yaml.safe_load(page["apisix.yaml"])["routes"][0]["plugins"]["forward-auth"]
    assert plugin["upstream_headers"] == IDENTITY
    assert (plugin["allow_degradation"], plugin["status_on_error"]) == (False, 503)
