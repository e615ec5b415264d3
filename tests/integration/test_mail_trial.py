"""`keymeter mail preview` and `keymeter mail test`, and the calls behind them."""

import json
import os
import subprocess

import pytest

import mails
from mail_certificates import Certificates
from nodes import Cluster
from smtp_stand_in import SmtpStandIn, cut, reply, silent

PRODUCT = ["product.name=Example", "product.documentation_url=https://docs.example.com/start"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def relay(certificates):
    with SmtpStandIn(certificates.good) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(build_directory, certificates, relay, tmp_path_factory):
    templates = tmp_path_factory.mktemp("templates")
    (templates / "de").mkdir()
    (templates / "de" / "rotated.txt").write_text(
        "Subject: Ihr neuer Schl\u00fcssel\n\nSchl\u00fcssel {{key_id}}{{#claim_url}}: {{claim_url}}{{/claim_url}}\n")
    with Cluster(build_directory, "one", more=[
            *PRODUCT, "portal.base_url=https://keys.example.com", "mail.from=Example Keys <keys@example.com>",
            f"mail.url={relay.url}", f"mail.ca_file={certificates.ca}", f"mail.templates={templates}",
            "mail.connect_timeout=2s", "mail.answer_timeout=2s", "mail.timeout=8s"]) as running:
        yield running


@pytest.fixture(autouse=True)
def quiet(relay):
    relay.rules.clear()
    relay.mails.clear()


def run(cluster, build_directory, *words, token=None):
    return subprocess.run([str(build_directory / "keymeter"), *words], capture_output=True, text=True, timeout=60,
                          check=False, env={**os.environ, "KEYMETER_ADDR": f"http://{cluster.nodes[0].api}",
                                            "KEYMETER_TOKEN": token or cluster.token})


def test_previews(cluster, build_directory):
    shown = run(cluster, build_directory, "mail", "preview", "key_issued")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Subject: Your ") and "/claim#" in shown.stdout
    assert "https://docs.example.com/start" in shown.stdout and "Example" in shown.stdout
    html = run(cluster, build_directory, "mail", "preview", "key_issued", "--format", "html", "--with", "secret").stdout
    assert html.lstrip().startswith("<") and "km_live_an-example-that-opens-nothing" in html and "/claim#" not in html
    german = run(cluster, build_directory, "mail", "preview", "rotated", "--language", "de").stdout
    assert german.startswith("Subject: Ihr neuer Schl\u00fcssel\n\nSchl\u00fcssel key_") and "/claim#" in german
    neither = run(cluster, build_directory, "mail", "preview", "rotated", "--language", "de-AT", "--with", "neither").stdout
    assert "Schl\u00fcssel" in neither and "claim" not in neither
    # A mail of one language has no part of another.
    no_html = run(cluster, build_directory, "mail", "preview", "rotated", "--language", "de", "--format", "html")
    assert (no_html.stdout, "no such form" in no_html.stderr) == ("", True)
    answer = json.loads(run(cluster, build_directory, "mail", "preview", "revoked", "--json").stdout)
    assert (answer["kind"], answer["format"], answer["fault"]) == ("revoked", "text", None)
    assert "KIND" in run(cluster, build_directory, "--help").stdout


def test_every_kind_can_be_looked_at(cluster, source_directory):
    for path in (source_directory / "templates" / "mail" / "en").glob("[a-z]*.txt"):
        for form in ("text", "html"):
            for shape in ("claim", "secret", "neither", "shortest"):
                shown = cluster.nodes[0].must("GET", f"/v1/mail/previews/{path.stem}?format={form}&with={shape}")
                assert shown["subject"] and shown["content"] and not shown["fault"]


def test_what_is_refused(cluster, build_directory):
    node = cluster.nodes[0]
    assert node.call("GET", "/v1/mail/previews/no_such").status == 404
    for query in ("format=pdf", "with=all", "language=../etc", "surprise=1", "language=" + "x" * 36):
        assert node.call("GET", f"/v1/mail/previews/rotated?{query}").status == 422, query
    reader = node.must("POST", "/v1/tokens", {"name": "r", "scopes": ["read"]})["secret"]
    assert node.call("GET", "/v1/mail/previews/rotated", token=reader).status == 200
    assert node.call("POST", "/v1/mail/test", {"to": "a@example.com"}, token=reader).status == 403
    for to in ("a@b\r\nBcc: x@y", "nobody", "ä@example.com", None):
        assert node.call("POST", "/v1/mail/test", {"to": to}).status == 422, to
    missing = run(cluster, build_directory, "mail", "preview")
    assert missing.returncode == 1 and "KIND" in missing.stderr


def test_a_test_mail_arrives(cluster, build_directory, relay):
    done = run(cluster, build_directory, "mail", "test", "--to", "someone@example.com")
    assert done.returncode == 0 and "accepted" in done.stdout and "250" in done.stdout, done.stderr
    [mail] = relay.accepted("someone@example.com")
    parsed = mails.parse(mail["data"])
    assert parsed["Subject"] == "Test mail from Example" and parsed["From"] == "Example Keys <keys@example.com>"
    assert parsed["Message-ID"] and parsed["Date"] and parsed["Auto-Submitted"]
    assert "this one did" in mails.text_of(parsed)
    assert cluster.database.value("SELECT COUNT(*) FROM outbox") == "0"


@pytest.mark.parametrize("step, action, code, told", [
    ("rcpt", reply("550 5.1.1 unknown here"), "mail_not_accepted", "5.1.1 unknown here (550)"),
    ("rcpt", reply("450 4.2.0 later"), "mail_not_accepted", "4.2.0 later (450)"),
    ("greeting", cut, "mail_not_accepted", ""),
    ("dot", silent, "mail_unknown", "not known whether"),
], ids=["550", "450", "cut", "silent"])
def test_what_the_relay_says_is_told(step, action, code, told, cluster, build_directory, relay, certificates):
    # Connections that were kept open would not meet a greeting.
    for session in list(relay.sessions):
        session.close()
    relay.on(step, action)
    answer = cluster.nodes[0].call("POST", "/v1/mail/test", {"to": "someone@example.com"})
    assert (answer.status, answer.json["code"]) == (502, code) and told in answer.json["detail"], answer
    relay.rules.clear()
    relay.on(step, action, times=2)
    done = run(cluster, build_directory, "mail", "test", "--to", "someone@example.com")
    assert done.returncode == 2 and told in done.stderr and "accepted" not in done.stdout, done.stderr


def test_a_slow_relay_is_waited_for(cluster, relay):
    """Longer than the 5 seconds that other calls wait."""
    relay.on("dot", slow_answer, times=1)
    answer = cluster.nodes[0].call("POST", "/v1/mail/test", {"to": "someone@example.com"})
    assert answer.status == 200, answer


def slow_answer(session, usual):
    session.relay.closing.wait(6)
    session.say(*usual)


def test_a_language_of_the_customers_own(cluster, relay):
    node = cluster.nodes[0]
    made = node.signup("free", email="german@example.com", language="de-AT")
    assert made["customer"]["language"] == "de-AT"
    node.must("POST", f"/v1/keys/{made['key']['id']}/rotate", {"deliver": "email"})
    other = node.must("PATCH", f"/v1/customers/{node.signup('free', email='english@example.com')['customer']['id']}",
                      {"language": None})
    assert other["language"] is None
    mails.all_sent(cluster)
    subjects = [mails.parse(mail["data"])["Subject"] for mail in relay.accepted("german@example.com")]
    assert "Ihr neuer Schl\u00fcssel" in subjects and len(subjects) == 2, subjects
    assert "Ihr" not in str([mails.parse(mail["data"])["Subject"] for mail in relay.accepted("english@example.com")])
    for wrong in ("de_AT", "x" * 36, "", 5):
        assert node.call("PATCH", f"/v1/customers/{other['id']}", {"language": wrong}).status == 422, wrong


def test_without_mail(build_directory):
    with Cluster(build_directory, "one") as running:
        node = running.nodes[0]
        refused = node.call("POST", "/v1/mail/test", {"to": "a@example.com"})
        assert (refused.status, refused.json["code"]) == (409, "mail_off")
        assert node.must("GET", "/v1/mail/previews/rotated")["content"]
