"""A real `keymeterd dev` for tests: started, called, killed, started again in the same state."""

import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from mariadb import make_data


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def mask(text):
    """The text without the secrets in it (API keys, tokens, claim links): the first 10 characters of each."""
    whole = re.sub(r"\b[a-z][a-z0-9_]{1,40}_[0-9A-Za-z]{32,}", lambda found: found[0][:10] + "...", text)
    return re.sub(r"\.\.\.[0-9A-Za-z]{6,}", "...", whole)  # the ends of those that were shortened


def wait_for(condition, what, seconds=30):
    """Polls until the condition is true, and returns its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)  # allow-sleep: the polling helper
    raise AssertionError(f"waited {seconds} s for {what}")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def request(address, method, path, body=None, headers=None, timeout=15):
    """One call on a connection of its own; `body` that is no bytes is sent as JSON."""
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


PATIENCE = "metering.max_wait=2s"  # a busy machine's commits are no failure of what is tested here


class Daemon:
    """`bare`: the daemon makes its database's files by itself; otherwise they lie there (mariadb.make_data)."""

    def __init__(self, build, settings=(), state=None, bare=False):
        self.build = Path(build)
        self.state = Path(state or tempfile.mkdtemp(prefix="keymeter-test-"))
        self.settings = list(settings)
        self.bare = bare
        self.api = f"127.0.0.1:{free_port()}"
        self.gateway = f"127.0.0.1:{free_port()}"
        self.process = None
        self.info = {}

    def start(self):
        database = self.state / "mariadb"
        if not self.bare and not database.exists():
            database.mkdir(mode=0o700)
            make_data(database / "data", database)
        path = self.state / "dev.json"
        path.unlink(missing_ok=True)
        command = [str(self.build / "keymeterd"), "dev", "--state", str(self.state), "--json", str(path)]
        for setting in [f"listen.api={self.api}", f"listen.gateway={self.gateway}", PATIENCE, *self.settings]:
            command += ["--set", setting]
        with open(self.state / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(lambda: path.exists() or self.process.poll() is not None, "the start", 60)
        assert self.process.poll() is None, self.log()[-4000:]
        self.info = json.loads(path.read_text())
        return self

    def log(self):
        """Without secrets: a failed test prints it."""
        text = (self.state / "log").read_text(errors="replace")
        return mask(text)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """The exit status after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def close(self):
        try:
            if self.process:
                self.stop()
        finally:
            shutil.rmtree(self.state, ignore_errors=True)

    # ---- calls ----
    def call(self, method, path, body=None, token=None, **headers):
        """A management call with the admin token, or another one; token="" sends none."""
        token = self.info["token"] if token is None else token
        if token:
            headers.setdefault("Authorization", f"Bearer {token}")
        return request(self.api, method, path, body, headers)

    def must(self, method, path, body=None, status=(200, 201, 204)):
        """The answer's JSON. A verify is asked again while it is 503, which is never a wrong answer."""
        answer = self.call(method, path, body)
        if path == "/v1/verify" and answer.status == 503:
            answer = wait_for(lambda: (again := self.call(method, path, body)).status != 503 and again,
                              "an answer other than 503")
        assert answer.status in status, (method, path, answer)
        return answer.json if answer.body else None

    def gate(self, secret, suffix="", **headers):
        if secret is not None:
            headers["X-API-Key"] = secret
        return request(self.gateway, "GET", f"/v1/gateway{suffix}", headers=headers)

    def gate_until(self, secret, suffix="", **headers):
        """503 is never a wrong answer: asks again until there is another one."""
        return wait_for(lambda: (answer := self.gate(secret, suffix, **headers)).status != 503 and answer,
                        "an answer other than 503")

    def signup(self, tier="free", **more):
        body = {"external_id": "customer-" + secrets.token_hex(6), "email": "someone@example.com",
                "tier": tier, **more}
        return self.must("POST", "/v1/signups", body)

    def tier(self, slug, **changes):
        """A tier made from `free` with wide rate limits and the changes given."""
        tier = self.must("GET", "/v1/tiers/free")
        tier.update(slug=slug, name=slug, max_keys=100,
                    rate_limits=[{"name": "second", "limit": 1000000, "window_seconds": 1}])
        tier.update(changes)
        return self.must("PUT", f"/v1/tiers/{slug}", tier)
