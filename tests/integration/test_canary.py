"""Canaries: key secrets, a service token, e-mail addresses and a name are found nowhere, in no form:
not in the data directory, its redo log, binary logs and general log, not in what the daemon logs or
prints, and no core is written. Each search is shown to find a canary that was planted."""

import base64
import os
import resource
import secrets
import shutil
import signal
import subprocess
from urllib.parse import quote

import pytest

from daemon import Daemon, free_port, request, wait_for
from mariadb import Mariadb

EMAIL, EMAIL_2 = "canary-4711@example.org", "zwitscher+4712@example.net"
NAME = "Canary Zwitscher"


def forms(text):
    """How a text may stand in a file: as it is, in wide characters, hex, base64 wherever it begins,
    percent-encoded."""
    raw = text.encode()
    found = {raw, text.encode("utf-16-le"), raw.hex().encode(), raw.hex().upper().encode(),
             quote(text, safe="").encode(), "".join(f"%{byte:02x}" for byte in raw).encode(),
             "".join(f"%{byte:02X}" for byte in raw).encode()}
    for skip in range(3):  # whole groups of three bytes are the same wherever they stand
        part = raw[skip:]
        part = part[:len(part) // 3 * 3]
        found |= {base64.b64encode(part), base64.urlsafe_b64encode(part)}
    return found


def sightings(folder, canaries):
    """"name: canary..." for each canary in a file below the folder."""
    needles = [(canary[:6], form) for canary in canaries for form in forms(canary)]
    seen = set()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            seen |= {f"{path.name}: {shown}..." for shown, form in needles if form in content}
    return sorted(seen)


def body(secret):
    """The random part of a secret or token, without check digits: a piece of it is a sighting too."""
    return secret.rsplit("_", 1)[1][4:40]


class Served:
    """`keymeterd serve` on a MariaDB of the test."""

    def __init__(self, build, folder, options=()):
        self.build, self.folder = build, folder
        self.database = Mariadb(options=options)
        self.api, self.gateway = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.process = None
        self.token = None

    def arguments(self, *settings):
        every = [*self.database.settings(), f"listen.api={self.api}", f"listen.gateway={self.gateway}",
                 f"keys.master_key_file={self.folder}/master.key",
                 f"keys.pepper_file={self.folder}/pepper.key", "log.level=debug", *settings]
        return ["--config", "/dev/null", *(word for setting in every for word in ("--set", setting))]

    def tool(self, *words):
        return subprocess.run([str(self.build / "keymeterd"), *words, *self.arguments()],
                              capture_output=True, text=True, timeout=120, check=False)

    def start(self, *settings, environment=None):
        self.database.start()
        up = self.tool("migrate", "up")
        assert up.returncode == 0, up.stderr
        self.token = self.tool("token", "create", "--scope", "admin").stdout.strip()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(self.build / "keymeterd"), "serve", *self.arguments(*settings)], stdout=log,
                stderr=log, cwd=self.folder, env={**os.environ, **(environment or {})},
                preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_CORE, [resource.getrlimit(resource.RLIMIT_CORE)[1]] * 2))
        wait_for(self.ready, "/readyz")
        return self

    def ready(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
        try:
            return request(self.api, "GET", "/readyz").status == 200
        except OSError:
            return False

    def call(self, method, path, sent=None, token=None, **headers):
        return request(self.api, method, path, sent,
                       {"Authorization": f"Bearer {token or self.token}", **headers})

    def gate(self, secret):
        return wait_for(lambda: (answer := request(self.gateway, "GET", "/v1/gateway",
                                                   headers={"X-API-Key": secret})).status != 503
                        and answer, "an answer other than 503")

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.database.close()


def traffic(served):
    """Every way a secret or a name comes in or goes out, the wrong places too; all canaries."""
    tier = served.call("GET", "/v1/tiers/free").json
    tier.update(slug="wide", name="wide", max_keys=100, monthly_quota=None)
    assert served.call("PUT", "/v1/tiers/wide", tier).status == 201
    made = served.call("POST", "/v1/signups", {"external_id": "acme-1", "email": EMAIL, "name": NAME,
                                               "tier": "wide", "key": {"title": "first"}})
    assert made.status == 201, made
    secret, key = made.json["secret"], f"/v1/keys/{made.json['key']['id']}"
    token = served.call("POST", "/v1/tokens", {"name": "canary", "scopes": ["issue"]}).json["secret"]
    assert served.gate(secret).status == 200
    assert served.gate(secret[:-1] + "!").status == 401
    assert served.call("POST", "/v1/verify", {"key": secret}).json["valid"]
    assert served.call("POST", "/v1/keys/lookup", {"key": secret}, token).status == 200
    for path, sent in [("/v1/keys", {"customer_id": secret}), ("/v1/verify", {"key": {secret: secret}}),
                       ("/v1/signups", {"email": EMAIL, secret: 1}), ("/v1/tokens", {"name": token}),
                       ("/v1/keys", {"customer_id": "acme-1", "title": secret}),
                       ("/v1/keys", {"customer_id": "acme-1", "permissions": [secret]}),
                       ("/v1/customers", {"external_id": secret, "email": EMAIL, "tier": token})]:
        assert served.call("POST", path, sent).status == 422
    for path in (f"/v1/keys/{secret}", f"/v1/customers/{secret}", f"/v1/nothing/{token}",
                 f"/v1/keys?customer_id={secret}", f"/v1/keys?{secret}={token}",
                 f"/v1/audit?action={token}", f"/v1/tiers/{secret}", f"/v1/keys/{secret}/usage"):
        assert served.call("GET", path).status in (404, 422)
    assert served.call("GET", "/v1/tiers", token=secret).status == 401
    assert served.call("GET", f"/v1/customers?email={quote(EMAIL)}").json["data"][0]["email"] == EMAIL
    rotated = served.call("POST", f"{key}/rotate", {}, token).json["secret"]
    assert served.gate(rotated).status == 200
    regenerated = served.call("POST", f"{key}/regenerate", {}, token).json["secret"]
    assert served.gate(regenerated).status == 200
    once = {"Idempotency-Key": "canary-" + secrets.token_hex(12)}
    kept = [served.call("POST", f"{key}/regenerate", {}, token, **once) for _ in range(2)]
    regenerated_once, again = (answer.json["secret"] for answer in kept)
    assert body(again) == body(regenerated_once) and kept[1].headers["Idempotent-Replayed"] == "true"
    mistaken = {"Idempotency-Key": regenerated_once}
    assert served.call("POST", f"{key}/regenerate", {}, token, **mistaken).status == 422
    changed = served.call("PATCH", "/v1/customers/acme-1", {"email": EMAIL_2, "name": NAME[::-1]})
    assert changed.json["email"] == EMAIL_2
    assert served.call("GET", "/v1/audit").status == 200
    texts = [body(text) for text in (secret, rotated, regenerated, regenerated_once, token,
                                        served.token)] + [once["Idempotency-Key"]]
    return [*texts, EMAIL, EMAIL_2, NAME, NAME[::-1]]


def test_dev_keeps_them_only_in_its_own_files(build_directory):
    daemon = Daemon(build_directory, ["log.level=debug"]).start()
    try:
        daemon.tier("wide", monthly_quota=None)
        secret = daemon.signup("wide", email=EMAIL, name=NAME)["secret"]
        assert daemon.gate_until(secret).status == 200
        assert daemon.stop() == 0
        # Caught mails are to whom they are to; the secret was in the answer alone.
        assert sightings(daemon.state / "mail", [body(secret)]) == []
        shutil.rmtree(daemon.state / "mail")
        assert sightings(daemon.state, [body(secret), EMAIL, NAME]) == []
        own = body(daemon.info["key"])
        # It prints its own key, and keeps it: so the search is one that finds.
        assert {line.split(":")[0] for line in sightings(daemon.state, [own])} == {
            "dev.json", "key.json", "log"}
    finally:
        daemon.close()


@pytest.mark.parametrize("binlog_format", ["ROW", "MIXED"])
def test_binary_logs_general_log_and_redo_log_hold_none(build_directory, tmp_path, binlog_format):
    served = Served(build_directory, tmp_path, options=[
        "--log-bin=binlog", "--sync-binlog=1", "--server-id=1",
        f"--binlog-format={binlog_format}", "--general-log=1", "--general-log-file=general.log", "--slow-query-log=1", "--long-query-time=0",
        "--slow-query-log-file=slow.log"])
    try:
        canaries = traffic(served.start())
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0, (tmp_path / "log").read_text()[-3000:]
        data = served.database.directory
        served.database.stop()
        assert sightings(data, canaries) == []
        assert sightings(tmp_path, canaries) == []
        # The control: what is written by SQL is found in table, redo log, binary log, general log.
        served.database.start()
        planted = secrets.token_hex(20)
        served.database.sql(f"CREATE TABLE planted (text VARCHAR(99)); INSERT INTO planted VALUES ('{planted}')")
        served.database.stop()
        names = {line.split(":")[0] for line in sightings(data, [planted])}
        assert {"planted.ibd", "ib_logfile0", "general.log", "slow.log"} <= names
        assert any(name.startswith("binlog.0") for name in names)
        (tmp_path / "encoded").write_bytes(b"x" + base64.b64encode(b"ab" + planted.encode()))
        assert [line.split(":")[0] for line in sightings(tmp_path, [planted])] == ["encoded"]
    finally:
        served.close()


def test_statements_in_a_binary_log_are_refused_at_once(build_directory, tmp_path):
    """READ COMMITTED cannot be replayed from statements: told before there is anything to lose."""
    served = Served(build_directory, tmp_path,
                    options=["--log-bin=binlog", "--sync-binlog=1", "--server-id=1",
                             "--binlog-format=STATEMENT"])
    try:
        served.database.start()
        refused = served.tool("migrate", "up")
        assert refused.returncode == 1 and "BINLOG_FORMAT = STATEMENT" in refused.stderr
    finally:
        served.close()


def abort(served):
    """SIGABRT, and whether the kernel says that it wrote a core."""
    served.process.send_signal(signal.SIGABRT)
    _, status = os.waitpid(served.process.pid, 0)
    served.process.returncode = -signal.SIGABRT
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGABRT
    return os.WCOREDUMP(status)


@pytest.fixture
def may_dump():
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("the hard limit of cores is 0 here")
    return {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":disable_coredump=0:handle_abort=0",
            "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + ":disable_coredump=0:handle_abort=0"}


def test_no_core_is_written(build_directory, tmp_path, may_dump):
    served = Served(build_directory, tmp_path)
    try:
        canaries = traffic(served.start(environment=may_dump))
        assert not abort(served)
        assert sightings(tmp_path, canaries) == []
    finally:
        served.close()


def test_a_core_that_was_allowed_holds_no_master_key(build_directory, tmp_path, may_dump):
    """The control of the test above, and guarded memory stays out of a core in any case."""
    served = Served(build_directory, tmp_path)
    try:
        canaries = traffic(served.start("debug.core_dumps=yes", environment=may_dump))
        if not abort(served):
            pytest.skip("no cores can be written here")
        cores = list(tmp_path.glob("core*"))
        if not cores:
            pytest.skip("cores go elsewhere here: see /proc/sys/kernel/core_pattern")
        keys = [(tmp_path / name).read_text().split()[1] for name in ("master.key", "pepper.key")]
        core = cores[0].read_bytes()
        assert any(form in core for canary in canaries for form in forms(canary))
        for key in keys:
            assert bytes.fromhex(key) not in core and key.encode() not in core
    finally:
        served.close()
