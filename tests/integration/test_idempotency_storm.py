"""A hundred creates at once under one Idempotency-Key, on two daemons that are killed: one key, one
answer. And what a daemon that died, or was thought dead, leaves behind."""

import hashlib
import http.client
import random
import secrets
import threading

import pytest

from billing_stand_in import BillingStandIn
from commit_proxy import CommitProxy
from daemon import wait_for
from mariadb import Mariadb
from nodes import Cluster
from proxy import ANSWERED, BEFORE

BILLING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CLIENTS = 100
AGAIN = {409, 503}  # in flight, or nobody knows: to be sent again


def digest(answer):
    """The status and the body's digest, for its secret is nothing a failed test may print."""
    return answer.status, hashlib.sha256(answer.body).hexdigest()


def post(node, path, body, key):
    return node.call("POST", path, body, **{"Idempotency-Key": key})


@pytest.fixture(scope="module")
def billing():
    with BillingStandIn(BILLING_SECRET) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def cluster(build_directory, billing, tmp_path_factory):
    """Two nodes, each with a relay of its own to the database."""
    secret = tmp_path_factory.mktemp("payment") / "secret"
    secret.write_text(BILLING_SECRET + "\n")
    secret.chmod(0o600)
    database = Mariadb()
    try:
        database.start()
        with CommitProxy(database) as to_a, CommitProxy(database) as to_b:
            with Cluster(build_directory, "a", "b", database=database,
                         sockets={"a": to_a.socket, "b": to_b.socket},
                         more=["payment.provider=http", f"payment.url={billing.url}",
                               f"payment.secret_file={secret}", "payment.timeout=20s"]) as running:
                running.proxies = {"a": to_a, "b": to_b}
                running.nodes[0].tier("many", max_keys=1000)
                yield running
    finally:
        database.close()


class Storm:
    """Clients that send one create until it is answered, to either node."""

    def __init__(self, cluster, count=CLIENTS):
        made = cluster.nodes[0].signup("many")
        self.cluster, self.customer = cluster, made["customer"]["id"]
        self.first_key = made["key"]["id"]
        self.body = {"customer_id": self.customer, "title": "one of a kind"}
        self.key, self.answers, self.wrong = "storm-" + secrets.token_hex(12), [], []
        self.some = threading.Event()  # somebody has the answer
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True)
                        for i in range(count)]

    def client(self, number):
        while not self.wrong:
            node = self.cluster.nodes[number % 2]
            number += 1
            try:
                answer = post(node, "/v1/keys", self.body, self.key)
            except (OSError, http.client.HTTPException):
                self.some.wait(0.2)  # killed, or not back yet
                continue
            if answer.status == 201:
                self.answers.append(answer)
                self.some.set()
                return
            if answer.status not in AGAIN:
                self.wrong.append(answer)
            self.some.wait(0.5)

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def finish(self):
        for thread in self.threads:
            thread.join(60)
        assert not self.wrong, self.wrong[0]
        assert len(self.answers) == len(self.threads)
        assert len({digest(answer) for answer in self.answers}) == 1
        first = [answer for answer in self.answers if "Idempotent-Replayed" not in answer.headers]
        assert len(first) <= 1
        node = self.cluster.nodes[0]
        keys = node.must("GET", f"/v1/keys?customer_id={self.customer}&limit=200")["data"]
        assert sorted(key["id"] for key in keys) == sorted([self.first_key, self.answers[0].json["id"]])
        assert node.gate_until(self.answers[0].json["secret"]).status == 200
        return first


def test_without_a_fault_one_of_them_makes_it(cluster):
    assert len(Storm(cluster).start().finish()) == 1


@pytest.mark.parametrize("point", [BEFORE, ANSWERED])
def test_killed_at_the_commit(cluster, point):
    for proxy in cluster.proxies.values():
        proxy.stop_commit(point)
    storm = Storm(cluster).start()
    stopped = wait_for(lambda: [node for node in cluster.nodes
                                if cluster.proxies[node.name].stopped.is_set()], "a stopped commit")
    for node in stopped:
        cluster.proxies[node.name].stop_commit(None)
        node.kill()
    for proxy in cluster.proxies.values():
        proxy.stop_commit(None)
    for node in stopped:
        node.start()
    first = storm.finish()
    assert not first or point == BEFORE  # whoever was to have it never heard


def test_killed_at_random_moments(cluster):
    for _ in range(3):
        storm = Storm(cluster, 40).start()
        for node in random.sample(cluster.nodes, 2):
            storm.some.wait(random.uniform(0, 0.15))
            node.kill()
        for node in cluster.nodes:
            node.start(wait=False)
        for node in cluster.nodes:
            wait_for(node.ready, f"{node.name} to be back")
        storm.finish()


# ---- a call at work, seen from outside: the billing system lets it wait ----

class Asking:
    """A sign-up on the first node, whose payment is being asked for."""

    def __init__(self, cluster, billing, status="active"):
        billing.answer(body={"status": status}, kind="slow")
        self.node, self.asks = cluster.nodes[0], len(billing.asks)
        self.body = {"external_id": "asked-" + secrets.token_hex(6), "email": "a@example.com",
                     "tier": "pro", "payment": {"reference": "ref-" + secrets.token_hex(4)}}
        self.key, self.answer = "asking-" + secrets.token_hex(12), None
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()
        wait_for(lambda: len(billing.asks) > self.asks, "the question")

    def ask(self):
        try:
            self.answer = post(self.node, "/v1/signups", self.body, self.key)
        except (OSError, http.client.HTTPException):
            pass

    def again(self, node, **changes):
        return post(node, "/v1/signups", {**self.body, **changes}, self.key)

    def until_answered(self, node):
        """As a client does that is told to come again: a node that has just woken up may still look
        ready, and has yet to see that it was fenced."""
        return wait_for(lambda: (answer := self.again(node)).status not in AGAIN and answer,
                        "an answer that stands")


def test_one_at_work_is_told_on_both_nodes(cluster, billing):
    asking = Asking(cluster, billing)
    for node in cluster.nodes:
        refused = asking.again(node)
        assert (refused.status, refused.json["code"]) == (409, "idempotency_in_flight")
        assert int(refused.headers["Retry-After"]) > 0
        assert asking.again(node, name="other").json["code"] == "idempotency_mismatch"
    billing.release.set()
    asking.thread.join(30)
    assert asking.answer.status == 201, asking.answer
    for node in cluster.nodes:
        replayed = asking.again(node)
        assert digest(replayed) == digest(asking.answer)


def test_a_release_that_got_lost_is_made_up_for(cluster, billing):
    """Else the other node would say for minutes that a call is at work."""
    proxy = cluster.proxies["a"]
    asking = Asking(cluster, billing, "none")
    proxy.lose_release = True
    assert asking.again(cluster.nodes[1]).status == 409
    billing.release.set()
    asking.thread.join(30)
    assert asking.answer.status == 402, asking.answer
    assert proxy.lost == 1
    billing.answer(body={"status": "active"})
    assert asking.until_answered(cluster.nodes[1]).status == 201


def test_what_a_dead_node_reserved_is_taken_over(cluster, billing):
    a, b = cluster.nodes
    asking = Asking(cluster, billing)
    a.kill()
    assert asking.again(b).status == 409  # nobody has seen that it is dead
    billing.answer(body={"status": "active"})
    a.start()  # which fences its former life
    made = asking.until_answered(b)
    assert made.status == 201 and "Idempotent-Replayed" not in made.headers
    assert digest(asking.until_answered(a)) == digest(made)


def test_a_frozen_node_that_wakes_up_does_nothing(cluster, billing):
    """Fenced while its call waited: the other node did it, and its own commit is refused."""
    a, b = cluster.nodes
    asking = Asking(cluster, billing)
    a.freeze()
    try:
        wait_for(lambda: cluster.node_rows("a")[-1][1], "the fence", 40)
        billing.answer(body={"status": "active"})
        made = asking.again(b)
        assert made.status == 201, made
    finally:
        billing.release.set()
        a.thaw()
    asking.thread.join(30)
    assert asking.answer is None or asking.answer.status in AGAIN | {201}
    assert digest(asking.until_answered(a)) == digest(made)
    found = b.must("GET", f"/v1/customers?external_id={asking.body['external_id']}")["data"]
    assert len(found) == 1 and len(b.must("GET", f"/v1/keys?customer_id={found[0]['id']}")["data"]) == 1
