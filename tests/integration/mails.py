"""Mails as a recipient reads them: out of a maildir, a Postfix or a stand-in, decrypted by gpg and openssl."""

import email
import email.policy
import re
import subprocess
import tempfile
from pathlib import Path

import rotations
from daemon import wait_for


def parse(data):
    return email.message_from_bytes(data, policy=email.policy.default)


class Maildir:
    """What `mail.url = maildir:/path` has written."""

    def __init__(self, path):
        self.path = Path(path)

    def files(self):
        """Oldest first."""
        folder = self.path / "new"
        return sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns) if folder.exists() else []

    def mails(self):
        return [parse(path.read_bytes()) for path in self.files()]

    def wait(self, count, seconds=30):
        """That many mails, or more."""
        return wait_for(lambda: (found := self.mails()) and len(found) >= count and found,
                        f"{count} mails", seconds)


def text_of(mail):
    """The plain text of a mail in clear."""
    return mail.get_body(("plain",)).get_content()


def token_of(text):
    """The token of the claim link in a text."""
    return re.search(r"/claim#(km_claim_[0-9A-Za-z]+)", text).group(1)


def secret_of(text, label="km_live"):
    found = re.search(rf"\b{label}_[0-9A-Za-z]{{49}}\b", text)
    return found.group(0) if found else None


def all_sent(cluster, count=None):
    """Nothing waits any more (and so many were sent)."""
    def asked():
        rows = dict(cluster.database.sql("SELECT state, COUNT(*) FROM outbox GROUP BY state"))
        rest = {state: rows[state] for state in rows if state not in ("sent", "dead")}
        return not rest and (count is None or int(rows.get("sent", 0)) == count)
    return wait_for(asked, f"the mails to go: {rotations.mails(cluster)}")


class Gpg:
    """A recipient with an OpenPGP key in a home of its own."""

    def __init__(self, address="it@acme.example", algorithm="default", expire="2y", now=None):
        self.home = tempfile.TemporaryDirectory(prefix="km-gpg-")
        self.address = address
        self.time = ["--faked-system-time", f"{now}!"] if now else []
        self.run("--quick-generate-key", f"Acme IT <{address}>", algorithm, "default", expire)
        self.public = self.run("--armor", "--export-options", "export-minimal", "--export", address).decode()

    def run(self, *words, stdin=None):
        command = ["gpg", "--homedir", self.home.name, "--batch", "--quiet", "--pinentry-mode", "loopback",
                   "--passphrase", "", *self.time, *words]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def read(self, data):
        """The mail within an encrypted one."""
        return parse(self.run("--decrypt", stdin=parse(data).get_payload()[1].get_content()))

    def close(self):
        subprocess.run(["gpgconf", "--homedir", self.home.name, "--kill", "all"], capture_output=True, check=False)
        self.home.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Smime:
    """A recipient with an S/MIME certificate."""

    def __init__(self, address="it@acme.example", days=730, words=()):
        self.home = tempfile.TemporaryDirectory(prefix="km-smime-")
        self.key, self.certificate = (Path(self.home.name) / name for name in ("key.pem", "certificate.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(self.key), "-out",
             str(self.certificate), "-days", str(days), "-subj", "/CN=Acme IT", "-addext",
             f"subjectAltName=email:{address}", "-addext", "keyUsage=critical,keyEncipherment", "-addext",
             "extendedKeyUsage=emailProtection", *words], check=True, capture_output=True, timeout=60)
        self.public = self.certificate.read_text()

    def structure(self, data):
        """What openssl prints of the message that is encrypted."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            done = subprocess.run(["openssl", "cms", "-cmsout", "-print", "-noout", "-in", file.name],
                                  capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def read(self, data):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            done = subprocess.run(["openssl", "cms", "-decrypt", "-in", file.name, "-recip",
                                   str(self.certificate), "-inkey", str(self.key)],
                                  capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return parse(done.stdout)

    def close(self):
        self.home.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
