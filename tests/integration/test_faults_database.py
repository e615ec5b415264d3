"""The database is stopped, stands still, has a full disk, or one that does not sync: 503 within
max_wait, no acknowledged call lost, and back in service when it is well again. The bad disk is
tests/fault/bad_disk.c, preloaded."""

import contextlib
import time

import pytest

from daemon import wait_for
from load import Load
from mariadb import Mariadb
from nodes import Cluster

BACK_S = 10      # promised
ANSWER_S = 5     # max_wait is 0.25 s; what is beyond is this machine's, never the database's


class Disk:
    def __init__(self, build):
        library = build / "libbad_disk.so"
        assert library.exists(), f"{library} is missing: build first"
        self.database = Mariadb()
        self.folder = self.database.directory
        self.database.environment = {"LD_PRELOAD": str(library), "BAD_DISK": str(self.folder)}

    @contextlib.contextmanager
    def being(self, what):
        (self.folder / what).touch()
        try:
            yield
        finally:
            (self.folder / what).unlink()


@pytest.fixture
def disk(build_directory):
    return Disk(build_directory)


@pytest.fixture
def cluster(build_directory, disk):
    with Cluster(build_directory, "one", database=disk.database) as running:
        yield running


def endless(cluster):
    node = cluster.nodes[0]
    node.tier("endless", monthly_quota=None, max_keys=100000)
    made = node.signup("endless")
    return made["secret"], made["customer"]["id"]


def wait_back(load, since):
    """Every client gets a 200 again within the promised time."""
    wait_for(lambda: load.every_client_accepted_since(since), f"service after the fault: {load}",
             BACK_S)


def assert_counted(cluster, customer, load):
    """All that was acknowledged counts, and in the end nothing else: a 503 is given back."""
    assert load.statuses <= {200, 503} and load.unanswered == 0, load
    assert load.slowest_s < ANSWER_S, load
    wait_for(lambda: cluster.used(customer) <= load.accepted, f"503s to be given back: {load}")
    assert cluster.used(customer) == load.accepted


def not_made(cluster, customer):
    """The answer to a key that had no room; those that had some fill it up."""
    answer = cluster.nodes[0].call("POST", "/v1/keys", {"customer_id": customer, "title": "x" * 100,
                                                        "metadata": {"filler": "y" * 400}})
    return answer if answer.status != 201 else None


def test_a_full_disk(cluster, disk):
    secret, customer = endless(cluster)
    with Load(cluster.nodes[0].gateway, secret=secret) as load:
        wait_back(load, 0)
        with disk.being("full"):
            wait_for(lambda: load.count(503) >= 32, "503s on a full disk")
            refused = wait_for(lambda: not_made(cluster, customer), "a change to be refused")
        wait_back(load, time.monotonic())
    assert (refused.status, refused.json["code"]) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert '"database_unable"' in cluster.nodes[0].log() and "is full" in cluster.nodes[0].log()
    assert "is full" in cluster.database.tail(), cluster.database.tail()
    assert cluster.nodes[0].log().count('"batch_failed"') < 30, "each attempt is logged"
    assert_counted(cluster, customer, load)


def test_a_sync_that_stalls_again_and_again(cluster, disk):
    secret, customer = endless(cluster)
    with Load(cluster.nodes[0].gateway, secret=secret) as load:
        for _ in range(5):
            wait_back(load, time.monotonic())
            refused = load.count(503)
            with disk.being("stalled"):
                wait_for(lambda: load.count(503) >= refused + 16, "503s on a stalled disk")
        wait_back(load, time.monotonic())
    assert_counted(cluster, customer, load)


def test_a_sync_that_stalls_beyond_every_timeout(cluster, disk):
    """The daemon gives the connection up and has to learn what became of its batch."""
    node = cluster.nodes[0]
    secret, customer = endless(cluster)
    with Load(node.gateway, secret=secret) as load:
        wait_back(load, 0)
        with disk.being("stalled"):
            wait_for(lambda: "batch_uncertain" in node.log(), "the connection to be given up")
            accepted = load.accepted
            refused = load.count(503)
            wait_for(lambda: load.count(503) >= refused + 16, "503s on a stalled disk")
            assert load.accepted == accepted, "a call was accepted that was not durable"
        wait_back(load, time.monotonic())
    assert "batch_resolved" in node.log()
    assert_counted(cluster, customer, load)


def test_a_database_that_is_stopped_and_started(cluster):
    secret, customer = endless(cluster)
    with Load(cluster.nodes[0].gateway, secret=secret) as load:
        wait_back(load, 0)
        cluster.database.stop()
        accepted, refused = load.accepted, load.count(503)
        wait_for(lambda: load.count(503) >= refused + 16, "503s without a database")
        assert load.accepted <= accepted + len(load.clients), "accepted without a database"
        cluster.database.start()
        wait_back(load, time.monotonic())
    assert_counted(cluster, customer, load)


def test_a_database_that_stands_still(cluster):
    """Once for a moment, once for so many calls that the daemon gives its connections up."""
    secret, customer = endless(cluster)
    with Load(cluster.nodes[0].gateway, secret=secret) as load:
        for calls in (16, 150):
            wait_back(load, time.monotonic())
            cluster.database.freeze()
            try:
                refused = load.count(503)
                wait_for(lambda at=refused + calls: load.count(503) >= at, "503s without a database")
            finally:
                cluster.database.thaw()
        wait_back(load, time.monotonic())
    assert_counted(cluster, customer, load)
