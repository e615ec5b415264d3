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


def test_a_token_that_could_not_be_printed_is_an_error(cluster):
    done = subprocess.run([cluster.program, "token", "create", "--scope", "read", "--config", "/dev/null",
                           *settings(cluster)], stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                          preexec_fn=without(1))
    assert done.returncode == 1, done.stderr
