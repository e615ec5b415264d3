"""Claim links and rotations from the side of the database: what a mailer or a clock would have done."""

import hashlib
import secrets
import subprocess
import zlib
from types import SimpleNamespace

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def number_of(identifier):
    """The number in the database of `key_…`."""
    value = 0
    for letter in identifier.split("_", 1)[1]:
        value = value * 32 + CROCKFORD.index(letter)
    return value


def id_of(prefix, number):
    letters = ""
    for _ in range(13):
        number, digit = divmod(number, 32)
        letters = CROCKFORD[digit] + letters
    return f"{prefix}_{letters}"


def token():
    """A well-formed claim link's token."""
    text = "km_claim_" + "".join(secrets.choice(ALPHABET) for _ in range(43))
    check, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        check, digit = divmod(check, 62)
        digits = ALPHABET[digit] + digits
    return text + digits


def hash_of(text, pepper_file):
    """The keyed hash by which the server knows a token."""
    line = [line for line in pepper_file.read_text().splitlines() if line and line[0] != "#"][0]
    key = bytes.fromhex(line.split()[1])
    return hashlib.blake2b(text.encode(), key=key, digest_size=32).hexdigest()


def sql(daemon, text):
    """On the private database of a `keymeterd dev`."""
    socket = next(daemon.state.rglob("*.sock"), None) or next(daemon.state.rglob("socket"))
    done = subprocess.run(["mariadb", "--no-defaults", f"--socket={socket}", "--batch",
                           "--skip-column-names", "keymeter"], input=text, text=True,
                          capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def plant(daemon, key_id):
    """A link that leads to the key's next secret, and a mail that was given up."""
    text, mail = token(), secrets.randbits(60)
    digest = hash_of(text, daemon.state / "pepper.key")
    key = number_of(key_id)
    sql(daemon, f"INSERT INTO claim (hash, key_id, generation, issued_at) VALUES (X'{digest}', {key}, 1, 1);"
                "INSERT INTO outbox (id, kind, subject, generation, recipient, customer_id, key_id, state,"
                f" next_at, first_queued_at) SELECT {mail}, 'rotated', id, 1, '', customer_id, id, 'dead', 1, 1"
                f" FROM api_key WHERE id = {key}")
    return SimpleNamespace(token=text, mail=id_of("ntf", mail))


def alert(daemon):
    number = secrets.randbits(60)
    sql(daemon, "INSERT INTO alert (id, kind, subject, open, detail, created_at, last_at) VALUES"
                f" ({number}, 'rotation_postponed', 'key_{number}', 1, '{{}}', 1, 1)")
    return id_of("alr", number)
