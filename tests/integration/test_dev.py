"""`keymeterd dev`: one command to a running system, kept and healed from start to start."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

import exposition
from daemon import Daemon, request, wait_for


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


def run_dev(build, state, *options, environment=None):
    command = [str(build / "keymeterd"), "dev", "--state", str(state),
               "--set", "listen.api=127.0.0.1:0", "--set", "listen.gateway=127.0.0.1:0", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False,
                          env=environment)


@pytest.fixture
def dev(build_directory):
    daemon = Daemon(build_directory, bare=True)
    try:
        yield daemon
    finally:
        daemon.close()


def test_once_shows_a_sign_up_a_call_and_its_usage(build_directory, tmp_path):
    state = tmp_path / "state"
    done = run_dev(build_directory, state, "--once", "--json", str(tmp_path / "dev.json"))
    assert done.returncode == 0, done.stderr
    info = json.loads((tmp_path / "dev.json").read_text())
    assert "DEVELOPMENT MODE" in done.stdout
    assert '"external_id":"dev"' in done.stdout
    assert info["token"] in done.stdout and info["key"] in done.stdout
    assert "HTTP/1.1 200" in done.stdout
    head = {line.split(":")[0].lower() for line in done.stdout.splitlines() if ":" in line}
    assert {"ratelimit", "ratelimit-policy", "x-key-id"} <= head
    assert '"allowed":1' in done.stdout
    assert not is_running(info["pid"]) and not is_running(info["database_pid"])
    again = run_dev(build_directory, state, "--once")
    assert again.returncode == 0, again.stderr
    assert info["key"] in again.stdout and '"allowed":2' in again.stdout


def test_the_database_is_made_with_a_temporary_folder_of_its_own(build_directory, tmp_path):
    """Two servers that share one remove each other's temporary tables."""
    real = shutil.which("mariadb-install-db")
    between = tmp_path / "bin" / "mariadb-install-db"
    between.parent.mkdir()
    between.write_text(f'#!/bin/sh\necho "$TMPDIR" >"{tmp_path}/told"\nexec {real} "$@"\n')
    between.chmod(0o755)
    environment = {**os.environ, "PATH": f"{between.parent}:{os.environ['PATH']}"}
    done = run_dev(build_directory, tmp_path / "state", "--once", environment=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "told").read_text() == f"{tmp_path}/state/mariadb/tmp\n"


def test_the_call_is_shown_over_a_unix_socket(build_directory, tmp_path):
    gateway = tmp_path / "gateway"
    done = run_dev(build_directory, tmp_path / "state", "--once", "--json", str(tmp_path / "dev.json"),
                   "--set", f"listen.gateway=unix:{gateway}")
    assert done.returncode == 0, done.stderr
    info = json.loads((tmp_path / "dev.json").read_text())
    assert info["gateway"] == f"unix:{gateway}"
    assert f"--unix-socket '{gateway}' 'http://localhost/v1/gateway'" in done.stdout
    assert "HTTP/1.1 200" in done.stdout and '"allowed":1' in done.stdout


def test_the_state_is_where_the_readme_says(build_directory, tmp_path):
    for folder, environment in [(tmp_path / "here" / ".keymeter-dev", {}),
                                (tmp_path / "xdg" / "keymeter-dev", {"XDG_STATE_HOME": f"{tmp_path}/xdg"})]:
        folder.parent.mkdir()
        environment = {**{name: value for name, value in os.environ.items()
                          if name != "XDG_STATE_HOME"}, **environment}
        # A setting that cannot be ends it once the state is made.
        done = subprocess.run([str(build_directory / "keymeterd"), "dev", "--set", "log.level=x"],
                              capture_output=True, text=True, timeout=30, check=False,
                              cwd=tmp_path / "here", env=environment)
        assert done.returncode == 1
        assert folder.is_dir()


def test_json_has_what_tests_need_and_is_private(dev):
    dev.start()
    path = dev.state / "dev.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(dev.info) == {"api", "gateway", "token", "admin_url", "customer_id", "key_id", "key", "pid",
                             "database_pid", "maildir"}
    assert dev.info["api"] == f"http://{dev.api}" and dev.info["gateway"] == f"http://{dev.gateway}"
    assert dev.info["pid"] == dev.process.pid and is_running(dev.info["database_pid"])
    assert dev.info["token"].startswith("kmt_") and dev.info["key"].startswith("km_live_")
    assert request(dev.api, "GET", "/livez").status == 200
    assert dev.must("GET", f"/v1/keys/{dev.info['key_id']}")["customer_id"] == dev.info["customer_id"]
    assert dev.gate_until(dev.info["key"]).status == 200
    for name in ("token", "key.json", "master.key", "pepper.key"):
        assert stat.S_IMODE((dev.state / name).stat().st_mode) == 0o600, name


def test_sigterm_ends_both_processes_and_the_next_start_uses_the_same(dev):
    first = dict(dev.start().info)
    assert dev.stop() == 0, dev.log()[-4000:]
    assert not is_running(first["pid"]) and not is_running(first["database_pid"])
    second = dev.start().info
    for name in ("token", "key", "key_id", "customer_id"):
        assert second[name] == first[name], name


def test_a_closed_terminal_ends_both_processes(dev):
    info = dict(dev.start().info)
    dev.process.send_signal(signal.SIGHUP)
    assert dev.process.wait(timeout=30) == 0, dev.log()[-4000:]
    assert not is_running(info["pid"]) and not is_running(info["database_pid"])


def test_a_killed_daemon_starts_again_on_the_running_database(dev):
    first = dict(dev.start().info)
    dev.kill()
    assert is_running(first["database_pid"])
    second = dev.start().info
    assert second["database_pid"] == first["database_pid"]
    assert second["key"] == first["key"]
    assert dev.gate_until(second["key"]).status == 200


def test_a_killed_database_is_started_again(dev):
    first = dict(dev.start().info)
    assert dev.gate_until(first["key"]).status == 200
    os.kill(first["database_pid"], signal.SIGKILL)
    path = dev.state / "dev.json"
    wait_for(lambda: json.loads(path.read_text())["database_pid"] != first["database_pid"],
             "the new database's pid")
    wait_for(lambda: dev.gate(first["key"]).status == 200, "an answer after it")
    assert dev.stop() == 0, dev.log()[-4000:]
    assert not is_running(json.loads(path.read_text())["database_pid"])


def test_a_lost_key_file_makes_a_new_key(dev):
    first = dict(dev.start().info)
    dev.stop()
    (dev.state / "key.json").unlink()
    second = dev.start().info
    assert second["key"] != first["key"]
    assert dev.gate_until(second["key"]).status == 200


@pytest.mark.parametrize(
    "setting, told",
    [
        ("listen.apii=1", "listen.apii"),
        ("listen.allow_cleartext=yes", "loopback only"),
        ("listen.api=0.0.0.0:0", "0.0.0.0:0"),
        ("metering.max_wait=1", "metering.max_wait"),
    ],
)
def test_a_setting_that_cannot_be_is_told(build_directory, tmp_path, setting, told):
    done = run_dev(build_directory, tmp_path / "state", "--set", setting)
    assert done.returncode == 1
    assert told in done.stderr


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/null", path)],
                         ids=["pipe", "folder", "link"])
def test_what_is_no_file_is_not_replaced_by_the_json(build_directory, tmp_path, make):
    """/dev/stdout, for root."""
    path = tmp_path / "there"
    make(path)
    before = path.lstat()
    done = run_dev(build_directory, tmp_path / "state", "--json", str(path))
    assert done.returncode == 1 and f"--json: {path} is no regular file" in done.stderr
    assert path.lstat() == before and not (tmp_path / "state").exists()


def test_a_former_json_file_does_not_stand_while_starting(build_directory, tmp_path):
    path = tmp_path / "dev.json"
    path.write_text("{}")
    done = run_dev(build_directory, tmp_path / "state", "--json", str(path), "--set", "log.level=x")
    assert done.returncode == 1
    assert not path.exists()


def test_mail_is_caught_and_shown(dev):
    dev.start()
    dev.must("POST", "/v1/signups", {"external_id": "caught", "email": "caught@example.com", "tier": "free",
                                     "deliver": "email", "name": "<b>Bold</b>"})
    folder = Path(dev.info["maildir"]) / "new"
    assert folder.parent == dev.state / "mail"
    caught = wait_for(lambda: next((path for path in folder.glob("*") if b"caught@" in path.read_bytes()), None),
                      "the mail")
    page = dev.call("GET", "/dev/mail", token="")
    assert page.status == 200 and caught.name.encode() in page.body and b"caught@example.com" in page.body
    shown = dev.call("GET", f"/dev/mail/{caught.name}", token="")
    assert shown.status == 200 and b"/claim#km_claim_" in shown.body
    assert b"<b>Bold" not in shown.body and b"&lt;b&gt;Bold" in shown.body
    for name in ("..%2fkey.json", "nothing", ".."):
        assert dev.call("GET", f"/dev/mail/{name}", token="").status == 404


def test_the_calls_that_are_shown_leave_no_connection(dev):
    """A stop would wait for it."""
    dev.start()
    metrics = exposition.parse(dev.call("GET", "/metrics").body.decode())
    assert exposition.value(metrics, "keymeter_http_connections", listener="api") == 1  # this one
    assert exposition.value(metrics, "keymeter_http_connections", listener="gateway") == 0


def test_an_admin_is_invited(dev):
    """A link a start; the table keeps no text of it, and the audit log tells."""
    dev.start()
    assert re.fullmatch(f"http://{dev.api}/admin/join/adm_invite_[0-9A-Za-z]{{49}}", dev.info["admin_url"])
    [invited] = dev.must("GET", "/v1/audit?action=admin.invite")["data"]
    assert invited["actor"] == "cli" and invited["detail"] == {"role": "owner"}
    assert dev.info["admin_url"] not in dev.log() and stat.S_IMODE((dev.state / "dev.json").stat().st_mode) == 0o600
