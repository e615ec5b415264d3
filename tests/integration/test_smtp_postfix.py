"""The SMTP transport and a real Postfix: what it takes arrives as it was given, what it refuses is told,
and it may be restarted in between."""

import pytest

from daemon import wait_for
from mail_certificates import Certificates
from mail_driver import SENDER, MailDriver
from postfix import Postfix, missing

HEAD = (b"From: Keys <keys@example.com>\r\nTo: a@example.com\r\nSubject: Notice\r\nAuto-Submitted: auto-generated\r\n"
        b"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%d@example.com>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
BODIES = [
    b"Hello.\r\n", b".\r\n..\r\n...x\r\n\r\n.\r\n", b"a\r\n.\r\nQUIT\r\n", b"x" * 998 + b"\r\n" + b"." * 998 + b"\r\n",
    "Grüße \u2713\r\n".encode(), b"From the beginning\r\nFrom here\r\n", b"\r\n\r\n \r\n\t\r\n", b".." * 40000 + b"\r\n",
]
BODIES[-1] = b"\r\n".join(BODIES[-1][at:at + 900] for at in range(0, 80000, 900)) + b"\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def postfix(certificates):
    why = missing()
    if why:
        pytest.skip(f"NOT RUN: postfix: {why}")
    postfix = Postfix(certificates.good)
    try:
        yield postfix.start()
    finally:
        postfix.close()


def urls(postfix):
    return {"starttls": f"smtp://localhost:{postfix.smtp}", "smtps": f"smtps://localhost:{postfix.smtps}"}


@pytest.fixture
def driver(build_directory, postfix, certificates):
    with MailDriver(build_directory, url=urls(postfix)["starttls"], ca_file=certificates.ca) as driver:
        yield driver


@pytest.mark.parametrize("way", ["starttls", "smtps"])
def test_messages_arrive_as_they_are(way, postfix, build_directory, certificates):
    before = len(postfix.mails())
    messages = [HEAD % number + body for number, body in enumerate(BODIES)]
    with MailDriver(build_directory, url=urls(postfix)[way], ca_file=certificates.ca) as driver:
        for message in messages:
            result, code, why = driver.send(message=message)
            assert (result, code) == ("accepted", 250), why
    delivered = postfix.wait_for_mails(before + len(messages))
    for message in messages:
        wanted = message.replace(b"\r\n", b"\n")
        assert [mail for mail in delivered if mail.endswith(b"\n" + wanted)], message[-200:]
    assert f"from=<{SENDER}>" in postfix.log()
    assert "TLS connection established" in postfix.log()


def test_a_postfix_of_another_ca_hears_nothing_of_the_mail(postfix, build_directory, certificates):
    for url in urls(postfix).values():
        with MailDriver(build_directory, url=url, ca_file=certificates.other_ca) as driver:
            result, _, why = driver.send(to="unheard@example.com")
            assert result == "temporary" and "certificate" in why
    assert "unheard" not in postfix.log()


def test_what_postfix_refuses(driver):
    result, code, why = driver.send(to="later@example.com")
    assert (result, code) == ("temporary", 450) and "greylisted" in why
    result, code, why = driver.send(to="nobody@example.com")
    assert (result, code) == ("permanent", 550) and "user unknown" in why
    assert driver.send(to="a@elsewhere.example")[:2] == ("permanent", 554)
    assert driver.send()[0] == "accepted"


@pytest.mark.parametrize("auth", ["plain", "login"])
@pytest.mark.parametrize("password", ["correct horse battery", "p\u00e4ss\\w\u00f6rd=\"':;#%&@ ", "x" * 200],
                         ids=["words", "odd", "long"])
def test_the_login(auth, password, postfix, build_directory, certificates, tmp_path):
    """Judged by Cyrus SASL behind Postfix: the right password opens, a wrong one is a login's failure."""
    file = tmp_path / "password"
    postfix.add_user("keys@example.com", password)
    file.touch(0o600)
    for given, result in [(password, "accepted"), (password[:-1], "temporary"), (password, "accepted")]:
        file.write_text(given + "\n")
        with MailDriver(build_directory, url=f"smtp://localhost:{postfix.login}", ca_file=certificates.ca, auth=auth,
                        username="keys@example.com", password_file=file) as driver:
            told, code, why = driver.send()
            assert told == result and (code, "login" in why) == ((250, False) if told == "accepted" else (535, True))
    assert f"sasl_method={auth.upper()}, sasl_username=keys@example.com" in postfix.log()
    with MailDriver(build_directory, url=f"smtp://localhost:{postfix.login}", ca_file=certificates.ca) as driver:
        assert driver.send()[:2] == ("permanent", 554)  # without one


def test_many_mails_share_few_connections(postfix, build_directory, certificates, tmp_path):
    message = tmp_path / "message"
    message.write_bytes(HEAD % 4711 + BODIES[0])
    before = postfix.log().count(": connect from")
    with MailDriver(build_directory, url=urls(postfix)["starttls"], ca_file=certificates.ca,
                    connections=4) as driver:
        driver.tell(f"flood 300 {SENDER} discard@example.com {message}")
        wait_for(lambda: driver.flood_result, "the flood", 120)
        assert driver.flood_result["accepted"] == 300
    assert postfix.log().count(": connect from") - before <= 7  # a hundred each, and one for a busy end


def test_postfix_is_restarted(driver, postfix):
    assert driver.send()[0] == "accepted"
    postfix.stop()
    result, _, why = driver.send()
    assert result == "temporary", why
    postfix.start()
    assert driver.send()[0] == "accepted"
