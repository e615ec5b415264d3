"""Floods of slow connections and of pipelined requests, short: healthy calls are answered beside them,
caps hold, memory stays. tests/bench/flood is the long form, which measures."""

import os
import socket

import pytest

from daemon import Daemon, request, wait_for
from flood import FORMS, Flood, pipeline, resident_bytes

SLOW, CAP = 300, 500
MIB = 1 << 20


@pytest.fixture(scope="module")
def flooded(build_directory):
    # What AddressSanitizer keeps of freed memory would look like growth.
    before = os.environ.get("ASAN_OPTIONS", "")
    os.environ["ASAN_OPTIONS"] = before + ":quarantine_size_mb=4"
    daemon = Daemon(build_directory, [f"limits.connections={CAP}", "limits.connections_per_address=400",
                                      "limits.head_timeout=2s", "limits.body_timeout=2s"]).start()
    try:
        daemon.tier("wide", monthly_quota=None)
        yield daemon, daemon.signup("wide")["secret"]
        assert daemon.stop() == 0, daemon.log()[-4000:]
    finally:
        os.environ["ASAN_OPTIONS"] = before
        daemon.close()


def connections(daemon):
    text = request(daemon.api, "GET", "/metrics").body.decode()
    return sum(int(line.split()[1]) for line in text.split("\n")
               if line.startswith("keymeter_http_connections{"))


def answered(daemon, secret):
    try:
        return daemon.gate(secret).status == 200
    except OSError:  # over the cap: closed at once
        return False


@pytest.mark.parametrize("form", FORMS)
def test_healthy_calls_are_answered_beside_slow_ones(flooded, form):
    daemon, secret = flooded
    assert daemon.gate_until(secret).status == 200
    address = daemon.gateway if form == "headers" else daemon.api
    before = resident_bytes(daemon.info["pid"])
    with Flood(form, address, SLOW, interval=0.5) as flood:
        assert connections(daemon) > SLOW // 2
        for _ in range(50):
            assert daemon.gate_until(secret).status == 200
            assert daemon.call("GET", "/livez", token="").status == 200
        grown = resident_bytes(daemon.info["pid"]) - before
        assert grown < SLOW * 160 * 1024, f"{grown / SLOW / 1024:.0f} KiB a connection"
        if form != "read":  # their deadlines end them, however steadily they drip
            wait_for(lambda: connections(daemon) == 1, "the deadlines")  # this one alone is left
    assert form == "read" or flood.closed == SLOW
    wait_for(lambda: connections(daemon) < 10, "the end of the connections")


def test_the_cap_holds_and_gives_way_again(flooded):
    daemon, secret = flooded
    with Flood("headers", daemon.gateway, CAP + 200, interval=30):
        # All places are taken; the next one is told so, or just closed.
        host, port = daemon.gateway.rsplit(":", 1)
        refused = 0
        for _ in range(20):
            with socket.create_connection((host, int(port)), timeout=10) as sock:
                try:
                    sock.sendall(b"GET /v1/gateway HTTP/1.1\r\nHost: x\r\n\r\n")
                    answer = sock.recv(4096)
                except ConnectionError:
                    answer = b""
                refused += not answer or b" 503 " in answer.split(b"\r\n")[0]
        assert refused > 0
        wait_for(lambda: answered(daemon, secret), "a place, after the slow heads' deadline")


def test_pipelined_requests_leave_memory_as_it_was(flooded):
    daemon, secret = flooded
    refused = b"GET /v1/gateway HTTP/1.1\r\nHost: x\r\nX-API-Key: nonsense\r\n\r\n"
    good = f"GET /v1/gateway HTTP/1.1\r\nHost: x\r\nX-API-Key: {secret}\r\n\r\n".encode()
    assert pipeline(daemon.gateway, refused, 5000) == {401: 5000}
    assert sum(pipeline(daemon.gateway, good, 500).values()) == 500
    before = resident_bytes(daemon.info["pid"])
    assert pipeline(daemon.gateway, refused, 100000) == {401: 100000}
    statuses = pipeline(daemon.gateway, good, 1000)
    assert set(statuses) <= {200, 503} and statuses[200] > 0
    grown = resident_bytes(daemon.info["pid"]) - before
    assert grown < 24 * MIB, f"{grown / MIB:.1f} MiB"
