"""Programs started without standard streams, as by `2>&-`: nothing else may get their numbers."""

import os
import subprocess

import pytest

from daemon import free_port, request, wait_for
from nodes import Cluster


def without(*streams):
    def close():
        for stream in streams:
            os.close(stream)
    return close


@pytest.fixture(scope="module")
def cluster(build_directory):
    with Cluster(build_directory) as running:
        yield running


def settings(cluster, *more):
    return [word for setting in (*cluster.settings(), *more) for word in ("--set", setting)]


@pytest.mark.parametrize("streams", [(2,), (0, 1, 2)])
def test_a_daemon_without_streams_serves_and_ends_in_order(cluster, streams):
    api = f"127.0.0.1:{free_port()}"
    daemon = subprocess.Popen([cluster.program, "serve", "--config", "/dev/null",
                               *settings(cluster, f"listen.api={api}", "listen.gateway=")],
                              preexec_fn=without(*streams))

    def ready():
        assert daemon.poll() is None
        try:
            return request(api, "GET", "/readyz").status == 200
        except OSError:
            return False
    try:
        wait_for(ready, "the daemon to be ready")
        assert {os.readlink(f"/proc/{daemon.pid}/fd/{stream}") for stream in streams} == {"/dev/null"}
        daemon.terminate()
        assert daemon.wait(timeout=30) == 0
    finally:
        daemon.kill()
        daemon.wait()


def nowhere():
    """Standard output on a full disk."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def unread():
    """Standard output into a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(reader)


@pytest.mark.parametrize("stdout", [without(1), nowhere, unread], ids=["closed", "full", "unread"])
@pytest.mark.parametrize("words, live, audited", [
    (["token", "create", "--scope", "read"], "SELECT COUNT(*) FROM token WHERE revoked_at IS NULL",
     ["token.revoke", "token.create"]),
    (["admin", "invite"], "SELECT COUNT(*) FROM admin_invite WHERE used_at IS NULL",
     ["admin.invite_withdrawn", "admin.invite"]),
], ids=["token", "invite"])
def test_what_could_not_be_printed_is_taken_back(cluster, words, live, audited, stdout):
    before = cluster.database.sql(live)
    done = subprocess.run([cluster.program, *words, "--config", "/dev/null", *settings(cluster)],
                          stderr=subprocess.PIPE, text=True, timeout=60, check=False, preexec_fn=stdout)
    assert done.returncode == 1
    assert "could not be written to standard output" in done.stderr, done.stderr
    assert "shown only now" not in done.stderr and "Open this link" not in done.stderr
    assert cluster.database.sql(live) == before
    rows = cluster.database.sql("SELECT action, subject, actor FROM audit ORDER BY sequence DESC LIMIT 2")
    assert [row[0] for row in rows] == audited
    assert rows[0][1] == rows[1][1] and {row[2] for row in rows} == {"cli"}
