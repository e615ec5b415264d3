"""docs/operations.md: from an empty database to a backup and its restore, by the blocks of the page. What is the
machine's (sudo, systemctl, the database's socket, folders) is put before them by small programs of the same name."""

import getpass
import gzip
import os
import re
import shutil

import pytest
import yaml

from daemon import free_port
from docs_pages import SOURCE, run_page
from mariadb import Mariadb

PAGE = "operations.md"
PROGRAMS = {
    "sudo": 'if [ "$1" = -u ]; then shift 2; fi; exec "$@"',
    "mariadb": 'exec {path}/mariadb --no-defaults --socket={socket} --user={user} "$@"',
    "mariadb-dump": 'exec {path}/mariadb-dump --no-defaults --socket={socket} --user={user} "$@"',
    "keymeterd": 'exec {build}/keymeterd --config {root}/etc/keymeter/keymeter.conf'
                 " --set keys.master_key_file={root}/var/lib/keymeter/master.key"
                 ' --set keys.pepper_file={root}/var/lib/keymeter/pepper.key --set metering.max_wait=2s "$@"',
    "keymeter": 'exec {build}/keymeter "$@"',
    "systemctl": """case "$*" in
  stop*) kill $(cat {root}/pid); while kill -0 $(cat {root}/pid) 2>/dev/null; do read -rt 0.05 <> <(:) || true; done ;;
  *) keymeterd serve </dev/null >>{root}/log 2>&1 & echo $! >{root}/pid
     until curl -sfo /dev/null http://127.0.0.1:{api}/readyz; do
       kill -0 $(cat {root}/pid); read -rt 0.05 <> <(:) || true; done
     # Not only ready, but each check has succeeded once.
     until [ -z "${{KEYMETER_TOKEN-}}" ] || keymeter doctor >/dev/null; do read -rt 0.05 <> <(:) || true; done ;;
esac""",
}


@pytest.fixture(name="said", scope="module")
def said_fixture(build_directory, tmp_path_factory):
    """What each block said."""
    if not shutil.which("mariadb-dump"):
        pytest.skip("NOT RUN: docs/operations.md: mariadb-dump is not installed")
    root = tmp_path_factory.mktemp("machine")
    database = Mariadb(name="other")
    try:
        database.start()
        for folder in ("bin", "etc/keymeter", "var/lib/keymeter"):
            (root / folder).mkdir(parents=True)
        names = {"root": root, "socket": database.socket, "user": getpass.getuser(), "build": build_directory.resolve(),
                 "api": free_port(), "path": "/usr/bin"}
        for name, text in PROGRAMS.items():
            (root / "bin" / name).write_text("#!/bin/bash\nset -e\n" + text.format(**names) + "\n")
            (root / "bin" / name).chmod(0o755)
        status, said, _ = run_page(PAGE, root, {
            "7070": str(names["api"]), "7071": str(free_port()), "7072": str(free_port()),
            "VIA unix_socket": "BY ''", "/run/mysqld/mysqld.sock": str(database.socket),
            "/etc/keymeter": f"{root}/etc/keymeter", "tar -C /": f"tar -C {root}",
        }, {"PATH": f"{root}/bin:{os.environ['PATH']}", "KEYMETER_ADDR": f"http://127.0.0.1:{names['api']}"})
        said = re.sub(r"_[0-9A-Za-z]{40,}", "_...", said)
        assert status == 0, (said[-1500:], (root / "log").read_text()[-2000:] if (root / "log").exists() else "")
        yield said.split("\n#### ")[1:], root, database
    finally:
        database.close()


def block(said, words):
    [text] = [text for text in said if words in text]
    return text


def test_the_first_start_ends_with_a_clean_bill(said):
    blocks, _, _ = said
    assert "/admin/join/" in block(blocks, "https://keys-admin.example.com")
    for text in blocks:
        assert not re.search(r"(?m)^failing", text), text
    assert sum("ok       database" in text for text in blocks) == 2


def test_a_restore_brings_keys_use_and_audit_back(said):
    """The key that was made before the backup works behind the restore, and its use goes on from there."""
    blocks, _, database = said
    answers = [text for text in blocks if re.search(r"(?m)^VALID$", text)]
    assert len(answers) == 2 and answers[-1] == blocks[-1] and re.search(r"rows 1 to \d+", blocks[-1])
    assert database.value("SELECT COUNT(*) FROM customer", schema="keymeter") == "1"


def test_the_dump_has_no_address_and_no_secret(said):
    _, root, _ = said
    dump = gzip.decompress((root / "keymeter.sql.gz").read_bytes())
    secret = (root / "first.key").read_text().strip()
    assert b"CREATE TABLE" in dump and secret.encode() not in dump and secret[8:51].encode() not in dump
    assert b"you@example.com" not in dump and b"you@example.com".hex().upper().encode() not in dump.upper()
    assert (root / "admin.token").read_text().strip().encode() not in dump


def test_the_rules_name_metrics_that_are_there():
    page = (SOURCE / "docs" / PAGE).read_text()
    [rules] = re.findall(r"(?ms)^<!-- rules -->\n```yaml\n(.*?)^```$", page)
    known = set(re.findall(r"(?m)^\| `(keymeter_\w+)", (SOURCE / "docs/metrics.md").read_text()))
    found = yaml.safe_load(rules)["groups"][0]["rules"]
    assert len(found) == len({rule["alert"] for rule in found}) == 10
    for rule in found:
        named = set(re.findall(r"keymeter_\w+", rule["expr"]))
        assert named and {re.sub(r"_bucket$", "", name) for name in named} <= known, rule
