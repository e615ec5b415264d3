"""The `keymeter` client against a running daemon: output, exit codes, and no secret in argv."""

import json
import os
import secrets
import socket
import subprocess
import threading

import pytest


class Client:
    def __init__(self, build, daemon):
        self.program = str(build / "keymeter")
        self.daemon = daemon

    def run(self, *words, stdin="", token=None, address=None):
        environment = {**os.environ, "KEYMETER_ADDR": address or f"http://{self.daemon.api}",
                       "KEYMETER_TOKEN": self.daemon.info["token"] if token is None else token}
        return subprocess.run([self.program, *words], input=stdin, capture_output=True,
                              encoding="utf-8", timeout=30, env=environment, check=False)

    def sign_up(self, *more):
        return self.run("signups", "create", "--external-id", "cli-" + secrets.token_hex(6),
                        "--email", "cli@example.com", "--tier", "free", *more)


@pytest.fixture(scope="module")
def client(build_directory, daemon):
    return Client(build_directory, daemon)


def key_id_of(done):
    return done.stderr.split(":")[0]


def test_a_key_from_sign_up_to_revocation(client):
    made = client.sign_up("--title", "Shop, east")
    assert made.returncode == 0, made.stderr
    secret, key_id = made.stdout.strip(), key_id_of(made)
    assert secret.startswith("km_live_") and secret not in made.stderr
    assert key_id.startswith("key_")

    verified = client.run("verify", stdin=secret + "\n")
    assert (verified.returncode, verified.stdout) == (0, "VALID\n"), verified.stderr

    shown = json.loads(client.run("keys", "get", key_id, "--json").stdout)
    assert (shown["id"], shown["title"]) == (key_id, "Shop, east")
    assert secret not in client.run("keys", "get", key_id).stdout

    assert client.run("keys", "disable", key_id).returncode == 0
    assert client.run("verify", stdin=secret).stdout == "DISABLED\n"
    assert client.run("keys", "enable", key_id).returncode == 0

    second = client.run("keys", "regenerate", key_id)
    assert second.returncode == 0 and second.stdout.strip() != secret
    refused = client.run("verify", stdin=secret)
    assert (refused.returncode, refused.stdout) == (2, "REVOKED\n") or refused.stdout == "NOT_FOUND\n"
    third = client.run("keys", "rotate", key_id, "--grace-seconds", "60")
    assert third.returncode == 0
    for text in (second.stdout, third.stdout):
        assert client.run("verify", stdin=text).stdout == "VALID\n"

    assert client.run("keys", "revoke", key_id).returncode == 0
    assert client.run("verify", stdin=third.stdout).returncode == 2


def test_a_long_title_is_cut_between_characters_and_keeps_its_column(client):
    key_id = key_id_of(client.sign_up("--title", "ü" * 100))
    lines = client.run("keys", "list", "--limit", "1").stdout.splitlines()
    assert lines[1].startswith(f"{key_id}  {'ü' * 31}  active")
    assert lines[0].index("status") == lines[1].index("active")
    assert client.run("keys", "get", key_id).stdout.count("ü") == 100


def test_lists_are_tables(client):
    made = client.sign_up("--title", "Listed")
    table = client.run("keys", "list", "--limit", "5").stdout.splitlines()
    assert table[0].split() == ["id", "title", "status", "tier", "start", "customer_id",
                                "last_used_at"]
    assert any(line.startswith(key_id_of(made)) and " active " in line for line in table)
    as_json = json.loads(client.run("keys", "list", "--limit", "1", "--json").stdout)
    assert len(as_json["data"]) == 1


def test_a_key_may_come_from_a_file(client, tmp_path):
    path = tmp_path / "key"
    path.write_text(client.sign_up().stdout)
    done = client.run("verify", "--key-file", str(path), "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["valid"] is True


def test_the_api_says_what_is_wrong(client):
    refused = client.run("keys", "get", "key_0000000000000")
    assert refused.returncode == 2 and "404" in refused.stderr
    refused = client.run("signups", "create", "--external-id", "a b", "--email", "x", "--tier", "free")
    assert refused.returncode == 2
    assert "external_id" in refused.stderr and "email" in refused.stderr


@pytest.mark.parametrize("token", ["", "kmt_" + "0" * 49])
def test_no_or_a_wrong_token_is_4(client, token):
    assert client.run("keys", "list", token=token).returncode == 4


@pytest.mark.parametrize("words", [[], ["keys"], ["keys", "get"], ["keys", "list", "--bogus", "1"],
                                   ["keys", "list", "--limit"], ["verify", "km_live_x"],
                                   ["signups", "create", "--tier", "free"],
                                   ["keys", "rotate", "key_x", "--grace-seconds", "1x"]])
def test_wrong_usage_is_1(client, words):
    done = client.run(*words)
    assert done.returncode == 1 and done.stderr and done.stdout == ""


@pytest.mark.parametrize("address", ["http://192.0.2.1:1", "http://127.0.0.1.example:1", "ftp://x",
                                     "http://127.0.0.1:1"])
def test_the_token_goes_nowhere_unsafe_or_dead(client, address):
    assert client.run("keys", "list", address=address).returncode == 1


class Flaky(threading.Thread):
    """An API that breaks its first connections when the request is there, then makes a key."""

    def __init__(self, broken):
        super().__init__(daemon=True)
        self.broken, self.keys = broken, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            with connection, connection.makefile("rwb") as stream:
                head = iter(lambda: stream.readline().strip().decode(), "")
                lines = dict(line.lower().split(": ", 1) for line in list(head)[1:])
                stream.read(int(lines["content-length"]))
                self.keys.append(lines.get("idempotency-key"))
                if len(self.keys) <= self.broken:
                    continue
                body = b'{"id":"key_1","secret":"km_live_made"}'
                stream.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def test_a_lost_answer_is_asked_for_again_under_the_same_key(client):
    api = Flaky(broken=1)
    made = client.run("keys", "regenerate", "key_1", address=api.address)
    assert (made.returncode, made.stdout) == (0, "km_live_made\n"), made.stderr
    assert len(api.keys) == 2 and api.keys[0] == api.keys[1] and len(api.keys[0]) >= 16
    gone = Flaky(broken=9)
    lost = client.run("keys", "regenerate", "key_1", address=gone.address)
    assert lost.returncode == 1 and len(gone.keys) == 2
    assert f"--idempotency-key {gone.keys[0]} " in lost.stderr
    assert client.run("keys", "revoke", "key_1", address=gone.address).returncode == 1
    assert len(gone.keys) == 3 and gone.keys[2] is None  # not such a call: sent once
