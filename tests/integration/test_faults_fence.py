"""A daemon that stands still is fenced by the other one, and learns it when it goes on."""

import pytest

from daemon import wait_for
from load import Load
from mariadb import Mariadb
from nodes import Cluster
from proxy import DELAYED, Proxy

QUOTA = 500
BACK_S = 30  # a dead node's unused units come back


@pytest.fixture
def cluster(build_directory):
    """What "stops" sends to the database can be kept on its way by cluster.proxy."""
    database = Mariadb()
    try:
        database.start()
        with Proxy(database) as proxy, Cluster(build_directory, "stays", "stops", database=database,
                                               sockets={"stops": proxy.socket}) as running:
            running.proxy = proxy
            yield running
    finally:
        database.close()


def held(cluster, name, customer):
    """Units of the customer's quota that a node has and that are not counted as used."""
    return int(cluster.database.value(
        "SELECT COALESCE(SUM(l.granted - l.settled), 0) FROM lease l "
        "JOIN node n ON n.id = l.node AND n.incarnation = l.incarnation AND n.fenced = 0 "
        f"JOIN node_name m ON m.id = n.id AND m.name = '{name}' "
        f"JOIN customer c ON c.id = l.subject WHERE l.kind = 1 AND c.external_id = '{customer}'"))


class Calls:
    """Calls one after the other, so that none is under way when a daemon is stopped."""

    def __init__(self, made):
        self.secret, self.answers = made["secret"], []

    def ask(self, node):
        status = node.gate(self.secret).status
        self.answers.append(status)
        return status

    @property
    def accepted(self):
        return self.answers.count(200)


def test_a_stopped_daemon_is_fenced_and_oversells_nothing(cluster):
    stays, stops = cluster.nodes
    stays.tier("tight", monthly_quota=QUOTA)
    calm, busy = stays.signup("tight"), stays.signup("tight")
    calls = Calls(calm)
    while calls.accepted < 100:
        calls.ask(cluster.nodes[len(calls.answers) % 2])
    external_id = calm["customer"]["external_id"]
    assert held(cluster, "stops", external_id) > 50, "nothing that could come back"

    with Load(stays.gateway, stops.gateway, secret=busy["secret"], clients=8,
              until=lambda status: status == 429) as load:
        wait_for(lambda: all(client.count(200) for client in load.clients), "calls on both daemons")
        # It is stopped with calls in an insert, decided and on its way, that only the fence refuses.
        cluster.proxy.trap(DELAYED, after_news=True)
        wait_for(lambda: stays.signup("tight") and cluster.proxy.sprung, "an insert after news")
        stops.freeze()
        try:
            # All but what the stopped one holds; then nobody may say that the quota has ended.
            while calls.ask(stays) == 200:
                pass
            assert calls.answers[-1] == 503 and calls.accepted < QUOTA, calls.answers[-5:]
            wait_for(lambda: cluster.node_rows("stops") == [(1, True)], "the fence", BACK_S)
            wait_for(lambda: calls.ask(stays) == 429, "what the fenced one held to be used", BACK_S)
            wait_for(lambda: any(client.count(429) for client in load.clients), "the other quota's end")
        finally:
            cluster.proxy.let_go()
            stops.thaw()
        assert calls.accepted == QUOTA
        assert 429 not in calls.answers[:-1], "refused while units were left"

        wait_for(lambda: cluster.node_rows("stops") == [(1, True), (2, False)], "joining anew")
        wait_for(lambda: calls.ask(stops) == 429, "the one that was stopped to serve again")
        load.join()
    assert '"fenced"' in stops.log()
    assert calls.accepted == QUOTA == cluster.used(calm["customer"]["id"])
    assert_busy_exact(cluster, load, busy)


def assert_busy_exact(cluster, load, busy):
    """Calls that were under way at the stop may be charged without a 200, never the other way."""
    assert load.statuses <= {200, 429, 503} and load.unanswered == 0, load
    rest = Calls(busy)
    def used_up():
        over = all(rest.ask(node) == 429 for node in cluster.nodes)
        return over and cluster.used(busy["customer"]["id"]) >= QUOTA
    wait_for(used_up, "every unit to be used")
    accepted = load.accepted + rest.accepted
    assert cluster.used(busy["customer"]["id"]) == QUOTA
    assert accepted <= QUOTA <= accepted + load.count(503), (accepted, load)
