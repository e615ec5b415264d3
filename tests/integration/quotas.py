"""What a quota must hold over several daemons: for tests/integration/test_faults_quota.py, and many
times over for tests/fault/quota."""

import threading

from daemon import wait_for
from load import Load


def made_with_quota(cluster, quota):
    """A customer of its own; its key and its id."""
    slug = f"quota-{quota}"
    cluster.nodes[0].tier(slug, monthly_quota=quota)
    made = cluster.nodes[0].signup(slug)
    return made["secret"], made["customer"]["id"]


def gateways(cluster):
    return [node.gateway for node in cluster.nodes]


def drain(cluster, secret, customer, quota, load):
    """Calls that were answered 503 may hold units until their outcome is known: what comes back is
    used up too, and then every node refuses. The number accepted in all."""
    accepted = load.accepted
    def used_up():
        nonlocal accepted
        for node in cluster.nodes:
            while (status := node.gate(secret).status) == 200:
                accepted += 1
            if status != 429:
                return False
        return cluster.used(customer) == quota and accepted >= quota
    try:
        wait_for(used_up, "every unit to be used")
    except AssertionError as error:
        raise AssertionError(f"{accepted} accepted of {quota}, used {cluster.used(customer)}") from error
    return accepted


def accept_exactly(cluster, quota):
    """Every unit is accepted once, then all is refused, at every node."""
    secret, customer = made_with_quota(cluster, quota)
    with Load(*gateways(cluster), secret=secret, clients=24,
              until=lambda status: status == 429) as load:
        load.join()
    assert load.statuses <= {200, 429, 503}, load
    assert load.unanswered == 0
    assert drain(cluster, secret, customer, quota, load) == quota
    assert [node.gate_until(secret).status for node in cluster.nodes] == [429] * len(cluster.nodes)
    assert cluster.used(customer) == quota


def accept_one_large(cluster):
    """1,500 are left, calls of 1,000 come from everywhere, small ones run beside: exactly one fits."""
    secret, customer = made_with_quota(cluster, 1500)
    small = threading.Semaphore(300)  # so many small calls leave room for exactly one large one
    won = threading.Event()
    def enough(status):
        return status == 200 and not small.acquire(blocking=False)
    def over(status):
        if status == 200:
            won.set()
        return status == 200 or (status == 429 and won.is_set())
    with Load(*gateways(cluster), secret=secret, clients=6, until=enough) as beside, \
         Load(*gateways(cluster), secret=secret, clients=6, cost=1000, until=over) as large:
        large.join()
        beside.join()
    assert large.accepted == 1 and large.statuses <= {200, 429, 503}, large
    assert beside.statuses <= {200, 503}, beside
    assert 300 < beside.accepted <= 306
    wait_for(lambda: cluster.used(customer) == 1000 + beside.accepted, "503s to be given back")
