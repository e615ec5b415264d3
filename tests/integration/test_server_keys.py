"""Somebody has all of it: the database's files with redo and binary log, a dump, the daemon's folder and log, and
both files of server keys. Everything sealed under them is opened; the secrets that went by mail, those that wait to be
claimed and the tokens of their links are in none of it."""

import ctypes
import ctypes.util
import hashlib
import re

import pytest

import mails
import rotations
from daemon import request, wait_for
from mail_certificates import Certificates
from mariadb import Mariadb
from nodes import Cluster
from smtp_stand_in import SmtpStandIn, reply
from test_canary import body, forms, sightings

NONCE, TAG, PLAIN_MAX = 24, 16, 8192
SODIUM = ctypes.CDLL(ctypes.util.find_library("sodium"))


class Opener:
    """Opens envelopes (crypto/envelope.c) wherever their bytes stand, by the key alone: what binds them to a row is
    not asked for."""

    def __init__(self, master_file):
        self.keys = {}
        for line in master_file.read_text().splitlines():
            if line and line[0] != "#":
                name, key = line.split()
                self.keys[name.encode()] = hashlib.blake2b(key=bytes.fromhex(key), digest_size=32,
                                                           person=b"keymeterenvelope").digest()

    def opened(self, data):
        """What each envelope may hold, and garbage behind its end."""
        for name, key in self.keys.items():
            for found in re.finditer(re.escape(b"\x01" + name), data):
                nonce = data[found.end():found.end() + NONCE]
                sealed = data[found.end() + NONCE:found.end() + NONCE + PLAIN_MAX]
                out = ctypes.create_string_buffer(len(sealed))
                SODIUM.crypto_stream_xchacha20_xor_ic(out, sealed, ctypes.c_ulonglong(len(sealed)), nonce,
                                                      ctypes.c_uint64(1), key)
                yield out.raw


def dump(database):
    """The bytes of every value of every table."""
    parts = []
    for (table,) in database.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"):
        columns = database.sql("SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
                               f" AND table_name = '{table}'")
        hexed = ", ".join(f"COALESCE(HEX(CAST(`{column}` AS BINARY)), '')" for (column,) in columns)
        for row in database.sql(f"SELECT {hexed} FROM `{table}`"):
            parts += map(bytes.fromhex, row)
    return b"\n".join(parts)


def seen(opener, folders, canaries):
    """"file: canary..." for what stands in a file, in clear, coded or sealed."""
    found = [sight for folder in folders for sight in sightings(folder, canaries)]
    needles = [(canary[:6], form) for canary in canaries for form in forms(canary)]
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            for plain in opener.opened(path.read_bytes()):
                found += [f"{path.name}, sealed: {shown}..." for shown, form in needles if form in plain]
    return sorted(set(found))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def test_all_that_is_stored_with_all_keys_gives_no_secret_away(build_directory, certificates, tmp_path):
    database = Mariadb(options=["--log-bin=binlog", "--sync-binlog=1", "--server-id=1", "--binlog-format=ROW"])
    database.start()
    with mails.Gpg() as gpg, SmtpStandIn(certificates.good) as relay, Cluster(
            build_directory, "one", database=database, more=[
                "portal.base_url=https://keys.example.com", "mail.from=keys@example.com", "log.level=debug",
                "rotation.automatic=no", f"mail.url={relay.url}", f"mail.ca_file={certificates.ca}"]) as cluster:
        node = cluster.nodes[0]
        node.tier("many", max_keys=10)
        # By mail, encrypted; by a link that nobody uses; by one that is used.
        node.signup("many", email="sealed@example.com", deliver="email", openpgp_key=gpg.public)
        for name in ("unclaimed", "claimed"):
            node.signup("many", email=f"{name}@example.com", deliver="email")
        # A rotation by a link that nobody uses, with a reminder; and a link that waits, tried and put off again.
        key, _ = rotations.signup(node, email="rotated@example.com")
        for _ in range(2):
            rotations.make_due(cluster, key)
            rotations.run(node)
        cluster.database.sql("UPDATE rotation SET look_at = 1 WHERE step >= 100 AND look_at IS NOT NULL")
        rotations.run(node)
        relay.on("dot", reply("450 4.2.0 later"), to="waits@example.com")
        waits = node.signup("many", email="waits@example.com", deliver="email")["customer"]["id"]
        wait_for(lambda: cluster.database.value(f"SELECT attempts FROM outbox WHERE state = 'retry' AND customer_id ="
                                                f" (SELECT MAX(customer_id) FROM outbox)"), "the refusal")
        wait_for(lambda: len(relay.accepted("rotated@example.com")) >= 4, "the reminder")
        wait_for(lambda: relay.accepted("claimed@example.com") and relay.accepted("unclaimed@example.com"), "links")
        [sealed] = relay.accepted("sealed@example.com")
        secret = mails.secret_of(mails.text_of(gpg.read(sealed["data"])))
        assert node.must("POST", "/v1/verify", {"key": secret})["valid"]
        texts = [mails.text_of(mails.parse(mail["data"])) for mail in relay.mails if mail is not sealed]
        links = {re.search(r"/claim#(km_claim_[0-9A-Za-z]+)", text) for text in texts}
        tokens = [found.group(1) for found in links if found]
        assert len(set(tokens)) == len(tokens) >= 5  # three sign-ups, the rotation, its reminder
        claimed = mails.token_of(mails.text_of(mails.parse(relay.accepted("claimed@example.com")[0]["data"])))
        revealed = request(node.api, "POST", "/v1/claims/reveal", {"token": claimed},
                           {"Idempotency-Key": "canary-of-a-claim-link-0001"}).json["secret"]
        assert node.must("GET", f"/v1/notifications?customer_id={waits}")["data"][0]["state"] == "retry"

        (tmp_path / "dump").write_bytes(dump(cluster.database))
        assert node.stop() == 0
        cluster.database.stop()
        opener = Opener(cluster.folder / "master.key")
        folders = [cluster.database.directory, cluster.folder, tmp_path]
        names = {path.name for path in cluster.database.directory.rglob("*")}
        assert {"ib_logfile0", "outbox.ibd"} <= names and any(name.startswith("binlog.0") for name in names)
        assert seen(opener, folders, [*map(body, [secret, revealed, *tokens]), "canary-of-a-claim-link-0001"]) == []
        # The control: what may be opened by the server is found in all of them.
        addresses = {sight.split(",")[0].split(".")[0] for sight in seen(opener, folders, ["unclaimed@example.com"])}
        assert {"customer", "dump", "ib_logfile0", "binlog"} <= addresses, addresses
        cluster.nodes.clear()
