"""The `keymeter` client against a running daemon: output, exit codes, and no secret in argv."""

import contextlib
import hashlib
import json
import os
import pty
import re
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


@pytest.mark.parametrize("address", ["http://192.0.2.1:7070", "http://127.0.0.1:7070@192.0.2.1/", "ftp://127.0.0.1"])
def test_the_token_goes_nowhere_else(client, address):
    refused = client.run("keys", "list", address=address)
    assert refused.returncode == 1 and "KEYMETER_ADDR must be" in refused.stderr, refused.stderr


def test_an_id_is_what_it_is(client):
    made = client.run("customers", "create", "--external-id", "..", "--email", "dots@example.com", "--tier", "free")
    assert made.returncode == 0, made.stderr
    assert json.loads(client.run("customers", "get", "..", "--json").stdout)["external_id"] == ".."
    assert "missing: ID" in client.run("customers", "get", "").stderr
    assert client.run("customers", "delete", "..").returncode == 0


@pytest.mark.parametrize("program", ["keymeter", "keymeterd"])
def test_the_version_is_that_of_the_project(source_directory, build_directory, program):
    version = re.search(r"(?m)^project\(keymeter VERSION ([\d.]+)", (source_directory / "CMakeLists.txt").read_text())[1]
    done = subprocess.run([build_directory / program, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{program} {version}\n", "")
    assert f"\n  version: {version}\n" in (source_directory / "docs" / "openapi.yaml").read_text()
    told = subprocess.run([build_directory / program, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--version" in told


@pytest.mark.parametrize("program, words", [("keymeter", "help"), ("keymeter", "--version"), ("keymeterd", "--help"),
                                            ("keymeterd", "--version")])
def test_help_that_cannot_be_printed_is_an_error(build_directory, program, words):
    with open("/dev/full", "w") as full:
        assert subprocess.run([build_directory / program, words], stdout=full, check=False).returncode == 1


def test_a_portal_link_stands_alone(client):
    assert client.sign_up().returncode == 0
    customer = json.loads(client.run("customers", "list", "--json").stdout)["data"][0]["id"]
    opened = client.run("portal", "open", "--customer", customer)
    assert opened.returncode == 0, opened.stderr
    assert re.fullmatch(r"http://\S+/portal/\S+\n", opened.stdout), opened.stdout
    assert re.fullmatch(r"it opens once, until \S+Z\n", opened.stderr), opened.stderr
    assert set(json.loads(client.run("portal", "open", "--customer", customer, "--json").stdout)) == {
        "url", "expires_at"}


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


def test_customers_their_usage_and_their_end(client, tmp_path):
    name = "cli-" + secrets.token_hex(6)
    made = client.run("customers", "create", "--external-id", name, "--email", "a@example.com",
                      "--tier", "free", "--metadata", '{"plan":"a"}', "--json")
    assert made.returncode == 0, made.stderr
    customer = json.loads(made.stdout)
    assert customer["metadata"] == {"plan": "a"}
    table = client.run("customers", "list", "--external-id", name).stdout.splitlines()
    assert table[0].split()[:2] == ["id", "external_id"] and table[1].startswith(customer["id"])
    body = tmp_path / "body.json"
    body.write_text('{"name": "of the file", "email": "b@example.com"}')
    changed = json.loads(client.run("customers", "update", name, "--body", str(body),
                                    "--email", "c@example.com", "--json").stdout)
    assert (changed["name"], changed["email"]) == ("of the file", "c@example.com")
    key = client.run("keys", "create", "--customer", name, "--title", "first")
    assert client.run("verify", "--cost", "3", stdin=key.stdout).stdout == "VALID\n"
    looked = json.loads(client.run("keys", "lookup", "--json", stdin=key.stdout).stdout)
    assert looked["id"] == key_id_of(key)
    for words in (["usage", "key", looked["id"]], ["usage", "customer", name]):
        usage = client.run(*words, "--granularity", "month")
        assert usage.returncode == 0, usage.stderr
        assert usage.stdout.startswith("start") and '\nquota {"limit":' in usage.stdout
    assert client.run("keys", "update", looked["id"], "--title", "second").returncode == 0
    assert "second" in client.run("keys", "list", "--customer", name).stdout
    gone = client.run("customers", "delete", name, "--json")
    assert (gone.returncode, gone.stdout) == (0, ""), gone.stderr
    assert client.run("verify", stdin=key.stdout).returncode == 2


def test_a_full_tier_is_refused_but_no_fault_of_the_token(client):
    made = client.sign_up()
    customer = json.loads(client.run("keys", "get", key_id_of(made), "--json").stdout)["customer_id"]
    second = client.run("keys", "create", "--customer", customer)
    assert second.returncode == 2 and "key_limit_reached" in second.stderr and second.stdout == ""


def test_a_key_of_another_system_is_taken_over(client):
    made = json.loads(client.run("customers", "create", "--external-id", "i-" + secrets.token_hex(6), "--email",
                                 "i@example.com", "--tier", "free", "--json").stdout)
    text = "old_" + secrets.token_hex(20)
    done = client.run("keys", "import", "--customer", made["id"], "--algorithm", "sha256", "--hash",
                      hashlib.sha256(text.encode()).hexdigest(), "--start", text[:8])
    assert done.returncode == 0, done.stderr
    assert client.run("verify", stdin=text).stdout == "VALID\n"


def a_customer(client):
    """Of a tier with room for several keys."""
    tier = {**json.loads(client.run("tiers", "get", "free", "--json").stdout), "slug": "roomy", "max_keys": 9}
    assert client.run("tiers", "set", "roomy", "--body", "-", stdin=json.dumps(tier)).returncode == 0
    return json.loads(client.run("customers", "create", "--external-id", "l-" + secrets.token_hex(6), "--email",
                                 "l@example.com", "--tier", "roomy", "--json").stdout)["external_id"]


def list_line(owner, text, *title):
    return ",".join([owner, hashlib.sha256(text.encode()).hexdigest(), text[:8], *title]) + "\n"


def test_a_list_of_keys_is_taken_over_and_may_be_sent_again(client, tmp_path):
    owner, texts = a_customer(client), ["old_" + secrets.token_hex(20) for _ in range(3)]
    path = tmp_path / "keys.csv"
    path.write_text(list_line(owner, texts[0], "one, of two") + "\n" + list_line(f' "{owner}" ', texts[1]) +
                    f"{owner},nothash,old_\n" + "too,few\n" + list_line("nobody", texts[2]))
    command = ("keys", "import-list", "--algorithm", "sha256", "--list", str(path))
    done = client.run(*command, "--json")
    assert done.returncode == 2 and done.stderr.endswith("2 imported, 0 there before, 3 refused\n"), done.stderr
    assert [json.loads(line)["title"] for line in done.stdout.splitlines()][0] == "one, of two"
    assert re.findall(r"(?m)^line (\d+)", done.stderr) == ["4", "5", "6"]
    assert "must be 32 bytes" in done.stderr and "between commas" in done.stderr
    for text in texts[:2]:
        assert client.run("verify", stdin=text).stdout == "VALID\n"
    again = client.run(*command[:-1], "-", stdin=path.read_text())
    assert again.stderr.endswith("0 imported, 2 there before, 3 refused\n")


def test_a_list_ends_where_no_line_could_be_taken(client, tmp_path):
    path = tmp_path / "keys.csv"
    path.write_text(list_line("somebody", "a") * 3)
    command = ("keys", "import-list", "--algorithm", "sha256", "--list", str(path))
    refused = client.run(*command, token="kmt_" + "0" * 60)
    assert refused.returncode == 4 and "ended at line 1" in refused.stderr, refused.stderr
    alone = client.run(*command, address="http://127.0.0.1:1")
    assert alone.returncode == 1 and alone.stderr.count("no answer") == 1, alone.stderr
    assert client.run(*command[:-1], str(tmp_path / "none")).returncode == 1
    for option in (["--idempotency-key", "x"], ["--body", str(path)]):
        assert "no option" in client.run(*command, *option).stderr


def test_a_terminal_is_shown_how_far_a_list_is(client, tmp_path):
    owner, path = a_customer(client), tmp_path / "keys.csv"
    path.write_text("".join(list_line(owner, "old_" + secrets.token_hex(20)) for _ in range(5)))
    main, side = pty.openpty()
    with subprocess.Popen([client.program, "keys", "import-list", "--algorithm", "sha256", "--list", path],
                          stderr=side, env={**os.environ, "KEYMETER_ADDR": f"http://{client.daemon.api}",
                                            "KEYMETER_TOKEN": client.daemon.info["token"]}) as process:
        os.close(side)
        seen = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while piece := os.read(main, 4096):
                seen += piece
    os.close(main)
    assert process.returncode == 0
    assert re.search(rb"\[#+ *\] \d of 5 lines", seen) and b"5 imported" in seen, seen


def test_a_tier_is_shown_changed_and_set(client):
    free = client.run("tiers", "get", "free", "--json")
    changed = {**json.loads(free.stdout), "slug": "cli", "name": "From the command line"}
    done = client.run("tiers", "set", "cli", "--body", "-", "--json", stdin=json.dumps(changed))
    assert done.returncode == 0, done.stderr
    assert "From the command line" in client.run("tiers", "list").stdout
    for wrong in ("[1]", "{", ""):
        assert client.run("tiers", "set", "cli", "--body", "-", stdin=wrong).returncode == 1


def test_a_token_alone_on_standard_output_until_it_is_revoked(client):
    made = client.run("tokens", "create", "--name", "cli", "--scopes", "read,verify")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert token.startswith("kmt_") and token not in made.stderr
    assert client.run("keys", "list", token=token).returncode == 0
    assert client.run("tiers", "set", "free", "--body", "-", stdin="{}", token=token).returncode == 4
    assert key_id_of(made) in client.run("tokens", "list").stdout
    assert client.run("tokens", "revoke", key_id_of(made)).returncode == 0
    assert client.run("keys", "list", token=token).returncode == 4


def test_the_audit_log_is_listed_and_its_chain_verified(client):
    made = client.sign_up()
    assert key_id_of(made) in client.run("audit", "list", "--subject", key_id_of(made)).stdout
    whole = client.run("audit", "verify")
    assert whole.returncode == 0 and whole.stdout.startswith("rows 1 to "), whole.stderr
    shown = json.loads(client.run("audit", "verify", "--json").stdout)
    assert shown["intact"] is True and shown["broken_at"] is None


class Broken(Flaky):
    """An API whose audit log does not hold."""

    def run(self):
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rwb") as stream:
            list(iter(lambda: stream.readline().strip(), b""))
            body = b'{"intact":false,"first":1,"last":9,"broken_at":4,"broken_by":"a row is missing"}'
            stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def test_a_broken_chain_is_2(client):
    done = client.run("audit", "verify", address=Broken(0).address)
    assert (done.returncode, done.stdout) == (2, "broken at row 4: a row is missing\n")


def test_help_of_all_of_a_word_and_of_each_command(client):
    whole = client.run("--help").stdout
    lines = re.findall(r"(?m)^  ([a-z]+)(?: ([a-z-]+))?(?: [A-Z]+)?$", whole)
    assert len(lines) > 40 and ("verify", "") in lines
    for word, verb in lines:
        done = client.run(word, *([verb] if verb else []), "--help")
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout.startswith(f"usage: keymeter {word} {verb}".strip())
    assert client.run("help", "keys").stdout.count("\n  keys ") == 15
    assert "--key-file FILE" in client.run("verify", "--help").stdout
    assert "--customer TEXT (needed)" in client.run("keys", "create", "--help").stdout
    assert client.run("keys", "bogus", "--help").returncode == 1


def test_every_call_of_the_api_has_a_command(client, source_directory):
    """But those for which other programs are made, and what is said of each command."""
    elsewhere = {"/v1/verify/batch", "/v1/claims/reveal", "/v1/payments/webhook",
                 "/v1/payments/stripe/webhook", "DELETE /v1/keys/{id}"}
    calls = {f"{method.upper()} {path}" for path, methods in
             json.loads((source_directory / "docs/openapi.json").read_text())["paths"].items()
             for method in methods if path.startswith("/v1/") and method != "parameters"}
    table = (source_directory / "src/cli/commands.c").read_text()
    asked = {f"{method} {re.sub('%s', '{id}', path)}" for method, path in
             re.findall(r'"(GET|POST|PUT|PATCH|DELETE)",\s*"(/[^"]+)"', table)}
    missing = {call for call in calls if re.sub(r"\{\w+\}", "{id}", call) not in asked
               and call not in elsewhere and call.split(" ")[1] not in elsewhere}
    assert missing == set()
