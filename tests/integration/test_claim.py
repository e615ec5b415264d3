"""A claim link's secret when its answer is lost: the same again to who asked, nothing to anybody else,
and nothing stored that could open it."""

import hashlib
import json
import secrets
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import claims
import rotations
from daemon import request, wait_for
from nodes import Cluster


@pytest.fixture(scope="module")
def cluster(build_directory):
    with Cluster(build_directory, "one", "two", more=["listen.trusted_proxies=127.0.0.0/8"]) as cluster:
        yield cluster


def fresh():
    return secrets.token_hex(16)


def reveal(node, token, key=None, **headers):
    if key:
        headers["Idempotency-Key"] = key
    return request(node.api, "POST", "/v1/claims/reveal", {"token": token}, headers)


def revealed(node, token, key):
    """503 is never a wrong answer, nor is that the first call is still at work: asks again, as the page does."""
    def asked():
        answer = reveal(node, token, key)
        passing = answer.status == 503 or answer.json.get("code") == "idempotency_in_flight"
        return None if passing else answer
    return wait_for(asked, "an answer that stays")


def works(node, secret):
    def asked():
        answer = node.call("POST", "/v1/verify", {"key": secret})
        return answer.json["code"] if answer.status == 200 else None
    return wait_for(asked, "a verdict") == "VALID"


def linked(cluster):
    """A key and a link's token."""
    key, _ = rotations.signup(cluster.nodes[0])
    return key, rotations.link(cluster, key, 1)


def digest(answer):
    return hashlib.sha256(answer.body).hexdigest()


def secrets_of(cluster, key):
    return int(cluster.database.value(
        f"SELECT COUNT(*) FROM key_secret WHERE key_id = {claims.number_of(key)}"))


def test_a_retry_gets_the_same_secret_and_nobody_else(cluster):
    one, two = cluster.nodes
    key, token = linked(cluster)
    other = rotations.link(cluster, key, 1)
    mine = fresh()
    first = reveal(one, token, mine)
    assert first.status == 200 and "Idempotent-Replayed" not in first.headers
    again = reveal(two, token, mine)
    assert (again.status, digest(again)) == (200, digest(first))
    assert again.headers["Idempotent-Replayed"] == "true" and again.headers["Cache-Control"] == "no-store"
    assert works(one, first.json["secret"])
    refused = reveal(two, token, fresh())
    assert refused.status == 409 and refused.json["code"] == "claim_used"
    assert " at 20" in refused.json["detail"]  # when
    assert reveal(two, token).json["code"] == "claim_used"
    assert reveal(two, other, mine).json["code"] == "claim_ended"
    assert reveal(two, claims.token(), mine).json["code"] == "claim_not_found"
    assert secrets_of(cluster, key) == 2
    assert cluster.database.value("SELECT COUNT(*) FROM idempotency WHERE done = 0") == "0"


def test_a_key_that_could_be_guessed_is_refused(cluster):
    _, token = linked(cluster)
    refused = reveal(cluster.nodes[0], token, "short")
    assert refused.status == 422
    assert refused.json["errors"][0]["location"] == "header.Idempotency-Key"
    assert reveal(cluster.nodes[0], token, fresh()).status == 200


def test_after_ten_minutes_it_is_gone(cluster):
    node = cluster.nodes[0]
    key, token = linked(cluster)
    mine = fresh()
    kept = "FROM idempotency WHERE done = 1 ORDER BY reserved_at DESC LIMIT 1"
    assert reveal(node, token, mine).status == 200
    assert int(cluster.database.value(f"SELECT expires_at - reserved_at {kept}")) < 601000
    cluster.database.sql("UPDATE idempotency SET expires_at = 1")
    assert reveal(node, token, mine).json["code"] == "claim_used"
    assert secrets_of(cluster, key) == 2


def test_an_answer_lost_with_the_daemon(cluster):
    node = cluster.nodes[1]
    key, token = linked(cluster)
    mine, body = fresh(), json.dumps({"token": token})
    head = ("POST /v1/claims/reveal HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {mine}\r\nContent-Length: {len(body)}\r\n\r\n")
    host, port = node.api.split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall((head + body).encode())
        wait_for(lambda: secrets_of(cluster, key) == 2, "the secret")
        node.kill()
    node.start()
    answer = revealed(node, token, mine)
    assert answer.status == 200 and answer.headers["Idempotent-Replayed"] == "true"
    assert works(node, answer.json["secret"])
    assert secrets_of(cluster, key) == 2


def test_many_at_once_with_one_key_get_one_secret(cluster):
    key, token = linked(cluster)
    mine, answers = fresh(), []

    def ask(node):
        answers.append(reveal(node, token, mine))
    threads = [threading.Thread(target=ask, args=(cluster.nodes[at % 2],)) for at in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = {answer.json["code"] for answer in answers if answer.status != 200}
    assert codes <= {"idempotency_in_flight"}, codes
    assert len({digest(answer) for answer in answers if answer.status == 200}) == 1
    assert secrets_of(cluster, key) == 2


@pytest.mark.parametrize("act", ["regenerate", "revoke"])
def test_browsers_at_once_and_what_the_customer_does_meanwhile(cluster, act):
    """Two links in three browsers, on two nodes: one of them at most gets a secret, and what ends it ends it."""
    one, two = cluster.nodes
    for _ in range(4):
        key, old = rotations.signup(one)
        tokens = [rotations.link(cluster, key, 1) for _ in range(2)]
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(reveal, node, token, fresh())
                     for node, token in ((one, tokens[0]), (two, tokens[0]), (two, tokens[1]))]
            acted = pool.submit(one.must, "POST", f"/v1/keys/{key}/{act}").result()
        answers = [future.result() for future in asked]
        statuses = {answer.status for answer in answers}
        assert statuses <= {200, 409, 503}
        told = [answer.json["secret"] for answer in answers if answer.status == 200]
        count, alive = len(told), [works(two, secret) for secret in [old, *told]]
        assert count <= 1 and not any(alive)
        if act == "regenerate":
            alive = works(two, acted["secret"])
            assert alive and secrets_of(cluster, key) == 1


def test_what_is_stored_opens_nothing(cluster):
    """Not the secret, not what opens the kept answer: neither the token nor the Idempotency-Key."""
    _, token = linked(cluster)
    mine = fresh()
    secret = reveal(cluster.nodes[0], token, mine).json["secret"]
    assert cluster.database.value("SELECT COUNT(*) FROM idempotency WHERE answer IS NOT NULL") != "0"
    rows = "\n".join("\t".join(row) for table in ("idempotency", "claim", "outbox", "audit")
                     for row in cluster.database.sql(f"SELECT * FROM {table}"))
    for text in (secret[-49:-6], token[-49:-6], mine):
        assert text not in rows and text.encode().hex().upper() not in rows.upper()


def test_wrong_links_reserve_nothing(cluster):
    before = cluster.database.value("SELECT COUNT(*) FROM idempotency")
    for text in (claims.token(), "km_claim_nonsense"):
        answer = reveal(cluster.nodes[0], text, fresh(), **{"X-Forwarded-For": "192.0.2.1"})
        assert answer.json["code"] == "claim_not_found"
    assert cluster.database.value("SELECT COUNT(*) FROM idempotency") == before


def test_wrong_links_side_by_side_are_counted_too(cluster):
    begin, codes = threading.Barrier(40), []

    def ask():
        begin.wait()
        codes.append(reveal(cluster.nodes[0], claims.token(), **{"X-Forwarded-For": "192.0.2.77"}).json["code"])
    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) == {"claim_not_found", "too_many_attempts"} and codes.count("claim_not_found") <= 11, codes
    # From elsewhere, and as often as one likes: who has a link is no wrong try.
    key, token = linked(cluster)
    for _ in range(15):
        assert reveal(cluster.nodes[0], token, **{"X-Forwarded-For": "192.0.2.78"}).status in (200, 409)
    assert secrets_of(cluster, key) == 2


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_a_page_of_another_site_gets_nothing(cluster, site):
    _, token = linked(cluster)
    refused = reveal(cluster.nodes[0], token, **{"Sec-Fetch-Site": site})
    assert refused.status == 403 and refused.json["code"] == "cross_site"
    assert reveal(cluster.nodes[0], token, **{"Sec-Fetch-Site": "same-origin"}).status == 200


def test_the_audit_names_the_customers_address(cluster):
    node = cluster.nodes[0]
    key, token = linked(cluster)
    assert reveal(node, token, **{"X-Forwarded-For": "198.51.100.7"}).status == 200
    [entry] = [row for row in node.must("GET", "/v1/audit?action=claim.reveal&limit=200")["data"]
               if row["subject"] == key]
    assert (entry["actor"], entry["address"]) == ("claim", "198.51.100.7")
    assert entry["at"].startswith("20")
