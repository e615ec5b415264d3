"""The daemon's mails from the outbox to a maildir: what they say, that each goes once, what becomes of
those that cannot be made or delivered, and of a daemon that ends in between."""

import re
import subprocess

import pytest

import mails
import rotations
from daemon import request, wait_for
from nodes import Cluster

FROM = "mail.from=Example Keys <keys@example.com>"


@pytest.fixture
def cluster(build_directory, tmp_path):
    folder = tmp_path / "mail"
    with Cluster(build_directory, "one", more=[f"mail.url=maildir:{folder}", FROM]) as running:
        running.mail = mails.Maildir(folder)
        yield running


def test_notices_of_a_key_arrive(cluster):
    node = cluster.nodes[0]
    made = node.signup(name="Acme Ltd", key={"title": "Billing"})
    key = made["key"]["id"]
    node.must("POST", f"/v1/keys/{key}/rotate")
    node.must("POST", f"/v1/keys/{key}/regenerate")
    node.must("POST", f"/v1/keys/{key}/revoke")
    mails.all_sent(cluster)
    arrived = cluster.mail.mails()
    by_subject = {mail["Subject"]: mail for mail in arrived}
    for part in ("Your new Example Keys API key", "regenerated", "revoked"):
        mail = next(mail for subject, mail in by_subject.items() if part in subject)
        assert mail["From"] == "Example Keys <keys@example.com>" and "someone@example.com" in mail["To"]
        text = mails.text_of(mail)
        assert key in text and "Billing" in text and made["customer"]["external_id"] in text
    for mail in arrived:
        assert re.fullmatch(r"<ntf_[0-9a-z]{13}@example\.com>", mail["Message-ID"])
    assert len({mail["Message-ID"] for mail in arrived}) == len(arrived)
    shown = node.must("GET", f"/v1/notifications?key_id={key}")["data"]
    assert {row["state"] for row in shown} == {"sent"}
    # Nothing of what was sent stays.
    assert cluster.database.value("SELECT COUNT(*) FROM outbox WHERE context IS NOT NULL OR"
                                  " recipient_sealed IS NOT NULL OR body IS NOT NULL") == "0"


def test_a_rotation_by_itself_and_its_link(cluster):
    node = cluster.nodes[0]
    key, old = rotations.signup(node)
    rotations.make_due(cluster, key)
    wait_for(lambda: any(
        mail["kind"] == "rotation_upcoming" and mail["state"] == "sent"
        for mail in node.must("GET", f"/v1/notifications?key_id={key}")["data"]), "the notice")
    rotations.make_due(cluster, key)  # the notice was accepted by the mailer: the rotation is next
    def link():
        texts = [mails.text_of(mail) for mail in cluster.mail.mails()]
        return next((text for text in texts if "/claim#" in text), None)
    token = mails.token_of(wait_for(link, "the link"))
    answer = request(node.api, "POST", "/v1/claims/reveal", {"token": token})
    assert answer.status == 200, answer
    for secret in (old, answer.json["secret"]):
        assert node.must("POST", "/v1/verify", {"key": secret})["valid"]
    # The log says nothing of the link.
    assert token not in node.log() and "km_claim_" not in node.log()


def test_a_mail_that_cannot_be_made_is_given_up_with_an_alert(cluster):
    node = cluster.nodes[0]
    made = node.signup()
    mails.all_sent(cluster)
    cluster.database.sql(
        "INSERT INTO outbox (id, kind, subject, generation, recipient, customer_id, state, next_at,"
        " recipient_sealed, context, first_queued_at) SELECT id + 1, 'no_such_kind', id, 1, email_index, id, 'queued', 1,"
        f" email_sealed, '{{}}', 1 FROM customer WHERE external_id = '{made['customer']['external_id']}'")
    alerts = wait_for(lambda: node.must("GET", "/v1/alerts")["data"], "the alert")
    assert [alert["kind"] for alert in alerts] == ["notification_failed"]
    dead = node.must("GET", "/v1/notifications")["data"]
    assert [row["state"] for row in dead if row["kind"] == "no_such_kind"] == ["dead"]


def test_a_killed_daemon_sends_what_waited_and_a_stop_leaves_nothing_behind(cluster):
    node = cluster.nodes[0]
    keys = [node.signup()["key"]["id"] for _ in range(10)]
    mails.all_sent(cluster)
    before = len(cluster.mail.files())
    for key in keys:
        node.must("POST", f"/v1/keys/{key}/revoke")
    node.kill()
    node.start()
    mails.all_sent(cluster)
    arrived = [mail["Message-ID"] for mail in cluster.mail.mails()][before:]
    assert len(set(arrived)) == 10
    assert node.stop() == 0
    assert cluster.database.value("SELECT COUNT(*) FROM outbox WHERE state = 'sending'") == "0"


def test_mail_by_smtp_needs_a_base_url(build_directory):
    done = subprocess.run(
        [build_directory / "keymeterd", "config", "check", "--config", "/dev/null", "--set", "mail.url=smtps://relay.example.com",
         "--set", "mail.from=keys@example.com"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0 and "portal.base_url" in done.stderr
