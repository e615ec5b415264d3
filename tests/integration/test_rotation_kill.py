"""kill -9 at every statement of the transactions of rotation, and between a commit and its answer: each
step is done once, and there is always a secret that works."""

import contextlib

import pytest

import claims
import mails
import rotations
from daemon import request, wait_for
from kills import EACH, STATEMENTS_MAX, kill_within, quietly, started
from observer import Observer

JOB = b"deleted_at IS NULL FOR UPDATE SKIP LOCKED"  # the first lock of a step
REVEAL = b"FROM customer WHERE id = ? AND deleted_at IS NULL FOR UPDATE"
BOTH = ("one", "two")  # one is killed, the other serves the observer


@pytest.fixture
def setting(build_directory, request):
    with started(build_directory, request.param, names=BOTH) as begun:
        yield begun


def works(node, *secrets):
    def code(secret):
        answer = node.call("POST", "/v1/verify", {"key": secret, "cost": 0})
        return answer.json["code"] if answer.status == 200 else None
    return "VALID" in [wait_for(lambda: code(secret), "a verdict") for secret in secrets]


def counted(cluster, key):
    number = claims.number_of(key)
    tables = {"claim": "claim", "mail": "outbox", "secret": "key_secret"}
    counts = {name: int(cluster.database.value(f"SELECT COUNT(*) FROM {table} WHERE key_id = {number}"))
              for name, table in tables.items()}
    counts["audit"] = int(cluster.database.value(
        f"SELECT COUNT(*) FROM audit WHERE subject = '{key}' AND action <> 'key.create'"))
    return counts


@pytest.mark.parametrize("setting", [JOB], indirect=True)
def test_the_steps(setting):
    cluster, node, relay = setting
    begun = [{"claim": 0, "mail": 0, "secret": 1, "audit": 0}, {"claim": 0, "mail": 1, "secret": 1, "audit": 1}]
    after = [begun[1], {"claim": 1, "mail": 2, "secret": 1, "audit": 2}]
    for step in range(2):  # the notice, then the link
        stop_at, more = 1, True
        while more:
            key, secret = rotations.signup(node)
            if step:
                rotations.make_due(cluster, key)
                rotations.run(node)
            rotations.make_due(cluster, key)
            assert counted(cluster, key) == begun[step]
            with Observer(cluster.nodes[1], secret):
                more = kill_within(cluster, node, relay, stop_at, quietly(lambda: rotations.run(node)))
                assert counted(cluster, key) == (begun if more else after)[step], stop_at
                assert works(node, secret)
                done = rotations.run(node)
                assert done["notified"] + done["rotated"] == (1 if more else 0), (stop_at, done)
                assert counted(cluster, key) == after[step], stop_at
                rotations.run(node)
                assert counted(cluster, key) == after[step] and works(node, secret)
            # It is not to be due again while the next one is looked at.
            node.must("POST", f"/v1/keys/{key}/revoke")
            stop_at += 1
            assert stop_at < STATEMENTS_MAX
        assert stop_at > 12  # it was really stopped within


@pytest.mark.parametrize("setting", [REVEAL], indirect=True)
def test_the_reveal(setting):
    cluster, node, relay = setting
    stop_at, more = 1, True
    while more:
        key, old = rotations.signup(node)
        for _ in range(2):
            rotations.make_due(cluster, key)
            rotations.run(node)
        token = rotations.link(cluster, key, 1)

        def ask():
            return request(node.api, "POST", "/v1/claims/reveal", {"token": token})
        with Observer(cluster.nodes[1], old):
            more = kill_within(cluster, node, relay, stop_at, quietly(ask))
            assert works(node, old)
            again = ask()
            assert works(node, old)
        if more:
            assert again.status == 200 and works(node, again.json["secret"]), (stop_at, again)
        else:  # it was committed: the secret was on its way to the customer, and is shown once
            assert again.json["code"] == "claim_used"
        assert counted(cluster, key)["secret"] == 2
        assert works(node, old)
        # The overlap ends, also when that is what is killed; who has the new secret notices nothing.
        known = [old, again.json["secret"]] if again.status == 200 else [old]
        with Observer(cluster.nodes[1], *known) if len(known) == 2 else contextlib.nullcontext():
            rotations.make_due(cluster, key)
            cluster.database.sql(f"UPDATE rotation SET waited_at = 1 WHERE key_id = {claims.number_of(key)}"
                                 " AND step = 3")
            assert rotations.run(node)["retired"] == 1
            assert counted(cluster, key)["secret"] == 1
            assert works(node, known[-1]) == (len(known) == 2)
        node.must("POST", f"/v1/keys/{key}/revoke")
        stop_at += 1
        assert stop_at < STATEMENTS_MAX
    assert stop_at > 12


@pytest.mark.parametrize("setting", [JOB], indirect=True)
def test_the_retirement(setting):
    """The old secret goes with the notice of it, or is left whole; the new one works all the while."""
    cluster, node, relay = setting
    stop_at, more, stopped = 1, True, 0
    while more:
        key, old = rotations.signup(node)
        for _ in range(2):
            rotations.make_due(cluster, key)
            rotations.run(node)
        answer = request(node.api, "POST", "/v1/claims/reveal", {"token": rotations.link(cluster, key, 1)})
        assert answer.status == 200, answer
        rotations.make_due(cluster, key)  # the notice of the new one too, which is held back by its date
        cluster.database.sql(f"UPDATE rotation SET look_at = 9000000000000, due_at = 9000000000000, waited_at = NULL"
                             f" WHERE key_id = {claims.number_of(key)} AND generation = 2")
        begun = counted(cluster, key)
        after = dict(begun, secret=1, mail=begun["mail"] + 1, audit=begun["audit"] + 1)
        with Observer(cluster.nodes[1], old, answer.json["secret"]):
            more = kill_within(cluster, node, relay, stop_at, quietly(lambda: rotations.run(node)))
            assert counted(cluster, key) == (begun if more else after), stop_at
            assert works(node, answer.json["secret"])
            if more:
                assert works(node, old)
                assert rotations.run(node)["retired"] == 1, stop_at
            assert counted(cluster, key) == after, stop_at
            assert not works(node, old) and works(node, answer.json["secret"])
        node.must("POST", f"/v1/keys/{key}/revoke")
        stop_at += EACH
        stopped += more
        assert stop_at < STATEMENTS_MAX
    assert stopped >= 12 // EACH  # it was really stopped within


def test_a_rotation_with_an_encrypted_mail(build_directory, tmp_path):
    """The new secret and the mail that carries it are there together, or neither is."""
    mail = [f"mail.url=maildir:{tmp_path}", "mail.from=Example Keys <keys@example.com>", "rotation.automatic=no"]
    with mails.Gpg() as gpg, started(build_directory, JOB, mail, BOTH) as (cluster, node, relay):
        stop_at, more, stopped = 1, True, 0
        while more:
            key, old = rotations.signup(node, openpgp_key=gpg.public)
            rotations.make_due(cluster, key)
            assert rotations.run(node)["notified"] == 1
            rotations.make_due(cluster, key)
            begun = counted(cluster, key)
            after = dict(begun, secret=2, mail=begun["mail"] + 1, audit=begun["audit"] + 1)
            with Observer(cluster.nodes[1], old):
                more = kill_within(cluster, node, relay, stop_at, quietly(lambda: rotations.run(node)))
                assert counted(cluster, key) == (begun if more else after), stop_at
                assert works(node, old)
                assert rotations.run(node)["rotated"] == more, stop_at
                assert counted(cluster, key) == after, stop_at
                assert works(node, old)
            node.must("POST", f"/v1/keys/{key}/revoke")
            stop_at += EACH
            stopped += more
            assert stop_at < STATEMENTS_MAX
        assert stopped >= 12 // EACH  # it was really stopped within
