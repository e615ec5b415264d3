"""The daemon's mails through relays: a real Postfix over TLS, where gpg and openssl read what came; and a
relay that cuts, refuses, drips and shows bad certificates, behind which each mail is accepted once."""

import re
import secrets as random

import pytest

import mails
import postfix
from daemon import wait_for
from faked_clock import DAY, HOUR, FakedClock
from mail_certificates import Certificates
from nodes import Cluster
from smtp_stand_in import SmtpStandIn, cut, dripping, reply

MAIL = ["portal.base_url=https://keys.example.com", "mail.from=Example Keys <keys@example.com>"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def address():
    return f"{random.token_hex(6)}@example.com"


@pytest.mark.skipif(postfix.missing() is not None, reason=f"NOT RUN: postfix: {postfix.missing()}")
def test_secrets_through_a_real_postfix(build_directory, certificates):
    relay = postfix.Postfix(certificates.good).start()
    more = [*MAIL, f"mail.url=smtps://localhost:{relay.smtps}", f"mail.ca_file={certificates.ca}"]
    try:
        with Cluster(build_directory, "one", "two", more=more) as cluster, mails.Gpg() as gpg, mails.Smime() as smime:
            readers = {address(): ("openpgp_key", gpg), address(): ("smime_certificate", smime)}
            for at, (to, (field, reader)) in enumerate(readers.items()):
                cluster.nodes[at].signup("free", email=to, deliver="email", **{field: reader.public})
            raw = relay.wait_for_mails(2)
            for to, (_, reader) in readers.items():
                mail = next(data for data in raw if to.encode() in data)
                secret = mails.secret_of(mails.text_of(reader.read(mail)))
                assert secret and secret.encode() not in b"".join(raw)
                for node in cluster.nodes:
                    assert node.must("POST", "/v1/verify", {"key": secret})["valid"]
            # Plain notices of many customers, by two daemons: each once.
            for at in range(20):
                cluster.nodes[at % 2].signup("free", email=address())
            mails.all_sent(cluster, 22)
            ids = re.findall(rb"^Message-ID: (<ntf_\S+>)", b"".join(relay.wait_for_mails(22)), re.M | re.I)
            assert len(ids) == len(set(ids)) == 22
            refused = cluster.nodes[0].signup("free", email="nobody@example.com")["customer"]["id"]
            later = cluster.nodes[0].signup("free", email="later@example.com")["customer"]["id"]
            def states(customer):
                return [row["state"] for row in cluster.nodes[0].must(
                    "GET", f"/v1/notifications?customer_id={customer}")["data"]]
            wait_for(lambda: states(refused) == ["dead"] and states(later) == ["retry"], "the relay's answers")
            assert [alert["kind"] for alert in cluster.nodes[0].must("GET", "/v1/alerts")["data"]] == [
                "notification_failed"]
    finally:
        relay.close()


def cluster_with(build_directory, relay, certificates, *names, **more):
    settings = [*MAIL, f"mail.url={relay.url}", f"mail.ca_file={more.pop('ca_file', certificates.ca)}",
                f"mail.connect_timeout={more.pop('connect_timeout', '2s')}",
                f"mail.answer_timeout={more.pop('answer_timeout', '2s')}",
                f"mail.timeout={more.pop('timeout', '4s')}", "node.trust_clock=yes"]
    return Cluster(build_directory, *(names or ("one",)), more=settings, **more)


def state(cluster, customer):
    rows = cluster.nodes[0].must("GET", f"/v1/notifications?customer_id={customer}")["data"]
    return [row["state"] for row in rows]


def test_a_relay_that_fails_at_each_step_has_each_mail_in_the_end(build_directory, certificates):
    clock = FakedClock(build_directory / "keymeterd")
    cuts = {"mail": cut, "rcpt": reply("450 4.2.0 later"), "data": cut, "dot": cut}
    with SmtpStandIn(certificates.good) as relay, cluster_with(
            build_directory, relay, certificates, environment=clock.environment) as cluster:
        node = cluster.nodes[0]
        recipients = {step: address() for step in [*cuts, "body"]}
        for step, action in cuts.items():
            relay.on(step, action, to=recipients[step], times=1)
        relay.on("body", cut, to=recipients["body"], times=1, after=200)
        gone = address()
        relay.on("rcpt", reply("550 5.1.1 unknown"), to=gone)
        made = {to: node.signup("free", email=to)["customer"]["id"] for to in [*recipients.values(), gone]}
        wait_for(lambda: state(cluster, made[gone]) == ["dead"], "the refusal")
        for step, to in recipients.items():
            def sent(to=to):
                clock.move(int(HOUR / 2))
                return state(cluster, made[to]) == ["sent"]
            wait_for(sent, f"the mail that was cut at {step}")
            bodies = relay.accepted(to)
            ids = {mails.parse(body["data"])["Message-ID"] for body in bodies}
            # Only the one whose whole message had been handed over may have come twice, under one id.
            assert len(ids) == 1 and len(bodies) <= (2 if step == "dot" else 1), (step, len(bodies))
        alerts = node.must("GET", "/v1/alerts")["data"]
        assert [alert["kind"] for alert in alerts] == ["notification_failed"]
    clock.close()


@pytest.mark.parametrize("wrong", ["no_tls", "name", "expired"])
def test_a_relay_that_cannot_be_trusted_gets_nothing(build_directory, certificates, wrong):
    certificate = {"no_tls": certificates.good, "name": certificates.wrong_name, "expired": certificates.expired}[wrong]
    with SmtpStandIn(certificate, starttls=wrong != "no_tls") as relay, cluster_with(
            build_directory, relay, certificates) as cluster:
        node, to = cluster.nodes[0], address()
        customer = node.signup("free", email=to, deliver="email")["customer"]["id"]
        wait_for(lambda: state(cluster, customer) == ["retry"], "the failure")
        assert to.encode() not in relay.clear and b"/claim#" not in relay.clear
        assert not relay.accepted(to) and "km_claim_" not in node.log() and to not in node.log()


@pytest.mark.parametrize("step", ["greeting", "rcpt", "dot"])
def test_a_relay_that_drips_holds_up_one_mail_alone(step, build_directory, certificates):
    """A byte a second: one connection is busy with it for minutes, mails and calls go on."""
    with SmtpStandIn(certificates.good) as relay, cluster_with(
            build_directory, relay, certificates, "one", connect_timeout="60s", answer_timeout="60s",
            timeout="120s") as cluster:
        node, slow = cluster.nodes[0], address()
        relay.on(step, dripping("250 2.0.0 " + "slowly " * 20), to=None if step == "greeting" else slow, times=1)
        stuck = node.signup("free", email=slow)["customer"]["id"]
        wait_for(lambda: state(cluster, stuck) == ["sending"], "the slow mail to be under way")
        others = [node.signup("free", email=address()) for _ in range(20)]
        wait_for(lambda: all(state(cluster, made["customer"]["id"]) == ["sent"] for made in others), "the others", 20)
        if step == "greeting":  # a mail takes whichever connection is ready first, so that one goes too
            wait_for(lambda: state(cluster, stuck) == ["sent"], "the mail that waited for the greeting", 20)
            assert not relay.sessions[0].over.is_set() and not relay.sessions[0].commands  # it still drips
        else:
            assert state(cluster, stuck) == ["sending"]
        assert node.must("POST", "/v1/verify", {"key": others[0]["secret"]})["valid"]
        relay.closing.set()  # the rest of the answer comes at once


def test_a_relay_that_is_down_for_a_day(build_directory, certificates):
    clock = FakedClock(build_directory / "keymeterd")
    with SmtpStandIn(certificates.good) as relay, cluster_with(
            build_directory, relay, certificates, environment=clock.environment) as cluster:
        relay.on("greeting", cut)
        node, to = cluster.nodes[0], address()
        made = node.signup("free", email=to, deliver="email")
        wait_for(lambda: state(cluster, made["customer"]["id"]) == ["retry"], "the failure")
        clock.move(DAY)
        relay.rules.clear()
        wait_for(lambda: set(state(cluster, made["customer"]["id"])) == {"sent"}, "the mail", 60)
        # The link itself, and the reminder that is due a day later.
        subjects = [mails.parse(mail["data"])["Subject"] for mail in relay.accepted(to)]
        assert len(set(subjects)) == len(subjects) and "Your Example Keys API key" in subjects, subjects
    clock.close()


def test_a_killed_daemon_and_two_at_once_send_each_mail(build_directory, certificates):
    """kill -9 while mails are under way: none is lost, and twice comes only what was under way."""
    with SmtpStandIn(certificates.good) as relay, cluster_with(
            build_directory, relay, certificates, "one", "two") as cluster:
        victim, other = cluster.nodes
        people = [address() for _ in range(40)]
        for at, to in enumerate(people):
            cluster.nodes[at % 2].signup("free", email=to)
            if at % 10 == 9:
                victim.kill()
                victim.start()
        mails.all_sent(cluster, 40)
        assert other.must("GET", "/v1/alerts")["data"] == []
        for to in people:
            bodies = relay.accepted(to)
            ids = {mails.parse(body["data"])["Message-ID"] for body in bodies}
            assert len(ids) == 1 and len(bodies) <= 2, (to, len(bodies))
