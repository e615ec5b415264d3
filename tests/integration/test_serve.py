"""`keymeterd serve`, migrate, token create, config check: what an operator runs."""

import os
import signal
import subprocess

import pytest

from daemon import free_port, request, wait_for
from mariadb import Mariadb


class Operator:
    def __init__(self, build, folder, database):
        self.program = str(build / "keymeterd")
        self.folder = folder
        self.api = f"127.0.0.1:{free_port()}"
        self.database = database

    def options(self, *settings):
        every = [*self.database.settings(), f"listen.api={self.api}", "listen.gateway=",
                 f"keys.master_key_file={self.folder}/master.key",
                 f"keys.pepper_file={self.folder}/pepper.key", *settings]
        return ["--config", "/dev/null", *(word for s in every for word in ("--set", s))]

    def run(self, *words, settings=()):
        return subprocess.run([self.program, *words, *self.options(*settings)], capture_output=True,
                              text=True, timeout=60, check=False)

    def serve(self, environment=None):
        log = open(self.folder / "log", "ab")
        with log:
            return subprocess.Popen([self.program, "serve", *self.options()], stdout=log, stderr=log,
                                    env={**os.environ, **(environment or {})})

    def wait_ready(self, process):
        def ready():
            assert process.poll() is None, (self.folder / "log").read_text()
            try:
                return request(self.api, "GET", "/readyz").status == 200
            except OSError:
                return False
        wait_for(ready, "/readyz")


@pytest.fixture
def operator(build_directory, tmp_path):
    database = Mariadb()
    try:
        yield Operator(build_directory, tmp_path, database.start())
    finally:
        database.close()


def test_from_an_empty_database_to_a_served_call(operator):
    refused = operator.run("serve")
    assert refused.returncode == 1
    assert "keymeterd migrate up" in refused.stderr
    assert operator.run("migrate", "status").returncode == 1

    assert operator.run("migrate", "up").returncode == 0
    assert operator.run("migrate", "up").returncode == 0
    assert operator.run("migrate", "status").returncode == 0

    made = operator.run("token", "create", "--scope", "read,verify")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert token.startswith("kmt_") and token not in made.stderr

    process = operator.serve()
    try:
        operator.wait_ready(process)
        bearer = {"Authorization": f"Bearer {token}"}
        assert request(operator.api, "GET", "/v1/tiers", headers=bearer).status == 200
        assert request(operator.api, "GET", "/v1/tiers").status == 401
        put = request(operator.api, "DELETE", "/v1/tokens/tok_0000000000001", headers=bearer)
        assert put.status == 403
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (operator.folder / "log").read_text()


def test_wrong_scopes_are_refused(operator):
    assert operator.run("migrate", "up").returncode == 0
    refused = operator.run("token", "create", "--scope", "everything")
    assert refused.returncode == 2 and refused.stdout == ""
    assert operator.run("token", "create").returncode == 2


def test_keys_are_made_only_on_an_empty_schema(operator):
    assert operator.run("migrate", "up").returncode == 0
    assert operator.run("token", "create", "--scope", "admin").returncode == 0
    pepper = operator.folder / "pepper.key"
    kept = pepper.read_text()

    pepper.unlink()
    refused = operator.run("serve")
    assert refused.returncode == 1 and "pepper.key" in refused.stderr
    assert not pepper.exists()

    pepper.write_text("0123abcd " + "5" * 64 + "\n")
    pepper.chmod(0o600)
    assert operator.run("serve").returncode == 1

    pepper.write_text(kept)
    pepper.chmod(0o640)
    refused = operator.run("serve")
    assert refused.returncode == 1 and "pepper.key" in refused.stderr


def test_a_newer_schema_is_refused(operator):
    assert operator.run("migrate", "up").returncode == 0
    columns = [row[0] for row in operator.database.sql(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'schema_migration' "
        f"AND table_schema = '{operator.database.name}' ORDER BY ordinal_position")]
    table = "schema_migration"
    values = ", ".join("version + 100" if c == "version" else c for c in columns)
    operator.database.sql(f"INSERT INTO {table} SELECT {values} FROM {table} LIMIT 1")
    refused = operator.run("serve")
    assert refused.returncode == 1 and "newer" in refused.stderr


def test_no_database_is_told(operator):
    refused = operator.run("serve", settings=["database.socket=/nonexistent/socket"])
    assert refused.returncode == 1
    assert "/nonexistent/socket" in refused.stderr


def test_config_check_names_file_and_line(build_directory, tmp_path):
    path = tmp_path / "keymeter.conf"
    program = str(build_directory / "keymeterd")

    def check():
        return subprocess.run([program, "config", "check", "--config", str(path)], text=True,
                              capture_output=True, timeout=30, check=False)

    path.write_text("[listen]\napi = 127.0.0.1:7070\n")
    assert (check().returncode, check().stdout) == (0, "ok\n")
    path.write_text("[listen]\n# x\napi = nowhere\n")
    refused = check()
    assert refused.returncode == 1
    assert f"{path}:3" in refused.stderr and "listen.api" in refused.stderr
    path.unlink()
    assert check().returncode == 1


@pytest.mark.parametrize("words", [[], ["bogus"], ["serve", "now"], ["serve", "--once"],
                                   ["serve", "--bogus"], ["migrate"]])
def test_wrong_usage_is_exit_2(build_directory, words):
    done = subprocess.run([str(build_directory / "keymeterd"), *words], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 2
    assert "keymeterd" in done.stderr and done.stdout == ""


def test_systemd_is_told(operator):
    import socket

    assert operator.run("migrate", "up").returncode == 0
    path = operator.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(30)
        process = operator.serve({"NOTIFY_SOCKET": str(path)})
        try:
            assert notify.recv(100) == b"READY=1"
            operator.wait_ready(process)
        finally:
            process.send_signal(signal.SIGTERM)
        assert notify.recv(100) == b"STOPPING=1"
        assert process.wait(30) == 0
