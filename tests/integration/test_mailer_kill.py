"""kill -9 at every statement of the mailer's own transactions, and at every step of a mail to the relay: no
mail is lost, and only what was left `sending` comes twice, under one Message-ID. Another daemon, which sends
no mail, writes what is to be sent, and serves the customers all the while."""

import threading

import pytest

import claims
import mails
import rotations
from daemon import wait_for
from kills import EACH, STATEMENTS_MAX, kill_stopped, started
from mail_certificates import Certificates
from nodes import Cluster
from observer import Observer
from smtp_stand_in import Cut, SmtpStandIn

CLAIM = b"FROM outbox FORCE INDEX (PRIMARY) WHERE id IN"
FINISH = b"SELECT key_id, customer_id, first_queued_at FROM outbox"
KEYS = 3


class MailCluster(Cluster):
    """The first node alone sends mail."""

    def settings(self, name=None):
        every = super().settings(name)
        return every + (self.mail if name == "one" else [])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def cluster_of(relay, certificates):
    mail = ["portal.base_url=https://keys.example.com", "mail.from=keys@example.com", "mail.answer_timeout=5s",
            f"mail.url={relay.url}", f"mail.ca_file={certificates.ca}", "rotation.automatic=no"]
    return type("OneMails", (MailCluster,), {"mail": mail})


def wait_until_sent(cluster):
    """Mails that nothing holds back are due again at once: back-off is not what is looked at."""
    def asked():
        cluster.database.sql("UPDATE outbox SET next_at = 1 WHERE state = 'retry'")
        return cluster.database.value("SELECT COUNT(*) FROM outbox WHERE state <> 'sent'") == "0"
    wait_for(asked, "the mails to go", 60)


def notices(cluster):
    """That many keys whose notice waits in the outbox: (their keys, one's secret)."""
    other, keys = cluster.nodes[1], []
    for _ in range(KEYS):
        key, secret = rotations.signup(other)
        rotations.make_due(cluster, key)
        keys.append(key)
    assert rotations.run(other)["notified"] == KEYS
    return keys, secret


def states(cluster, keys):
    numbers = ", ".join(str(claims.number_of(key)) for key in keys)
    return {mail: state for mail, state in cluster.database.sql(
        f"SELECT id, state FROM outbox WHERE key_id IN ({numbers})")}


def arrivals(relay):
    """{Message-ID: how often}"""
    counts = {}
    for mail in relay.mails:
        name = mails.parse(mail["data"])["Message-ID"]
        counts[name] = counts.get(name, 0) + 1
    return counts


def told(cluster, keys):
    """How many of the rotations know that their notice was accepted."""
    numbers = ", ".join(str(claims.number_of(key)) for key in keys)
    return int(cluster.database.value(f"SELECT COUNT(*) FROM rotation WHERE key_id IN ({numbers}) AND step = 2"
                                      " AND waited_at IS NOT NULL"))


def ended(relay):
    """What a dead daemon had sent before has been read."""
    wait_for(lambda: all(session.over.is_set() for session in list(relay.sessions)), "the sessions to end")


def message_id(mail):
    return f"<{claims.id_of('ntf', int(mail))}@example.com>"


def settle(cluster, node, relay, keys):
    """The daemon is started again: all arrive, each once but for those that were left `sending`."""
    ended(relay)
    left = states(cluster, keys)
    before = arrivals(relay)
    assert told(cluster, keys) == sum(state == "sent" for state in left.values()), left
    node.start()
    wait_until_sent(cluster)
    for mail, state in left.items():
        name = message_id(mail)
        times = arrivals(relay)[name]
        twice = state == "sending" and name in before
        assert times == (2 if twice else 1), (mail, state, times)
    assert told(cluster, keys) == len(keys)


@pytest.mark.parametrize("first", [CLAIM, FINISH], ids=["claim", "finish"])
def test_at_every_statement(first, build_directory, certificates):
    with SmtpStandIn(certificates.good) as relay, started(
            build_directory, first, names=("one", "two"), cluster=cluster_of(relay, certificates)) as (cluster, node, stop):
        stop_at, more, stopped = 1, True, 0
        while more:
            node.kill()
            keys, secret = notices(cluster)
            relay.mails.clear()
            with Observer(cluster.nodes[1], secret):
                stop.arm(stop_at)
                node.start(wait=False)
                more = kill_stopped(node, stop)
                found = set(states(cluster, keys).values())
                if first == CLAIM:  # all or none of them
                    assert found == ({"queued"} if more else {"sending"}), stop_at
                    assert not relay.mails
                else:  # of the first that were written down at once, all or none
                    assert found == {"sending"} if more else "sent" in found, (stop_at, found)
                settle(cluster, node, relay, keys)
            for key in keys:  # they are not to be due again
                cluster.nodes[1].must("POST", f"/v1/keys/{key}/revoke")
            stop_at += 1 if first == CLAIM else EACH  # a claim is short
            stopped += more
            assert stop_at < STATEMENTS_MAX
        assert stopped >= (3 if first == CLAIM else 3 // EACH)  # it was really stopped within


STEPS = ["greeting", "ehlo", "starttls", "ehlo_tls", "mail", "rcpt", "data", "body", "dot", "dot_answered"]


@pytest.mark.parametrize("step", STEPS)
def test_at_every_step_to_the_relay(step, build_directory, certificates):
    with SmtpStandIn(certificates.good) as relay, started(
            build_directory, CLAIM, names=("one", "two"), cluster=cluster_of(relay, certificates)) as (cluster, node, _stop):
        node.kill()
        keys, secret = notices(cluster)
        reached, dead = threading.Event(), threading.Event()

        def at_step(session, usual):
            if step == "dot_answered":  # it had its answer, and may have written it down
                session.say(*usual)
            reached.set()
            dead.wait(30)
            raise Cut
        relay.on(step.removesuffix("_answered"), at_step, times=1, after=100 if step == "body" else 0)
        with Observer(cluster.nodes[1], secret):
            node.start(wait=False)
            assert reached.wait(20), node.log()[-2000:]
            node.kill()
            dead.set()
            ended(relay)
            # What the relay took is at most `sending` or written down; nothing that it has not is `sent`.
            for mail, state in states(cluster, keys).items():
                assert state in ("sending", "sent") and (state != "sent" or message_id(mail) in arrivals(relay))
            settle(cluster, node, relay, keys)
