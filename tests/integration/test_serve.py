"""`keymeterd serve`, migrate, token create, config check: what an operator runs."""

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon import request, wait_for
from mariadb import Mariadb
from operator_side import Operator


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
    for name in ("", "x" * 101, "a\x1bb", b"a\xff".decode("utf-8", "surrogateescape")):
        refused = operator.run("token", "create", "--scope", "read", "--name", name)
        assert refused.returncode == 2 and refused.stdout == "" and "--name takes" in refused.stderr


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
    unknown = operator.run("serve", settings=["database.user=nobody-here"])
    assert unknown.returncode == 1 and "Access denied for user 'nobody-here'" in unknown.stderr
    no_name = operator.run("migrate", "up", settings=["database.name=a`b"])
    assert no_name.returncode == 1 and "database.name must be" in no_name.stderr


def test_a_limit_of_open_files_that_is_too_low_is_told(build_directory):
    def serve(limit):
        return subprocess.run(["sh", "-c", f'ulimit -n {limit}; exec "$0" "$@"', str(build_directory / "keymeterd"),
                               "serve", "--config", "/dev/null", "--set", "database.socket=/nonexistent/socket"],
                              capture_output=True, text=True, timeout=60, check=False)

    refused = serve(8)
    assert refused.returncode == 1
    assert "the limit of open files is 8" in refused.stderr and "LimitNOFILE=" in refused.stderr
    warned = serve(1024)
    assert "few_files" in warned.stderr and "limits.connections = 4096" in warned.stderr
    assert "/nonexistent/socket" in warned.stderr


def test_a_stalled_database_is_told_before_its_connection_is_given_up(operator):
    assert operator.run("migrate", "up").returncode == 0
    process = operator.serve()
    try:
        operator.wait_ready(process)
        operator.database.freeze()
        refused = wait_for(lambda: (answer := request(operator.api, "GET", "/readyz")).status == 503
                           and answer, "503 of /readyz")
        assert refused.json["detail"] == "Not ready: the database does not answer."
        assert refused.headers["Retry-After"] == "1"
        assert request(operator.api, "GET", "/livez").status == 200
        operator.database.thaw()
        operator.wait_ready(process)
    finally:
        operator.database.thaw()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (operator.folder / "log").read_text()


def test_a_change_of_a_stalled_database_is_answered_and_still_made(operator):
    assert operator.run("migrate", "up").returncode == 0
    token = operator.run("token", "create", "--scope", "admin").stdout.strip()
    process = operator.serve()
    bearer = {"Authorization": f"Bearer {token}"}

    def call(method, path, body=None):
        return request(operator.api, method, path, body, bearer, timeout=60)

    try:
        operator.wait_ready(process)
        customer = {"external_id": "acme-1", "email": "ops@acme.example", "tier": "free"}
        assert call("POST", "/v1/customers", customer).status == 201
        operator.database.freeze()
        with ThreadPoolExecutor(2) as pool:
            read = pool.submit(call, "GET", "/v1/customers/acme-1")
            changed = call("PATCH", "/v1/customers/acme-1", {"metadata": {"made": True}})
            read = read.result()
            operator.database.thaw()  # long before database.io_timeout gives the connection up
        for answer, detail in [
                (changed, "The database does not answer. The change may have been made or not: look "
                          "before you ask for it again."),
                (read, "The database does not answer; try again shortly.")]:
            assert (answer.status, answer.json["code"]) == (503, "unavailable")
            assert answer.json["detail"] == detail
            assert answer.headers["Retry-After"] == "1"
        operator.wait_ready(process)
        wait_for(lambda: (answer := call("GET", "/v1/customers/acme-1")).status == 200
                 and answer.json["metadata"] == {"made": True}, "the change")
    finally:
        operator.database.thaw()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (operator.folder / "log").read_text()


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


@pytest.mark.parametrize("listener", ["api", "gateway"])
def test_config_check_knows_what_serve_refuses(operator, listener):
    assert operator.run("migrate", "up").returncode == 0
    settings = [f"listen.{listener}=0.0.0.0:0"]
    for command in (["config", "check"], ["serve"]):
        refused = operator.run(*command, settings=settings)
        assert refused.returncode == 1 and refused.stdout == ""
        assert f"listen.{listener}: 0.0.0.0:0 is beyond loopback" in refused.stderr
        assert "listen.allow_cleartext = yes" in refused.stderr
    allowed = operator.run("config", "check", settings=[*settings, "listen.allow_cleartext=yes"])
    assert (allowed.returncode, allowed.stdout) == (0, "ok\n")


def test_credentials_of_mail_are_private(operator, tmp_path):
    assert operator.run("migrate", "up").returncode == 0
    password = tmp_path / "password"
    settings = ["mail.url=smtps://relay.example.com", "mail.from=keys@example.com", "mail.username=user",
                "portal.base_url=https://keys.example.com",
                f"mail.password_file={password}"]

    def refused(why):
        for command in (["config", "check"], ["serve"]):
            said = operator.run(*command, settings=settings)
            assert said.returncode == 1 and said.stdout == ""
            assert f"mail.password_file: {password} {why}" in said.stderr

    refused("cannot be read")
    password.write_text("hunter2\n")
    password.chmod(0o640)
    refused("can be read by others; chmod 600 it")
    password.chmod(0o600)
    assert operator.run("config", "check", settings=settings).returncode == 0
    password.write_text("\n")
    refused("is empty")


def test_config_check_looks_at_the_files_of_payment(operator, tmp_path):
    files = {name: tmp_path / name for name in ("secret_file", "webhook_secret_file", "ca_file")}
    good = {"secret_file": "sk_test_1\n", "webhook_secret_file": "# being rolled\nwhsec_1\n\nwhsec_2\n", "ca_file": "x\n"}
    for name, file in files.items():
        file.write_text(good[name])
        file.chmod(0o600)
    settings = ["payment.provider=stripe", *(f"payment.{name}={file}" for name, file in files.items())]

    def said():
        return operator.run("config", "check", settings=settings)
    assert (said().returncode, said().stdout) == (0, "ok\n")
    for name in ("secret_file", "webhook_secret_file"):
        files[name].chmod(0o644)
        assert f"payment.{name}: {files[name]} can be read by others; chmod 600 it" in said().stderr
        files[name].chmod(0o600)
        for nothing in ("", "\n", "\n\r\n\n"):
            files[name].write_text(nothing)
            assert f"payment.{name}: {files[name]} is empty" in said().stderr and said().returncode == 1
        files[name].write_text(good[name])
    for name, wrong, why in (("secret_file", "sk_test_1\nsk_test_2\n", "is no API key"), ("secret_file", "sk test\n", "is no API key"),
                             ("secret_file", "\ufeffsk_test_1\n", "is no API key"), ("secret_file", "s" * 700, "is no API key"),
                             ("webhook_secret_file", "whsec_1\nwhsec_\n", "has a line that is no secret"),
                             ("webhook_secret_file", "Stripe, live\n", "has a line that is no secret"),
                             ("webhook_secret_file", "# none yet\n", "has no secret in it")):
        files[name].write_text(wrong)
        assert f"payment.{name}: {files[name]} {why}" in said().stderr and said().returncode == 1
        files[name].write_text(good[name])
    for name in ("ca_file", "secret_file", "webhook_secret_file"):
        files[name].rename(tmp_path / "away")
        assert f"payment.{name}: {files[name]} cannot be read" in said().stderr and said().stdout == ""
        (tmp_path / "away").rename(files[name])
    files["ca_file"].unlink()
    files["ca_file"].mkdir()
    assert "payment.ca_file" in said().stderr and "is no regular file" in said().stderr


@pytest.mark.parametrize("options, variable", [
    (["--innodb-flush-log-at-trx-commit=2"], "innodb_flush_log_at_trx_commit is 2"),
    (["--innodb-flush-log-at-trx-commit=0"], "innodb_flush_log_at_trx_commit is 0"),
    (["--log-bin=log", "--sync-binlog=0"], "sync_binlog is 0"),
])
def test_a_database_that_may_lose_commits_is_refused(build_directory, tmp_path, options, variable):
    database = Mariadb(options=options)
    try:
        operator = Operator(build_directory, tmp_path, database.start())
        assert operator.run("migrate", "up").returncode == 0
        refused = operator.run("serve")
        assert refused.returncode == 1
        assert variable in refused.stderr and "database.allow_weak_durability" in refused.stderr
        process = operator.serve(settings=["database.allow_weak_durability=yes"])
        operator.wait_ready(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "weak_durability" in operator.log() and variable in operator.log()
    finally:
        database.close()


@pytest.mark.parametrize("buffering", ["OFF", "ON"])
def test_a_redo_log_past_the_cache_is_warned_of(build_directory, tmp_path, buffering):
    database = Mariadb(options=[f"--innodb-log-file-buffering={buffering}"])
    try:
        operator = Operator(build_directory, tmp_path, database.start())
        assert operator.run("migrate", "up").returncode == 0
        process = operator.serve()
        operator.wait_ready(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        warned = "redo_unbuffered" in operator.log() and "innodb_log_file_buffering" in operator.log()
        assert warned == (buffering == "OFF")
    finally:
        database.close()


def test_a_database_that_syncs_its_binary_log_is_taken(build_directory, tmp_path):
    database = Mariadb(options=["--log-bin=log", "--sync-binlog=1"])
    try:
        operator = Operator(build_directory, tmp_path, database.start())
        assert operator.run("migrate", "up").returncode == 0
        process = operator.serve()
        operator.wait_ready(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        database.close()


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
            assert operator.is_ready()  # it verifies already
        finally:
            process.send_signal(signal.SIGTERM)
        assert notify.recv(100) == b"STOPPING=1"
        assert process.wait(30) == 0
