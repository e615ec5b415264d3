"""The texts of mails as an operator meets them: own templates at the start and in `config check`."""

import email
import email.policy
import json
import signal

import pytest

from daemon import request, wait_for
from mariadb import Mariadb
from operator_side import Operator


@pytest.fixture
def operator(build_directory, tmp_path):
    database = Mariadb()
    try:
        operator = Operator(build_directory, tmp_path, database.start())
        assert operator.run("migrate", "up").returncode == 0
        operator.token = operator.run("token", "create", "--scope", "admin").stdout.strip()
        yield operator
    finally:
        database.close()


class Serving:
    """The daemon with these settings, for the time of a `with`."""

    def __init__(self, operator, *settings):
        self.operator, self.settings = operator, settings

    def __enter__(self):
        self.process = self.operator.serve(settings=self.settings)
        self.operator.wait_ready(self.process)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.operator.log()

    def call(self, method, path, body=None):
        return request(self.operator.api, method, path, body,
                       {"Authorization": f"Bearer {self.operator.token}"})

    def alerts(self):
        found = self.call("GET", "/v1/alerts").json["data"]
        return [alert for alert in found if alert["kind"] == "mail_templates"]


def caught(folder):
    return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for path in (folder / "caught" / "new").glob("*")]


def put(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_is_wrong_is_told_by_config_check(operator, tmp_path):
    folder = tmp_path / "mail"
    put(folder, "en/revoked.txt", "Subject: Gone\n\nYour key {{key_title}}.\nBye {{custmer_name}}.\n")
    put(folder, "de/retired.txt", "Subject: {{key_id}}\n\nVorbei.\n")
    setting = f"mail.templates={folder}"
    refused = operator.run("config", "check", settings=[setting])
    assert refused.returncode == 1 and refused.stdout == ""
    assert f'{folder}/en/revoked.txt:4: unknown name "custmer_name"' in refused.stderr
    assert f'{folder}/de/retired.txt:1: unknown name "key_id"' in refused.stderr

    put(folder, "en/revoked.txt", "Subject: Gone\n\nYour key {{key_title}}.\nBye {{customer_name}}.\n")
    put(folder, "de/retired.txt", "Subject: Vorbei\n\nVorbei.\n")
    assert operator.run("config", "check", settings=[setting]).stdout == "ok\n"
    missing = operator.run("config", "check", settings=[f"mail.templates={tmp_path}/absent"])
    assert missing.returncode == 1 and f"{tmp_path}/absent cannot be read" in missing.stderr


def test_a_broken_text_is_an_alert_until_a_start_finds_it_mended(operator, tmp_path):
    folder = tmp_path / "mail"
    put(folder, "en/revoked.txt", "Subject: Gone\n\nBye {{custmer_name}}.\n")
    settings = [f"mail.templates={folder}", "node.name=a"]
    with Serving(operator, *settings) as daemon:
        [alert] = wait_for(daemon.alerts, "the alert")
        assert alert["status"] == "open" and alert["subject"] == "node/a" and alert["times"] == 1
        [fault] = alert["detail"]["faults"]
        assert fault.startswith(f'{folder}/en/revoked.txt:3: unknown name "custmer_name"')
    lines = [json.loads(line) for line in operator.log().splitlines()]
    [line] = [line for line in lines if line["event"] == "mail_template_broken"]
    assert "en/revoked.txt:3" in line["message"] and "built-in" in line["message"]

    with Serving(operator, *settings) as daemon:
        wait_for(lambda: daemon.alerts()[0]["times"] == 2, "the second start's word")
    # Good as far as can be told at the start; too large when it is rendered.
    put(folder, "en/revoked.txt", "Subject: Gone\n\n" + "x" * 200_000 + "\n")
    settings += [f"mail.url=maildir:{tmp_path}/caught", "mail.from=keys@shop.example",
                 "product.name=Müller & Söhne", "product.support=help@shop.example"]
    with Serving(operator, *settings) as daemon:
        wait_for(lambda: daemon.alerts()[0]["status"] == "acknowledged", "the alert to end")
        assert daemon.alerts()[0]["acknowledged_by"] == "system"
        key = daemon.call("POST", "/v1/signups", {"external_id": "acme", "email": "it@acme.example",
                                                  "tier": "free"}).json["key"]["id"]
        assert daemon.call("POST", f"/v1/keys/{key}/revoke").status == 200
        [alert] = wait_for(lambda: [a for a in daemon.alerts() if a["status"] == "open"],
                           "the alert of the text that failed")
        assert alert["subject"] == "mail/revoked" and "too" in alert["detail"]["fault"]
        def revoked():
            return [mail for mail in caught(tmp_path) if "was revoked" in mail["Subject"]]
        [mail] = wait_for(revoked, "the mail by the built-in text")
        assert mail["Subject"] == "Your Müller & Söhne API key was revoked"
        text = mail.get_body(("plain",)).get_content()
        assert "Müller & Söhne | client ID acme" in text and "help@shop.example" in text
        assert mail["Reply-To"] == "help@shop.example"
    assert operator.log().count("mail_template_failed") == 1
