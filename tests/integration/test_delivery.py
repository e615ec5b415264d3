"""Secrets by mail: encrypted to the customer's key, or as a claim link; the customers' keys in the API, and
what is told when they or the address change. Read with the real gpg and openssl."""

import secrets as random

import pytest

import mails
from daemon import request, wait_for
from faked_clock import DAY, HOUR, FakedClock
from nodes import Cluster

FROM = "mail.from=Example Keys <keys@example.com>"


@pytest.fixture(scope="module")
def cluster(build_directory, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mail")
    with Cluster(build_directory, "one", more=[f"mail.url=maildir:{folder}", FROM]) as running:
        running.mail = mails.Maildir(folder)
        yield running


@pytest.fixture(scope="module")
def gpg():
    with mails.Gpg() as home:
        yield home


@pytest.fixture(scope="module")
def smime():
    with mails.Smime() as home:
        yield home


@pytest.fixture(params=["openpgp", "smime"])
def recipient(request, gpg, smime):
    """(the API's field, the public part, what reads)."""
    reader = gpg if request.param == "openpgp" else smime
    return {"openpgp": "openpgp_key", "smime": "smime_certificate"}[request.param], reader


def address():
    return f"{random.token_hex(6)}@example.com"


def raw_to(cluster, to):
    return [data for data in (path.read_bytes() for path in cluster.mail.files()) if to.encode() in data]


def newest(cluster, to, count):
    """The newest of that many mails to an address, as bytes."""
    found = wait_for(lambda: (raw := raw_to(cluster, to)) and len(raw) >= count and raw, f"mail {count} to {to}")
    assert len(found) == count, [mails.parse(data)["Subject"] for data in found]
    return found[-1]


def code_of(node, secret):
    return node.must("POST", "/v1/verify", {"key": secret, "cost": 0})["code"]


def reveal(node, token):
    return request(node.api, "POST", "/v1/claims/reveal", {"token": token})


def test_every_secret_encrypted_to_the_key_on_file(cluster, recipient):
    node, (field, reader) = cluster.nodes[0], recipient
    to = address()
    made = node.signup("free", email=to, name="Acme \u00dc", deliver="email", key={"title": "First"}, **{field: reader.public})
    assert "secret" not in made and made["customer"][field]["fingerprint"]
    assert made["customer"][field]["expires_at"] and "BEGIN" not in str(made)
    key = made["key"]["id"]
    raw = newest(cluster, to, 1)
    assert b"km_live_" not in raw and b"First" not in raw and b"A message from Example Keys" in raw
    inner = reader.read(raw)
    text = mails.text_of(inner)
    first = mails.secret_of(text)
    assert code_of(node, first) == "VALID" and "1,000 calls" in text and "First" in text and key in text
    assert inner["Subject"] == "Your Example Keys API key" and inner["Message-ID"] == mails.parse(raw)["Message-ID"]
    rotated = node.must("POST", f"/v1/keys/{key}/rotate", {"deliver": "email", "grace_seconds": 3600})
    assert "secret" not in rotated and rotated["status"] == "rotating"
    second = mails.secret_of(mails.text_of(reader.read(newest(cluster, to, 2))))
    assert code_of(node, first) == code_of(node, second) == "VALID"
    answer = node.must("POST", f"/v1/keys/{key}/regenerate", {"deliver": "email"})
    assert "secret" not in answer
    third = mails.secret_of(mails.text_of(reader.read(newest(cluster, to, 3))))
    assert [code_of(node, secret) for secret in (first, second, third)] == ["NOT_FOUND", "NOT_FOUND", "VALID"]
    # Notices without a secret are encrypted too.
    node.must("POST", f"/v1/keys/{key}/revoke")
    raw = newest(cluster, to, 4)
    assert key.encode() not in raw and key in mails.text_of(reader.read(raw))


def test_a_further_key_by_mail(cluster, gpg):
    node, to = cluster.nodes[0], address()
    node.tier("many", max_keys=10)
    made = node.signup("many", email=to, openpgp_key=gpg.public)
    newest(cluster, to, 1)
    idempotency = random.token_hex(16)
    body = {"customer_id": made["customer"]["id"], "title": "Second", "deliver": "email"}
    answers = [node.call("POST", "/v1/keys", body, **{"Idempotency-Key": idempotency}) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201] and answers[0].json == answers[1].json
    assert "secret" not in answers[0].json
    secret = mails.secret_of(mails.text_of(gpg.read(newest(cluster, to, 2))))
    assert code_of(node, secret) == "VALID"


def test_without_a_key_a_link_whose_secret_is_made_at_the_reveal(cluster):
    node, to = cluster.nodes[0], address()
    made = node.signup("free", email=to, deliver="email")
    key = made["key"]["id"]
    assert "secret" not in made
    assert (made["key"]["start"], made["key"]["secrets"], made["key"]["secret_version"]) == (None, [], 0)
    # Nothing breaks while there is no secret.
    shown = node.must("GET", f"/v1/keys/{key}")
    assert shown["fingerprint"] is None and shown["status"] == "active" and shown["rotates_at"] is None
    listed = node.must("GET", f"/v1/keys?customer_id={made['customer']['id']}")["data"]
    assert [row["id"] for row in listed] == [key]
    node.must("PATCH", f"/v1/keys/{key}", {"title": "Waiting"})
    node.must("POST", f"/v1/keys/{key}/disable")
    node.must("POST", f"/v1/keys/{key}/enable")
    refused = node.call("POST", f"/v1/keys/{key}/rotate")
    assert refused.status == 409 and refused.json["code"] == "claim_pending"
    token = mails.token_of(mails.text_of(mails.parse(newest(cluster, to, 1))))
    node.must("POST", f"/v1/keys/{key}/resend-claim")
    again = mails.token_of(mails.text_of(mails.parse(newest(cluster, to, 2))))
    answer = reveal(node, again)
    assert answer.status == 200 and answer.json["key_id"] == key
    assert reveal(node, token).status == 409
    secret = answer.json["secret"]
    assert code_of(node, secret) == "VALID"
    shown = node.must("GET", f"/v1/keys/{key}")
    assert shown["secret_version"] == 1 and shown["rotates_at"] and shown["start"] == secret[:10]
    # Regenerated by link, twice: dead at once, and the newest link leads to the new secret.
    tokens = []
    for count in (3, 4):
        again = node.must("POST", f"/v1/keys/{key}/regenerate", {"deliver": "email"})
        assert "secret" not in again and again["secrets"] == [] and code_of(node, secret) == "NOT_FOUND"
        tokens.append(mails.token_of(mails.text_of(mails.parse(newest(cluster, to, count)))))
    assert reveal(node, tokens[0]).json["code"] == "claim_ended"
    assert code_of(node, reveal(node, tokens[1]).json["secret"]) == "VALID"
    node.must("POST", f"/v1/keys/{key}/regenerate")
    newest(cluster, to, 5)


def test_a_rotation_by_link_leaves_the_old_secret_alone(cluster):
    node, to = cluster.nodes[0], address()
    made = node.signup("free", email=to)
    key, old = made["key"]["id"], made["secret"]
    newest(cluster, to, 1)
    answer = node.must("POST", f"/v1/keys/{key}/rotate", {"deliver": "email"})
    assert "secret" not in answer and answer["secret_version"] == 1
    token = mails.token_of(mails.text_of(mails.parse(newest(cluster, to, 2))))
    assert code_of(node, old) == "VALID"
    new = reveal(node, token).json["secret"]
    assert code_of(node, new) == code_of(node, old) == "VALID"
    assert node.must("GET", f"/v1/keys/{key}")["status"] == "rotating"


def test_keys_that_cannot_be_encrypted_to_are_refused_by_name(cluster, gpg, smime):
    node = cluster.nodes[0]
    customer = node.signup("free")["customer"]["id"]
    with mails.Gpg("old@acme.example", now="20200101T000000", expire="1m") as old:
        bad = [("openpgp_key", old.public, "has expired"), ("openpgp_key", "nonsense", "must be an OpenPGP public key"),
               ("smime_certificate", gpg.public, "must be a certificate"),
               ("smime_certificate", smime.key.read_text(), "never a private key")]
        for name, value, words in bad:
            new = {"external_id": "x" + random.token_hex(5), "email": address(), "tier": "free"}
            for method, path, body in (("POST", "/v1/signups", new), ("PATCH", f"/v1/customers/{customer}", {})):
                answer = node.call(method, path, {**body, name: value})
                assert answer.status == 422, (name, answer)
                error = answer.json["errors"][0]
                assert error["location"] == f"body.{name}" and words in error["message"], error


def form_of(raw):
    mail = mails.parse(raw)
    assert mail.get_content_type() == "application/pkcs7-mime"
    return mail["Content-Type"].params["smime-type"]


def test_smime_for_readers_without_gcm(cluster, smime):
    node, to = cluster.nodes[0], address()
    made = node.signup("free", email=to, deliver="email", smime_certificate=smime.public, smime_cipher="cbc")
    customer, key = made["customer"]["id"], made["key"]["id"]
    assert made["customer"]["smime_cipher"] == "cbc"
    raw = newest(cluster, to, 1)
    assert form_of(raw) == "enveloped-data"
    structure = smime.structure(raw)
    assert b"aes-256-cbc" in structure and b"gcm" not in structure
    assert code_of(node, mails.secret_of(mails.text_of(smime.read(raw)))) == "VALID"
    # Notices too; and what the outbox renders later.
    node.must("POST", f"/v1/keys/{key}/rotate", {"deliver": "email"})
    assert form_of(newest(cluster, to, 2)) == "enveloped-data"
    # Back again: told in the form before, as another key would be.
    changed = node.must("PATCH", f"/v1/customers/{customer}", {"smime_cipher": "gcm"})
    assert changed["smime_cipher"] == "gcm" and changed["smime_certificate"]
    raw = newest(cluster, to, 3)
    assert form_of(raw) == "enveloped-data" and "S/MIME" in mails.text_of(smime.read(raw))
    node.must("POST", f"/v1/keys/{key}/revoke")
    raw = newest(cluster, to, 4)
    assert form_of(raw) == "authEnveloped-data" and b"aes-256-gcm" in smime.structure(raw)
    assert "revoked" in mails.text_of(smime.read(raw))
    # It is kept without a certificate, and nobody is told of it.
    plain = node.signup("free")["customer"]
    assert plain["smime_cipher"] == "gcm"
    assert node.must("PATCH", f"/v1/customers/{plain['id']}", {"smime_cipher": "cbc"})["smime_cipher"] == "cbc"
    for wrong in ("aes", None, 5):
        assert node.call("PATCH", f"/v1/customers/{customer}", {"smime_cipher": wrong}).status == 422


def test_a_changed_contact_is_told_to_the_old_address(cluster, gpg):
    node, old, new = cluster.nodes[0], address(), address()
    made = node.signup("free", email=old)
    customer = made["customer"]["id"]
    newest(cluster, old, 1)
    # A first key: in clear, because nothing may be encrypted only to what has just come.
    shown = node.must("PATCH", f"/v1/customers/{customer}", {"openpgp_key": gpg.public})
    assert shown["openpgp_key"]["fingerprint"] and shown["smime_certificate"] is None
    assert "OpenPGP key" in mails.text_of(mails.parse(newest(cluster, old, 2)))
    # The same again is no change.
    node.must("PATCH", f"/v1/customers/{customer}", {"openpgp_key": gpg.public, "email": old})
    node.must("PATCH", f"/v1/customers/{customer}", {"email": new})
    raw = newest(cluster, old, 3)
    assert "e-mail address" in mails.text_of(gpg.read(raw)) and new not in mails.text_of(gpg.read(raw))
    # Removed: to the address of now, encrypted to the key that was.
    shown = node.must("PATCH", f"/v1/customers/{customer}", {"openpgp_key": None})
    assert shown["openpgp_key"] is None
    assert "OpenPGP key" in mails.text_of(gpg.read(newest(cluster, new, 1)))
    assert len(raw_to(cluster, old)) == 3
    kinds = [row["kind"] for row in node.must("GET", f"/v1/notifications?customer_id={customer}")["data"]]
    assert kinds.count("contact_changed") == 3 and kinds.count("key_issued") == 1


def test_a_link_that_waited_goes_to_the_address_of_now(cluster):
    """The former one was mended, perhaps because it is a stranger's."""
    node, wrong, right = cluster.nodes[0], address(), address()
    tmp, aside = cluster.mail.path / "tmp", cluster.mail.path / "aside"
    mails.all_sent(cluster)
    tmp.rename(aside)
    try:
        made = node.signup("free", email=wrong, deliver="email")
        def waiting():
            rows = node.must("GET", f"/v1/notifications?key_id={made['key']['id']}")["data"]
            return [row["id"] for row in rows if row["state"] == "retry"]
        [mail] = wait_for(waiting, "the mail that could not be written")
        node.must("PATCH", f"/v1/customers/{made['customer']['id']}", {"email": right})
    finally:
        aside.rename(tmp)
    node.must("POST", f"/v1/notifications/{mail}/retry")
    token = mails.token_of(mails.text_of(mails.parse(newest(cluster, right, 1))))
    assert "e-mail address" in mails.text_of(mails.parse(newest(cluster, wrong, 1)))  # and nothing else
    assert reveal(node, token).status == 200


def test_a_key_that_ends_soon_is_told_once(cluster):
    node, to = cluster.nodes[0], address()
    with mails.Smime(days=10) as soon:
        made = node.signup("free", email=to, smime_certificate=soon.public)
        newest(cluster, to, 2)
        read = [mails.text_of(soon.read(raw)) for raw in raw_to(cluster, to)]
        assert sum("S/MIME certificate with which we encrypt mail to you expires on" in text for text in read) == 1
        fingerprint = made["customer"]["smime_certificate"]["fingerprint"]
        assert any(fingerprint[:4].upper() in text for text in read)


def test_a_key_that_has_ended_gets_no_mail_in_clear_but_a_link(build_directory, tmp_path, gpg):
    clock = FakedClock(build_directory / "keymeterd")
    folder = tmp_path / "mail"
    with Cluster(build_directory, "one", environment=clock.environment, more=[
            f"mail.url=maildir:{folder}", FROM, "node.trust_clock=yes"]) as running, mails.Smime(days=30) as short:
        running.mail = mails.Maildir(folder)
        node, to = running.nodes[0], address()
        made = node.signup("free", email=to, smime_certificate=short.public)
        key = made["key"]["id"]
        newest(running, to, 1)
        clock.move(31 * DAY)
        node.must("POST", f"/v1/keys/{key}/rotate", {"deliver": "email"})
        token = mails.token_of(mails.text_of(mails.parse(newest(running, to, 2))))
        assert reveal(node, token).status == 200
        node.must("POST", f"/v1/keys/{key}/revoke")
        def waits():
            rows = node.must("GET", f"/v1/notifications?key_id={key}")["data"]
            return next(row for row in rows if row["kind"] == "revoked")["state"] == "retry"
        wait_for(waits, "the notice that cannot be encrypted")
        assert len(raw_to(running, to)) == 2
        # A new key on file: it does not hide that it came, and the next attempt is encrypted to it.
        node.must("PATCH", f"/v1/customers/{made['customer']['id']}", {"openpgp_key": gpg.public})
        wait_for(lambda: any(b"OpenPGP key" in raw for raw in raw_to(running, to)), "the notice of the change, in clear")
        clock.move(HOUR)
        read = lambda: [text for raw in raw_to(running, to) if b"pgp-encrypted" in raw
                        for text in [mails.text_of(gpg.read(raw))] if "was revoked" in text]
        wait_for(read, "the notice, encrypted to the new key")
    clock.close()


def test_without_mail_there_is_no_delivery_by_it(build_directory):
    with Cluster(build_directory, "one") as running:
        node = running.nodes[0]
        answer = node.call("POST", "/v1/signups", {"external_id": "a", "email": "a@example.com", "tier": "free", "deliver": "email"})
        assert answer.status == 422 and answer.json["code"] == "delivery_unavailable"
        made = node.signup("free")
        for path in ("rotate", "regenerate"):
            answer = node.call("POST", f"/v1/keys/{made['key']['id']}/{path}", {"deliver": "email"})
            assert answer.status == 422 and answer.json["code"] == "delivery_unavailable"
