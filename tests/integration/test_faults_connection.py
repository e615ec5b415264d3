"""Connections between daemon and database break at every point: 503 within max_wait, nothing
acknowledged lost, every 503 given back, the quota neither overrun nor lost, service back in 10 s."""

import contextlib
import subprocess
import time

import pytest

from daemon import free_port, wait_for
from load import Load
from mariadb import Mariadb
from nodes import Cluster
from proxy import ANSWERED, BEFORE, SENT, SILENT, Proxy

BACK_S = 10   # promised
ANSWER_S = 5  # max_wait is 0.25 s; what is beyond is this machine's, never the database's
QUOTA = 2000


@pytest.fixture(scope="module")
def cluster(build_directory):
    """One node, whose connections all go through cluster.proxy."""
    database = Mariadb()
    try:
        database.start()
        with Proxy(database) as proxy:
            with Cluster(build_directory, "one", database=database,
                         sockets={"one": proxy.socket}) as running:
                running.proxy = proxy
                yield running
    finally:
        database.close()


class Loads:
    """Four clients on a key without a quota, four on one whose quota runs out."""

    def __init__(self, cluster):
        self.cluster, node = cluster, cluster.nodes[0]
        self.loads, self.customers, self.verified = {}, {}, 0
        for quota in (None, QUOTA):
            slug = f"quota-{quota}".lower()
            node.tier(slug, monthly_quota=quota)
            made = node.signup(slug)
            self.customers[quota] = made["customer"]["id"]
            self.loads[quota] = Load(node.gateway, secret=made["secret"], clients=4)
            self.loads[quota].secret = made["secret"]

    @contextlib.contextmanager
    def running(self):
        with self.loads[None], self.loads[QUOTA]:
            yield self
            self.wait_back()

    def wait_back(self):
        """Every client of the key without a quota gets a 200 again within the promised time."""
        since = time.monotonic()
        wait_for(lambda: self.loads[None].every_client_accepted_since(since),
                 f"service after the fault: {self.loads[None]}", BACK_S)

    def wait_back_everywhere(self):
        """As wait_back, and a verify with a token and a read of the management API too."""
        until, node = time.monotonic() + BACK_S, self.cluster.nodes[0]
        self.wait_back()
        wait_for(lambda: node.call("GET", "/v1/tiers").status == 200, "the management API",
                 until - time.monotonic())
        wait_for(self.verify, "an accepted verify", until - time.monotonic())

    def verify(self):
        answer = self.cluster.nodes[0].call("POST", "/v1/verify", {"key": self.loads[None].secret})
        valid = answer.status == 200 and answer.json["valid"]
        self.verified += valid
        return valid

    def count(self, status):
        return sum(load.count(status) for load in self.loads.values())

    def assert_exact(self):
        for quota, load in self.loads.items():
            assert load.statuses <= {200, 429 if quota else 200, 503}, load
            assert load.unanswered == 0 and load.slowest_s < ANSWER_S, load
            accepted = load.accepted + (self.verified if quota is None else 0)
            wait_for(lambda: self.cluster.used(self.customers[quota]) <= accepted,
                     f"503s to be given back: {load}")
            assert self.cluster.used(self.customers[quota]) == accepted, load
        self.assert_rest_can_be_used(self.loads[QUOTA])

    def assert_rest_can_be_used(self, load):
        node, accepted = self.cluster.nodes[0], load.accepted
        while (status := node.gate_until(load.secret).status) == 200:
            accepted += 1
        assert (status, accepted) == (429, QUOTA), load


def test_cut_around_the_insert(cluster):
    loads = Loads(cluster)
    with loads.running():
        for number in range(30):
            sprung = cluster.proxy.sprung
            cluster.proxy.trap((BEFORE, SENT, ANSWERED)[number % 3])
            wait_for(lambda: cluster.proxy.sprung > sprung, "an insert to be cut")
            loads.wait_back()
    log = cluster.nodes[0].log()
    assert '"batch_resolved","message":"it was committed"' in log
    assert '"batch_resolved","message":"it was not"' in log
    loads.assert_exact()


def test_an_insert_whose_answer_never_comes(cluster):
    loads = Loads(cluster)
    with loads.running():
        loads.wait_back()
        sprung, refused = cluster.proxy.sprung, loads.count(503)
        cluster.proxy.trap(SILENT)
        wait_for(lambda: cluster.proxy.sprung > sprung and loads.count(503) >= refused + 16, "503s")
    loads.assert_exact()


def test_all_connections_cut_again_and_again(cluster):
    loads = Loads(cluster)
    with loads.running():
        for _ in range(10):
            loads.wait_back()
            cluster.proxy.cut()
    loads.assert_exact()


def test_a_network_that_swallows_everything(cluster):
    """Connections stand, new ones are accepted, nothing comes. Afterwards the old ones stay dead."""
    loads = Loads(cluster)
    with loads.running():
        loads.wait_back()
        refused = loads.count(503)
        cluster.proxy.hold()
        try:
            wait_for(lambda: loads.count(503) >= refused + 32, "503s")
            accepted = loads.count(200)
            wait_for(lambda: loads.count(503) >= refused + 64, "503s")
            assert loads.count(200) == accepted, "accepted without the database"
        finally:
            cluster.proxy.release()
        loads.wait_back_everywhere()
    loads.assert_exact()


@pytest.fixture
def resetting(build_directory, tmp_path):
    """One node that speaks TLS over TCP with the database, the second of its hosts: the first is dead."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem",
                    "-out", tmp_path / "ca.pem"], check=True, capture_output=True)
    database = Mariadb(options=[f"--ssl-key={tmp_path}/key.pem", f"--ssl-cert={tmp_path}/ca.pem"])
    try:
        database.start()
        with Proxy(database, tcp=True) as proxy:
            more = ["database.socket=", f"database.hosts=127.0.0.1:{free_port()},{proxy.address}",
                    f"database.ca_file={tmp_path}/ca.pem"]
            with Cluster(build_directory, "one", database=database, more=more) as running:
                running.proxy = proxy
                yield running
    finally:
        database.close()


def test_connections_over_tcp_reset_again_and_again(resetting):
    loads = Loads(resetting)
    with loads.running():
        for _ in range(10):
            loads.wait_back()
            assert resetting.proxy.connections
            resetting.proxy.cut()
    loads.assert_exact()
