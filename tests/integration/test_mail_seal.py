"""Encrypted mail as its readers have it: keys made by gpg and openssl, mails composed by the daemon's own
code (mail_tool), opened by gpg, openssl and Python's parser. A canary is in no part in clear, a changed
byte is noticed, and keys that cannot be used are refused for their own reason."""

import base64
import email
import email.header
import email.policy
import email.utils
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

CANARY = "km_live_canary7canary8canary9canaryAcanaryBcanaryC"
TEXT = f"Hello J\u00fcrgen,\n\nyour new key: {CANARY}\n.\nFrom now on it is this one. \U0001f511\n"
HTML = f"<p>Your new key: <code>{CANARY}</code> \u2013 {'x' * 3000}</p>\n"
DAY = 86400


def run(*words, stdin=b"", good=True, environment=None):
    done = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, timeout=60,
                          env={**os.environ, **(environment or {})}, check=False)
    assert not good or done.returncode == 0, (words, done.stderr.decode(errors="replace")[-2000:])
    return done


class Gpg:
    """A keyring of its own, in a short path because of its agent's socket."""

    def __init__(self):
        self.home = Path(tempfile.mkdtemp(prefix="km-gpg-", dir="/tmp"))

    def __call__(self, *words, stdin=b"", good=True):
        return run("gpg", "--batch", "--homedir", self.home, "--passphrase", "",
                   "--pinentry-mode", "loopback", *words, stdin=stdin, good=good)

    def fingerprint(self, who, at=0):
        """Of the primary key, or its first subkey."""
        listed = self("--with-colons", "--list-keys", who).stdout.decode()
        return re.findall(r"^fpr:+([0-9A-F]{40}):", listed, re.M)[at]

    def make(self, name, primary, sub=None, expire="never", when=None):
        who, past = f"{name}@example.com", ["--faked-system-time", f"{when}!"] if when else []
        self(*past, "--quick-generate-key", f"{name} J\u00fcrgen <{who}>", primary, "sign", expire)
        if sub:
            self(*past, "--quick-add-key", self.fingerprint(who), sub, "encr", expire)
        return self.export(who)

    def export(self, who):
        return self("--armor", "--export", who).stdout

    def close(self):
        run("gpgconf", "--homedir", self.home, "--kill", "all", good=False)
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture(scope="module")
def gpg():
    ring = Gpg()
    try:
        yield ring
    finally:
        ring.close()


class Certificate:
    def __init__(self, folder, name, kind, *extensions):
        self.key, self.file = folder / f"{name}.key", folder / f"{name}.pem"
        run("openssl", "genpkey", "-out", self.key, *kind)
        run("openssl", "req", "-x509", "-key", self.key, "-out", self.file, "-days", "30", "-config",
            "/dev/null", "-subj", f"/CN={name}",
            *(word for extension in extensions for word in ("-addext", extension)))
        self.pem = self.file.read_bytes()

    def open(self, mail, good=True):
        return run("openssl", "cms", "-decrypt", "-recip", self.file, "-inkey", self.key,
                   stdin=mail, good=good)


RSA = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
P384 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")
FOR_RSA = ("keyUsage=critical,keyEncipherment", "extendedKeyUsage=emailProtection",
           "subjectAltName=email:j@example.com")
FOR_EC = ("keyUsage=keyAgreement", "extendedKeyUsage=emailProtection")


@pytest.fixture(scope="module")
def folder():
    path = Path(tempfile.mkdtemp(prefix="km-mail-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Tool:
    def __init__(self, build):
        self.program = build / "mail_tool"

    def check(self, kind, key, now=None):
        done = run(self.program, "check", kind, int(now or time.time()), stdin=key, good=False)
        assert done.stderr == b"" and done.returncode in (0, 1), done
        told = json.loads(done.stdout)
        assert (told["error"] == "ok") == (done.returncode == 0) == (told["fault"] == "good")
        return told

    def fault(self, kind, key, now=None):
        return self.check(kind, key, now)["fault"]

    def compose(self, key=None, form="openpgp", good=True, **changes):
        message = {"from_name": "Acme API", "from": "keys@acme.example", "to_name": "J\u00fcrgen",
                   "to": "j@example.com", "reply_to": "support@acme.example",
                   "subject": "Your new API key \U0001f511", "outer_subject": "About your API key",
                   "message_id": "ntf_1@acme.example", "date": 1800000000,
                   "boundary": "0123456789abcdefghij", "text": TEXT, "html": HTML,
                   "now": int(time.time()), **changes}
        if key:
            message.update(key=key.decode(), form=form)
        done = run(self.program, "compose", stdin=json.dumps(message).encode(), good=good)
        return done.stdout if good else json.loads(done.stdout)


@pytest.fixture(scope="module")
def tool(build_directory):
    return Tool(build_directory)


def parsed(mail):
    """By Python's strict parser: no defects anywhere, lines as RFC 5322 has them."""
    assert mail.endswith(b"\r\n") and mail.isascii()
    lines = mail[:-2].split(b"\r\n")
    assert max(map(len, lines)) <= 998 and not any(b"\r" in line or b"\n" in line for line in lines)
    message = email.message_from_bytes(mail, policy=email.policy.default)
    for part in message.walk():
        assert not part.defects, part.defects
        assert not any(value.defects for value in part.values())
    return message


def content(part):
    return part.get_content().replace("\r\n", "\n")


def holds_no_canary(mail):
    pieces = [mail, *(part.get_payload(decode=True) or b"" for part in parsed(mail).walk())]
    for piece in pieces:
        assert CANARY.encode() not in piece and CANARY[8:20].encode() not in piece
        for skip in range(3):  # base64, wherever the canary begins
            part = CANARY.encode()[skip:]
            assert base64.b64encode(part[:len(part) // 3 * 3])[:12] not in piece


def outer_is_generic(message):
    assert message["Subject"] == "About your API key"
    assert message["From"].addresses[0].addr_spec == "keys@acme.example"
    assert message["To"].addresses[0].display_name == "J\u00fcrgen"
    assert message["Reply-To"].addresses[0].addr_spec == "support@acme.example"
    assert message["Message-ID"] == "<ntf_1@acme.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.timestamp() == 1800000000
    assert message["MIME-Version"] == "1.0"


def inner_is_whole(plain):
    """What the reader decrypts: text, HTML and the headers as they are meant."""
    message = parsed(plain)
    assert message["Subject"] == "Your new API key \U0001f511"
    assert message.get_content_type() == "multipart/alternative"
    assert message["Content-Type"].params["hp"] == "cipher"
    outer = message.get_all("HP-Outer")
    assert "Subject: About your API key" in outer and len(outer) == 7
    text, html = message.iter_parts()
    assert text.get_content_type() == "text/plain" and content(text) == TEXT
    assert html.get_content_type() == "text/html" and content(html) == HTML


# ---- OpenPGP ----

ARMOUR = re.compile(r"-----BEGIN PGP MESSAGE-----\r?\n\r?\n(.*)\n=....\r?\n", re.S)
KINDS = {"rsa2048": ("rsa2048", "rsa2048"), "rsa4096": ("rsa4096", "rsa4096"),
         "curve25519": ("ed25519", "cv25519"), "p256": ("nistp256", "nistp256"),
         "p384": ("nistp384", "nistp384"), "brainpool": ("brainpoolP256r1", "brainpoolP256r1"),
         "elgamal": ("dsa2048", "elg2048")}


@pytest.mark.parametrize("kind", KINDS)
def test_gpg_reads_it(tool, gpg, kind):
    key = gpg.make(kind, *KINDS[kind])
    told = tool.check("openpgp", key)
    assert told["fault"] == "good", told
    assert told["fingerprint"] == gpg.fingerprint(f"{kind}@example.com").lower()
    assert told["addresses"] == [f"{kind}@example.com"] and told["not_after"] == 0
    mails = [tool.compose(key) for _ in range(2)]
    session_keys = set()
    for mail in mails:
        holds_no_canary(mail)
        message = parsed(mail)
        outer_is_generic(message)
        assert message.get_content_type() == "multipart/encrypted"
        assert message["Content-Type"].params["protocol"] == "application/pgp-encrypted"
        version, sealed = message.iter_parts()
        assert version.get_content_type() == "application/pgp-encrypted"
        assert version.get_payload(decode=True).split() == [b"Version:", b"1"]
        assert sealed.get_content_type() == "application/octet-stream"
        opened = gpg("--status-fd", "2", "--show-session-key", "--decrypt",
                     stdin=sealed.get_payload(decode=True))
        status = opened.stderr.decode()
        assert "GOODMDC" in status and re.search(r"DECRYPTION_INFO 2 9( 0)?$", status, re.M), status
        session_keys.add(re.search(r"SESSION_KEY 9:([0-9A-F]{64})", status)[1])
        inner_is_whole(opened.stdout)
    assert len(session_keys) == 2 and "0" * 64 not in session_keys
    inner_is_whole(gpg("--decrypt", stdin=mails[0]).stdout)  # the mail as it was saved


def test_keys_made_as_the_documents_say(tool, gpg, folder, source_directory):
    page = (source_directory / "docs" / "mail-encryption.md").read_text(encoding="utf-8")
    commands = re.sub(r"\\\n *", "", "\n".join(re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)))
    environment = {"GNUPGHOME": str(gpg.home)}
    make, export, request = (next(line for line in commands.split("\n") if line.startswith(start))
                             for start in ("gpg --quick-gen", "gpg --armor", "openssl req"))
    run("sh", "-c", make.replace("gpg", "gpg --batch --passphrase '' --pinentry-mode loopback", 1),
        environment=environment)
    key = run("sh", "-c", export, environment=environment).stdout
    told = tool.check("openpgp", key)
    assert told["fault"] == "good" and told["addresses"] == ["it@acme.example"], told
    run("sh", "-c", f"cd {folder} && {request}")
    told = tool.check("smime", (folder / "certificate.pem").read_bytes())
    assert told["fault"] == "good" and told["addresses"] == ["it@acme.example"], told


def test_gpg_notices_a_changed_byte(tool, gpg):
    key = gpg.make("flipped", "ed25519", "cv25519")
    sealed = list(parsed(tool.compose(key)).iter_parts())[1].get_payload(decode=True)
    raw = base64.b64decode(ARMOUR.search(sealed.decode())[1])
    assert CANARY.encode() in gpg("--decrypt", stdin=raw).stdout
    packets = gpg("--list-packets", stdin=raw).stdout.decode()
    assert ":compressed" not in packets and 'name=""' in packets and "created 0" in packets
    for place in (60, len(raw) // 2, len(raw) - 3):
        changed = bytearray(raw)
        changed[place] ^= 0x04
        assert gpg("--decrypt", stdin=bytes(changed), good=False).returncode != 0


def test_gpg_keys_that_cannot_be_used(tool, gpg):
    assert tool.fault("openpgp", gpg.make("signs", "ed25519")) == "cannot_encrypt"
    assert tool.fault("openpgp", gpg.make("weak", "rsa1024", "rsa1024")) == "weak"
    old = gpg.make("old", "ed25519", "cv25519", "10d", when="20250601T000000")
    assert tool.fault("openpgp", old) == "expired"
    ended = tool.check("openpgp", old, 1748736000 + 9 * DAY)
    assert ended["fault"] == "good" and ended["not_after"] == 1748736000 + 10 * DAY
    assert tool.fault("openpgp", old, 1748736000 - DAY) == "not_yet_valid"
    assert tool.compose(old, good=False)["key"] == "expired"

    lost = gpg.make("lost", "ed25519", "cv25519")
    assert tool.fault("openpgp", lost) == "good"
    revocation = gpg.home / "openpgp-revocs.d" / f"{gpg.fingerprint('lost@example.com')}.rev"
    gpg("--import", stdin=revocation.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))
    assert tool.fault("openpgp", gpg.export("lost@example.com")) == "revoked"

    secret = gpg("--armor", "--export-secret-keys", "signs@example.com").stdout
    assert tool.fault("openpgp", secret) == "secret_key"
    binary = gpg("--export-secret-keys", "signs@example.com").stdout
    assert tool.fault("openpgp", binary) == "secret_key"
    assert tool.fault("openpgp", lost + old) == "several_keys"
    assert tool.fault("openpgp", gpg("--export").stdout) == "several_keys"


def test_a_prolonged_key_is_good_again(tool, gpg):
    key = gpg.make("prolonged", "rsa2048", "rsa2048", "10d", when="20250601T000000")
    assert tool.fault("openpgp", key) == "expired"
    who = gpg.fingerprint("prolonged@example.com")
    gpg("--quick-set-expire", who, "1y")
    assert tool.fault("openpgp", gpg.export(who)) == "expired"  # the subkey still is
    gpg("--quick-set-expire", who, "1y", gpg.fingerprint(who, 1))
    gpg("--quick-add-uid", who, "second <second@example.org>")
    told = tool.check("openpgp", gpg.export(who))
    assert told["fault"] == "good" and abs(told["not_after"] - time.time() - 365 * DAY) < 2 * DAY
    assert sorted(told["addresses"]) == ["prolonged@example.com", "second@example.org"]
    opened = gpg("--decrypt", stdin=list(parsed(tool.compose(gpg.export(who))).iter_parts())[1]
                 .get_payload(decode=True))
    inner_is_whole(opened.stdout)


# ---- S/MIME ----

@pytest.mark.parametrize("kind, extensions", [(RSA, FOR_RSA), (P256, FOR_EC), (P384, FOR_EC), (RSA, ())])
@pytest.mark.parametrize("form, subtype", [("gcm", "authEnveloped-data"), ("cbc", "enveloped-data")])
def test_openssl_reads_it(tool, folder, kind, extensions, form, subtype):
    certificate = Certificate(folder, "good", kind, *extensions)
    told = tool.check("smime", certificate.pem)
    assert told["fault"] == "good", told
    printed = run("openssl", "x509", "-in", certificate.file, "-noout", "-fingerprint", "-sha256")
    assert told["fingerprint"] == printed.stdout.decode().split("=")[1].strip().replace(":", "").lower()
    assert told["addresses"] == (["j@example.com"] if extensions == FOR_RSA else [])
    mail = tool.compose(certificate.pem, form)
    holds_no_canary(mail)
    message = parsed(mail)
    outer_is_generic(message)
    assert message.get_content_type() == "application/pkcs7-mime"
    assert message["Content-Type"].params["smime-type"] == subtype
    inner_is_whole(certificate.open(mail).stdout)
    shown = run("openssl", "cms", "-cmsout", "-print", stdin=mail).stdout.decode()
    assert f"aes-256-{form}" in shown
    assert ("dhSinglePass-stdDH-sha256kdf-scheme" in shown) == (kind != RSA)
    other = Certificate(folder, "other", kind, *extensions)
    assert CANARY.encode() not in other.open(mail, good=False).stdout


@pytest.mark.parametrize("kind, extensions", [(RSA, FOR_RSA), (P256, FOR_EC)])
def test_openssl_notices_a_changed_byte(tool, folder, kind, extensions):
    certificate = Certificate(folder, "flipped", kind, *extensions)
    head, body = tool.compose(certificate.pem, "gcm").split(b"\r\n\r\n", 1)
    raw = base64.b64decode(body)

    def opened(data):
        return certificate.open(head + b"\r\n\r\n" + base64.encodebytes(data), good=False)

    assert opened(raw).returncode == 0
    for place in (len(raw) // 2, len(raw) - 30, len(raw) - 3):
        changed = bytearray(raw)
        changed[place] ^= 0x04
        assert opened(bytes(changed)).returncode != 0


def test_certificates_that_cannot_be_used(tool, folder):
    def fault(kind, *extensions, now=None):
        return tool.fault("smime", Certificate(folder, "bad", kind, *extensions).pem, now)

    now = time.time()
    assert fault(RSA, *FOR_RSA, now=now + 31 * DAY) == "expired"
    assert fault(RSA, *FOR_RSA, now=now - DAY) == "not_yet_valid"
    assert fault(RSA, "keyUsage=digitalSignature") == "wrong_usage"
    assert fault(RSA, "keyUsage=keyCertSign,cRLSign", "basicConstraints=critical,CA:TRUE") == "wrong_usage"
    assert fault(P256, "keyUsage=keyEncipherment") == "wrong_usage"
    assert fault(RSA, "extendedKeyUsage=serverAuth,clientAuth") == "wrong_usage"
    assert fault(("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")) == "weak"
    assert fault(("-algorithm", "ED25519",)) == "unsupported"
    assert fault(("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048")) == "unsupported"
    good = Certificate(folder, "good", RSA, *FOR_RSA)
    assert tool.fault("smime", good.pem + good.pem) == "several_keys"
    assert tool.fault("smime", good.key.read_bytes()) == "secret_key"
    assert tool.fault("smime", good.pem + good.key.read_bytes()) == "secret_key"
    assert tool.fault("smime", good.pem[:400]) == "malformed"
    assert tool.compose(good.pem, "gcm", good=False, now=int(now) + 31 * DAY)["key"] == "expired"


# ---- the message itself ----

NAMES = ["Plain", "J\u00fcrgen", "\U0001f468\u200d\U0001f469\u200d\U0001f467 family", 'quotes "and" \\back',
         "Comma, Inc. <x@evil.example>", "\u05e9\u05dc\u05d5\u05dd", "\u4e2d\u6587" * 60, "x" * 900,
         "two  spaces", " around ", "=?UTF-8?B?QQ==?=", "a word " * 60 + "end"]


@pytest.mark.parametrize("name", NAMES)
def test_python_reads_names_and_subjects(tool, name):
    subject = name[:170]
    mail = tool.compose(from_name=name, to_name=name, subject=subject)
    message, raw = parsed(mail), email.message_from_bytes(mail)
    assert message["Subject"] == subject
    for header in ("From", "To"):
        (address,) = message[header].addresses
        assert address.addr_spec in ("keys@acme.example", "j@example.com")
        # Python 3.11 leaves spaces between the encoded words of a phrase; its older decoder does not.
        shown, _ = email.utils.parseaddr(raw[header])
        assert str(email.header.make_header(email.header.decode_header(shown))) == name
    assert message["To"].addresses[0].addr_spec == "j@example.com"
    assert len(message.items()) == 9
    text, html = message.iter_parts()
    assert content(text) == TEXT and content(html) == HTML


@pytest.mark.parametrize("hostile", ["x\r\nBcc: b@evil.example", "x\nBcc: b@evil.example", "x\rBcc: y", "x\0y",
                                     "x\r\n\r\nbody", "\u2028x", "\u202ex"])
@pytest.mark.parametrize("field, told", [("to_name", "to.name"), ("from_name", "from.name"),
                                         ("to", "to.address"), ("from", "from.address"),
                                         ("reply_to", "reply_to.address"), ("subject", "subject"),
                                         ("outer_subject", "outer_subject"),
                                         ("message_id", "message_id"), ("boundary", "boundary")])
def test_no_header_is_injected(tool, field, told, hostile):
    refused = tool.compose(good=False, **{field: hostile})
    assert refused["error"] == "invalid" and refused["field"] == told and refused["length"] == 0


BODIES = [
    "", "\n", ".", ".\r\n", "\n.\n", "line\r\nline\r\n", "--=_a0123456789abcdefghij--\r\n", "=" * 3000,
    "\u00fc" * 3000, "x" * 5000 + "\n", "a \n\t\nb\t\n", "From me\nFrom you\n", "\U0001f511\n" * 500,
    "Content-Type: text/html\r\n\r\n<script>\r\n", "tail \u043a\u043b\u044e\u0447",
]


@pytest.mark.parametrize("body", BODIES)
def test_bodies_come_back_as_they_were(tool, body):
    wanted = ("x" + body).replace("\r\n", "\n")
    mail = tool.compose(text="x" + body, html=body)
    message = parsed(mail)
    parts = list(message.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"][:1 + bool(body)]
    got = content(parts[0])
    assert got in (wanted, wanted + "\n")  # the last line is ended
    assert b"\r\n." not in mail and b"\r\nFrom " not in mail  # and SMTP has nothing to double


def test_a_body_with_a_nul_is_refused(tool):
    assert tool.compose(good=False, text="a\0b")["field"] == "text"
    assert tool.compose(good=False, html="\0")["field"] == "html"
    assert tool.compose(good=False, text="x" * 132000)["field"] == "text"


def test_the_largest_bodies_that_grow_most(tool, gpg, folder):
    text = "=\x01" * 65536
    key, certificate = gpg.make("large", "ed25519", "cv25519"), Certificate(folder, "large", P256)
    mail = tool.compose(text=text, html=text)
    assert [content(part) for part in parsed(mail).iter_parts()] == [text + "\n"] * 2
    for plain in (gpg("--decrypt", stdin=tool.compose(key, text=text, html=text)).stdout,
                  certificate.open(tool.compose(certificate.pem, "gcm", text=text, html=text)).stdout):
        assert [content(part) for part in parsed(plain).iter_parts()] == [text + "\n"] * 2
