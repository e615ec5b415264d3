"""/metrics is read strictly and compared with what was done; /readyz?verbose tells the checks."""

import os
import re
import signal
from pathlib import Path

import pytest

import exposition
import mariadb
from daemon import Daemon, wait_for
from load import Load

NAME = 'node"with\\quotes'
PREFIX = "keymeter_"


@pytest.fixture(scope="module")
def watched(build_directory):
    daemon = Daemon(build_directory, [f"node.name={NAME}"]).start()
    try:
        yield daemon
        assert daemon.stop() == 0, daemon.log()[-4000:]
    finally:
        daemon.close()


def scrape(daemon):
    answer = daemon.call("GET", "/metrics", token="")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return exposition.parse(answer.body.decode())


def difference(before, after, name, suffix="", **labels):
    return (exposition.value(after, PREFIX + name, suffix, **labels)
            - exposition.value(before, PREFIX + name, suffix, **labels))


def test_the_reader_can_fail():
    good = '# HELP a_total x\n# TYPE a_total counter\na_total{l="v"} 1\n'
    exposition.parse(good)
    for wrong in (good[:-1], good + good, good.replace("counter", "count"), good + 'a_total{l="v"} 2\n',
                  good + "b 1\n", good.replace('"v"', '"v'), good.replace('"v"', '"\\v"'),
                  good.replace(" 1", " one"), good.replace("# HELP a_total x\n", ""),
                  good.replace("a_total", "a"), good.replace('l="v"', 'l="v",l="w"')):
        with pytest.raises((AssertionError, ValueError)):
            exposition.parse(wrong)


def test_every_metric_is_documented_and_every_documented_one_is_there(watched, source_directory):
    metrics = scrape(watched)
    text = (Path(source_directory) / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(keymeter_\w+)(?:\{([\w,]+)\})?` \| (\w+) \|", text, re.MULTILINE)
    assert {(name, kind) for name, _, kind in rows} == {(m.name, m.kind) for m in metrics.values()}
    labels = {name: set(filter(None, names.split(","))) for name, names, _ in rows}
    for metric in metrics.values():
        for _, found in metric.samples:
            assert {label for label, _ in found} - {"le"} == labels[metric.name], metric.name


def test_labels_are_escaped(watched):
    info = scrape(watched)["keymeter_node_info"].samples
    assert [dict(labels)["name"] for _, labels in info] == [NAME]


def test_calls_are_counted_as_they_came(watched):
    watched.tier("five", monthly_quota=5)
    made = watched.signup("five")
    secret = made["secret"]
    assert watched.gate_until(secret, "?cost=0").status == 200
    before = scrape(watched)
    statuses = [watched.gate(secret).status for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    assert watched.gate("nonsense").status == 401
    assert watched.call("POST", "/v1/verify/batch",
                        {"requests": [{"key": secret}] * 20}).status == 200
    after = scrape(watched)
    assert difference(before, after, "verify_total", code="VALID") == 5
    assert difference(before, after, "verify_total", code="QUOTA_EXCEEDED") == 22
    assert difference(before, after, "verify_total", code="NOT_FOUND") == 1
    assert difference(before, after, "verify_duration_seconds", "_count") == 27
    assert difference(before, after, "batch_calls", "_sum") == 27
    assert 1 <= difference(before, after, "batch_calls", "_count") <= 27
    inserts = difference(before, after, "journal_inserts_total")
    assert inserts == difference(before, after, "commit_duration_seconds", "_count") >= 1
    assert difference(before, after, "http_responses_total", listener="gateway", **{"class": "2xx"}) == 5
    assert difference(before, after, "http_responses_total", listener="gateway", **{"class": "4xx"}) == 3
    assert difference(before, after, "http_responses_total", listener="api", **{"class": "2xx"}) == 2
    assert difference(before, after, "auth_failures_total", where="gateway", reason="malformed") == 1
    assert difference(before, after, "http_requests_total") == 10


def test_under_load_a_second_is_folded_once(watched):
    """A fold costs by the keys it touches: many small ones would write each key's rows many times."""
    watched.tier("busy", monthly_quota=None, rate_limits=[{"name": "s", "limit": 10**6, "window_seconds": 1}])
    secret = watched.signup("busy")["secret"]
    with Load(watched.gateway, secret=secret, clients=8):
        before = scrape(watched)
        wait_for(lambda: difference(before, scrape(watched), "folds_total") >= 4, "four folds")
        after = scrape(watched)
    folds, rows, beats = (difference(before, after, name)
                          for name in ("folds_total", "folded_rows_total", "heartbeats_total"))
    assert folds <= beats + 1 + rows // 1000  # the first may follow a beat of before


def test_leases_folds_and_memory_are_told(watched):
    watched.tier("many", monthly_quota=100000)
    before = scrape(watched)
    secret = watched.signup("many")["secret"]
    assert watched.gate_until(secret).status == 200
    after = scrape(watched)
    taken = difference(before, after, "lease_units_taken_total")
    held = exposition.value(after, "keymeter_lease_units")
    assert taken >= 1 and held >= taken - 1 > 0
    assert difference(before, after, "keys_in_memory") == 1
    assert exposition.value(after, "keymeter_process_resident_memory_bytes") > 1 << 20
    assert exposition.value(after, "keymeter_resets_total") == 1
    assert exposition.value(after, "keymeter_nodes_live") == 1
    wait_for(lambda: difference(before, (now := scrape(watched)), "folded_rows_total") >= 1
             and exposition.value(now, "keymeter_fold_waiting_rows") == 0, "the fold")
    assert exposition.value(scrape(watched), "keymeter_fold_age_seconds") >= 0


def test_a_stopped_database_is_told_by_cause_and_check(watched):
    secret = watched.signup("free")["secret"]
    assert watched.gate_until(secret, "?cost=0").status == 200
    verbose = watched.call("GET", "/readyz?verbose", token="")
    assert (verbose.status, verbose.json["status"]) == (200, "ready")
    wait_for(lambda: all(c["state"] == "ok" and c["age_seconds"] is not None for c in
                         watched.call("GET", "/readyz?verbose", token="").json["checks"]),
             "every check")
    before = scrape(watched)
    mariadb.freeze(watched.info["database_pid"])
    try:
        assert watched.gate(secret).status == 503
        refused = wait_for(lambda: (a := watched.call("GET", "/readyz?verbose=1", token="")).status == 503
                           and a, "503")
        checks = {c["name"]: c["state"] for c in refused.json["checks"]}
        assert refused.json["status"] == "not_ready" and checks["database"] == "failing"
        assert checks["feed"] == "failing" and checks["tokens"] == "ok"
        assert watched.call("GET", "/readyz", token="").json["code"] == "not_ready"
        after = scrape(watched)
        assert difference(before, after, "verify_unavailable_total", cause="database") == 1
        assert difference(before, after, "verify_total", code="UNAVAILABLE") == 1
        assert exposition.value(after, "keymeter_up") == 0
        assert exposition.value(after, "keymeter_feed_age_seconds") > 0.2
    finally:
        os.kill(watched.info["database_pid"], signal.SIGCONT)
    wait_for(lambda: watched.call("GET", "/readyz", token="").status == 200, "readiness")
    assert watched.call("GET", "/readyz", token="").json == {"status": "ready"}
