"""`keymeter doctor`: a sound installation, each thing that can be wrong with it, and what to do."""

import http.server
import json
import os
import re
import subprocess
import threading

import pytest

from daemon import wait_for
from nodes import Cluster

SOUND = {"schema": {"applied": 9, "newest": 9, "fault": None}, "clock": {"database_ahead_ms": 3},
         "nodes": [{"name": "a", "silent_ms": 400}], "mail": {"transport": "smtps", "dead": 0},
         "payment": {"provider": "stripe", "webhooks": True},
         "tls": {"database": "tls", "cleartext_allowed": False},
         "disk": {"free_bytes": 60, "size_bytes": 100}, "alerts": {"open": 0}}


def ask(build, address, *words, token="kmt_" + "0" * 49):
    return subprocess.run([build / "keymeter", "doctor", *words], capture_output=True, text=True, timeout=30,
                          check=False, env={**os.environ, "KEYMETER_ADDR": address, "KEYMETER_TOKEN": token})


@pytest.fixture(name="api")
def api_fixture():
    """An API that answers what a test puts into it: path -> (status, text)."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, text = answers[self.path.split("?")[0]]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answers["address"] = "http://127.0.0.1:%d" % server.server_port
    answers["/readyz"] = (200, json.dumps({"status": "ready", "checks": [
        {"name": "database", "state": "ok", "age_seconds": 0.1}]}))
    answers["/metrics"] = (200, "keymeter_mails_accepted_total 5\nkeymeter_mails_failed_total 1\n"
                                "keymeter_payment_readings_late_seconds NaN\n")
    answers["/v1/diagnosis"] = (200, json.dumps(SOUND))
    yield answers
    server.shutdown()


def test_a_running_installation_is_sound(build_directory, daemon):
    done = ask(build_directory, f"http://{daemon.api}", token=daemon.info["token"])
    assert done.returncode == 0, done.stdout
    names = {line[9:26].strip() for line in done.stdout.splitlines() if line[0] != " "}
    assert {"database", "node", "heartbeat", "feed", "journal", "fold", "tokens", "schema", "clock", "nodes",
            "disk", "mail", "mail relay", "payment", "payment readings", "tls", "alerts"} <= names
    shown = json.loads(ask(build_directory, f"http://{daemon.api}", "--json", token=daemon.info["token"]).stdout)
    assert shown["healthy"] is True and len(shown["checks"]) >= len(names)


def test_nothing_is_judged_before_it_could_be(build_directory):
    """Right after a start the first fold is still to come, and a read may wait for its connection."""
    with Cluster(build_directory, "one") as cluster:
        node, database = cluster.nodes[0], cluster.database
        assert node.stop() == 0
        with database.locked("LOCK TABLES quota_due WRITE"):  # which a fold reads
            node.start()
            checks = {c["name"]: c for c in node.call("GET", "/readyz?verbose", token="").json["checks"]}
            assert (checks["fold"]["state"], checks["fold"]["age_seconds"]) == ("ok", None)
            done = ask(build_directory, f"http://{node.api}", token=node.info["token"])
            assert done.returncode == 0 and "no success yet" in done.stdout, done.stdout
        with database.locked("LOCK TABLES schema_migration WRITE"):  # which a diagnosis reads first
            asked = subprocess.Popen([build_directory / "keymeter", "doctor"], stdout=subprocess.PIPE, text=True,
                                     env={**os.environ, "KEYMETER_ADDR": f"http://{node.api}",
                                          "KEYMETER_TOKEN": node.info["token"]})
            wait_for(lambda: database.value("SELECT COUNT(*) FROM information_schema.processlist WHERE"
                                            " info LIKE '%schema_migration%' AND time_ms > 1500"
                                            " AND id <> CONNECTION_ID()") == "1", "a read that waits")
        shown = asked.communicate(timeout=30)[0]
        # What it waited for is not counted as the database's time.
        off_ms = int(re.search(r"the database's clock is (\d+) ms", shown)[1])
        assert asked.returncode == 0 and off_ms < 1000, shown


def test_a_wrong_token_is_4_and_no_daemon_is_1(build_directory, daemon):
    refused = ask(build_directory, f"http://{daemon.api}")
    assert refused.returncode == 4 and "scope read" in refused.stdout
    dead = ask(build_directory, "http://127.0.0.1:1")
    assert dead.returncode == 1 and "systemctl status keymeterd" in dead.stdout


def test_a_sound_answer_is_0(build_directory, api):
    done = ask(build_directory, api["address"])
    assert done.returncode == 0 and "->" not in done.stdout, done.stdout


@pytest.mark.parametrize("part,wrong,finding,advice", [
    ("schema", {"applied": 8}, "version 8 of 9", "keymeterd migrate up"),
    ("schema", {"applied": 10, "fault": "newer"}, "newer", "upgrade this node"),
    ("clock", {"database_ahead_ms": -4000}, "4000 ms behind", "NTP"),
    ("mail", {"dead": 2}, "2 given up", "keymeter notifications retry"),
    ("disk", {"free_bytes": 1}, "1 % free", "Make room"),
])
def test_what_is_wrong_is_1_and_told_with_what_to_do(build_directory, api, part, wrong, finding, advice):
    api["/v1/diagnosis"] = (200, json.dumps({**SOUND, part: {**SOUND[part], **wrong}}))
    done = ask(build_directory, api["address"])
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("failing") and finding in line)
    assert done.returncode == 1 and advice in lines[at + 1]


@pytest.mark.parametrize("nodes,finding", [([], "none is live"),
                                           ([{"name": "b", "silent_ms": 9000}], "b heard 9.0 s ago")])
def test_nodes(build_directory, api, nodes, finding):
    api["/v1/diagnosis"] = (200, json.dumps({**SOUND, "nodes": nodes}))
    done = ask(build_directory, api["address"])
    assert done.returncode == 1 and finding in done.stdout


def test_what_others_left_is_no_failure_of_a_daemon_that_just_began(build_directory, api):
    checks = [{"name": "node", "state": "ok", "age_seconds": 3}]
    api["/readyz"] = (200, json.dumps({"status": "ready", "checks": checks}))
    api["/metrics"] = (200, "keymeter_payment_readings_late_seconds 3600\n")
    api["/v1/diagnosis"] = (200, json.dumps({**SOUND, "nodes": [{"name": "b", "silent_ms": 9000}]}))
    done = ask(build_directory, api["address"])
    assert done.returncode == 0 and "\nwarning  nodes" in done.stdout and "3600 s late" in done.stdout, done.stdout
    checks[0]["age_seconds"] = 90
    api["/readyz"] = (200, json.dumps({"status": "ready", "checks": checks}))
    done = ask(build_directory, api["address"])
    assert done.returncode == 1 and "\nfailing  nodes" in done.stdout and "\nfailing  payment readings" in done.stdout


@pytest.mark.parametrize("part,wrong,advice", [
    ("mail", {"transport": "off"}, "mail.url"), ("payment", {"webhooks": False}, "webhook_secret_file"),
    ("tls", {"cleartext_allowed": True}, "TLS proxy"), ("alerts", {"open": 3}, "alerts list"),
    ("disk", {"free_bytes": 5}, "Make room")])
def test_a_warning_is_0_and_told_with_what_to_do(build_directory, api, part, wrong, advice):
    api["/v1/diagnosis"] = (200, json.dumps({**SOUND, part: {**SOUND[part], **wrong}}))
    done = ask(build_directory, api["address"])
    assert done.returncode == 0 and "\nwarning " in done.stdout and advice in done.stdout


def test_a_daemon_that_is_not_ready(build_directory, api):
    api["/readyz"] = (503, json.dumps({"status": "not_ready", "checks": [
        {"name": "feed", "state": "failing", "age_seconds": 7.5}]}))
    api["/v1/diagnosis"] = (503, '{"code":"unavailable","detail":"no database"}')
    done = ask(build_directory, api["address"])
    assert done.returncode == 1
    assert "newest success 7.5 s ago" in done.stdout and "cannot read its database" in done.stdout


@pytest.mark.parametrize("metrics,advice", [
    ("keymeter_mails_accepted_total 1\nkeymeter_mails_failed_total 9\n", "keymeter mail test"),
    ('keymeter_payment_readings_total{result="failed"} 3\n', "payment.secret_file"),
    ("keymeter_payment_readings_late_seconds 61\n", "reconcile")])
def test_what_the_metrics_tell(build_directory, api, metrics, advice):
    api["/metrics"] = (200, metrics)
    done = ask(build_directory, api["address"])
    assert done.returncode == 1 and advice in done.stdout
