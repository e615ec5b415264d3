"""Rotation seen from outside: a key over 200 days under a faked clock with kills in between, two
daemons on one due set, clocks that jump, the calls around it."""

import secrets
import threading
from datetime import datetime

import pytest

import claims
import rotations
from daemon import free_port, request, wait_for
from faked_clock import DAY, HOUR, FakedClock
from nodes import Cluster
from observer import Observer


@pytest.fixture
def clock(build_directory):
    clock = FakedClock(build_directory / "keymeterd")
    yield clock
    clock.close()


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def verified(node, secret):
    """The code, when the node can answer."""
    def asked():
        answer = node.call("POST", "/v1/verify", {"key": secret, "cost": 0})
        return answer.json["code"] if answer.status == 200 else None
    return wait_for(asked, "a verdict")


def reveal(node, token, address=None):
    return request(address or node.api, "POST", "/v1/claims/reveal", {"token": token})


class Walk:
    """One key's life in steps of some hours; a secret that the customer has works at each."""

    def __init__(self, cluster, clock):
        self.cluster, self.clock, self.steps = cluster, clock, 0
        self.key, secret = rotations.signup(cluster.nodes[0])
        self.begin = clock.now_ms() / 1000
        self.held = [secret]

    @property
    def node(self):
        return self.cluster.nodes[self.steps % len(self.cluster.nodes)]

    def day(self):
        return (self.clock.now_ms() / 1000 - self.begin) / DAY

    def step(self, hours=12, kill=False):
        if kill:
            self.node.kill()
            self.node.start()
        self.clock.move(int(hours * HOUR))
        self.steps += 1
        rotations.run(self.node)
        # The oldest that works: to ask about a new one would be its first use.
        assert any(verified(self.node, secret) == "VALID" for secret in self.held), self.day()

    def until(self, condition, days, hours=12, kills=True):
        end = self.day() + days
        while not condition():
            assert self.day() < end, rotations.mails(self.cluster)
            self.step(hours, kill=kills and self.steps % 25 == 24)
        return self.day()

    def shown(self):
        return self.node.must("GET", f"/v1/keys/{self.key}")

    def mailed(self, kind, generation=1):
        """How many; upkeep deletes those of 90 days ago."""
        return int(self.cluster.database.value(
            f"SELECT COUNT(*) FROM outbox WHERE kind = '{kind}' AND generation = {generation}"))

    def accept(self):
        return rotations.accept(self.cluster, self.clock.now_ms())


@pytest.mark.parametrize("names", [("one",), ("one", "two")])
def test_a_key_over_200_days(build_directory, clock, names):
    with Cluster(build_directory, *names, more=["node.trust_clock=yes"],
                 environment=clock.environment) as cluster:
        walk = Walk(cluster, clock)
        with Observer(cluster.nodes[-1], held=walk.held):
            walk_200_days(cluster, clock, walk)


def walk_200_days(cluster, clock, walk):
    rotates_at = seconds(walk.shown()["rotates_at"])
    assert abs(rotates_at - walk.begin - 90 * DAY) < 60
    assert 83 <= walk.until(lambda: walk.mailed("rotation_upcoming"), 84) < 83.6
    walk.step(24)  # the relay was away for a day
    assert walk.accept() == 1
    accepted = walk.day()
    link = walk.until(lambda: walk.mailed("rotated"), 10)
    assert accepted + 7 <= link < accepted + 7.6 and link >= 90
    assert walk.shown()["rotates_at"] is None
    walk.accept()
    for _ in range(8):  # nobody uses the link
        walk.step()
    assert walk.mailed("claim_reminder") in (3, 4)
    assert walk.shown()["secret_version"] == 1
    answer = reveal(walk.node, rotations.link(cluster, walk.key, 1))
    assert answer.status == 200 and answer.json["key_id"] == walk.key, answer
    revealed, old = walk.day(), walk.held[0]
    walk.held.append(answer.json["secret"])
    shown = walk.shown()
    assert shown["status"] == "rotating" and len(shown["secrets"]) == 2
    assert abs(seconds(shown["secrets"][1]["expires_at"]) - clock.now_ms() / 1000 - 7 * DAY) < 60
    # Nobody uses the new one: the old one ends at the hard stop, not sooner.
    ended = walk.until(lambda: verified(walk.node, old) != "VALID", 8)
    assert revealed + 7 <= ended < revealed + 7.6
    assert verified(walk.node, walk.held[1]) == "VALID" and walk.mailed("retired") == 1
    # The second generation: used after two days, so the former ends 24 hours later.
    walk.until(lambda: walk.mailed("rotation_upcoming", 2), 84)
    walk.accept()
    walk.until(lambda: walk.mailed("rotated", 2), 8)
    walk.accept()
    answer = reveal(walk.node, rotations.link(cluster, walk.key, 2))
    walk.held.append(answer.json["secret"])
    walk.step(24)
    walk.node.must("POST", "/v1/verify", {"key": walk.held[2]})
    wait_for(lambda: walk.shown()["secrets"][0]["last_used_at"], "the fold")
    used = walk.day()
    ended = walk.until(lambda: verified(walk.node, walk.held[1]) != "VALID", 3, hours=4, kills=False)
    assert used + 1 <= ended < used + 1.2
    assert walk.shown()["status"] == "active" and walk.day() < 215
    actions = [row["action"] for row in walk.node.must("GET", "/v1/audit?limit=200")["data"]]
    for action in ("key.rotation_notice", "key.rotate", "claim.reveal", "key.retire"):
        assert actions.count(action) == 2, action


def test_two_nodes_do_each_step_once(build_directory, clock):
    with Cluster(build_directory, "one", "two", more=["node.trust_clock=yes", "rotation.automatic=yes"],
                 environment=clock.environment) as cluster:
        cluster.nodes[0].tier("many", max_keys=1000)
        customer = cluster.nodes[0].signup("many")["customer"]["id"]
        for _ in range(149):  # beside the first one
            cluster.nodes[0].must("POST", "/v1/keys", {"customer_id": customer})
        clock.move(84 * DAY)
        wait_for(lambda: rotations.mails(cluster).get("rotation_upcoming") == 150, "all notices", 60)
        rotations.accept(cluster, clock.now_ms())
        clock.move(8 * DAY)
        wait_for(lambda: rotations.mails(cluster).get("rotated") == 150, "all links", 60)
        assert cluster.database.value("SELECT COUNT(*) FROM claim") == "150"
        assert cluster.database.value("SELECT COUNT(*) FROM audit WHERE action = 'key.rotate'") == "150"
        listed = cluster.nodes[1].must("GET", "/v1/rotations?status=rotated&limit=200")["data"]
        assert len(listed) == 150 and {row["waits_for"] for row in listed} == {"delivery"}


def test_a_minute_brings_so_many_rotations_and_no_more(build_directory):
    """A clock that was wrong for a day and believed: what it made due at once comes bit by bit."""
    with Cluster(build_directory, "one", more=["rotation.per_minute=2"]) as cluster:
        node = cluster.nodes[0]
        node.tier("many", max_keys=1000)
        signed = node.signup("many", key={"title": "first"})
        keys = [signed["key"]["id"]] + [
            node.must("POST", "/v1/keys", {"customer_id": signed["customer"]["id"]})["id"] for _ in range(19)]
        for key in keys:
            rotations.make_due(cluster, key)
        ran = rotations.run(node)
        assert 2 <= ran["notified"] <= 8 and ran["due"] == 20 - ran["notified"], ran
        assert rotations.mails(cluster)["rotation_upcoming"] == ran["notified"]


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 90 * DAY, -90 * DAY])
def test_a_clock_that_jumps_pauses_until_it_is_confirmed(build_directory, clock, jump):
    with Cluster(build_directory, "one", environment=clock.environment) as cluster:
        node = cluster.nodes[0]
        key, secret = rotations.signup(node)
        rotations.make_due(cluster, key)
        clock.move(jump)
        assert rotations.run(node)["paused"]
        assert reveal(node, claims.token()).status == 503
        assert rotations.mails(cluster) == {}
        [alert] = node.must("GET", "/v1/alerts?status=open")["data"]
        assert (alert["kind"], alert["subject"]) == ("clock_moved", "node/one")
        assert abs(abs(alert["detail"]["seconds"]) - abs(jump)) < 60
        clock.move(-jump)  # back: it goes on by itself, and the alert is settled
        assert not rotations.run(node)["paused"]
        assert node.must("GET", "/v1/alerts?status=open")["data"] == []
        assert rotations.mails(cluster) == {"rotation_upcoming": 1}
        clock.move(jump)
        assert rotations.run(node)["paused"]
        [alert] = node.must("GET", "/v1/alerts?status=open")["data"]
        acknowledged = node.must("POST", f"/v1/alerts/{alert['id']}/ack")
        assert acknowledged["status"] == "acknowledged"
        assert not rotations.run(node)["paused"]  # confirmed


def test_the_calls_around_it(build_directory):
    public = f"127.0.0.1:{free_port()}"
    with Cluster(build_directory, "one", more=[f"listen.public={public}"]) as cluster:
        node = cluster.nodes[0]
        key, secret = rotations.signup(node)
        [row] = node.must("GET", "/v1/rotations")["data"]
        assert (row["key_id"], row["status"], row["step"]) == (key, "scheduled", "notice")
        before = seconds(node.must("GET", f"/v1/keys/{key}")["rotates_at"])
        moved = node.must("POST", f"/v1/keys/{key}/postpone", {"days": 5})
        assert seconds(moved["rotates_at"]) - before == 5 * DAY
        rotations.make_due(cluster, key)
        assert rotations.run(node)["notified"] == 1
        [mail] = node.must("GET", f"/v1/notifications?key_id={key}")["data"]
        assert (mail["kind"], mail["state"], mail["generation"]) == ("rotation_upcoming", "queued", 1)
        assert node.must("GET", f"/v1/keys/{key}")["rotates_at"]
        assert node.call("POST", f"/v1/keys/{key}/resend-claim").json["code"] == "no_claim_pending"
        rotations.make_due(cluster, key)
        assert rotations.run(node)["rotated"] == 1
        assert node.call("POST", f"/v1/keys/{key}/postpone", {"days": 5}).json["code"] == "no_rotation_pending"
        node.must("POST", f"/v1/keys/{key}/resend-claim")
        kinds = [mail["kind"] for mail in node.must("GET", f"/v1/notifications?key_id={key}")["data"]]
        assert kinds == ["claim_reminder", "rotated", "rotation_upcoming"]
        # The link: on the public listener only, once, and wrong ones are throttled.
        token = rotations.link(cluster, key, 1)
        assert reveal(node, token).status == 404
        assert request(public, "GET", "/v1/keys").status == 404
        assert request(public, "GET", "/livez").status == 404
        answer = reveal(node, token, public)
        assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
        assert (answer.json["key_id"], answer.json["environment"]) == (key, "live")
        old = answer.json["old_secret"]
        assert secret.startswith(old["start"]) and len(old["start"]) == 10
        assert old["expires_at"] == node.must("GET", f"/v1/keys/{key}")["secrets"][1]["expires_at"]
        assert old["grace_seconds"] == 86400
        assert verified(node, answer.json["secret"]) == verified(node, secret) == "VALID"
        assert reveal(node, token, public).json["code"] == "claim_used"
        [entry] = node.must("GET", "/v1/audit?action=claim.reveal")["data"]
        assert (entry["actor"], entry["address"]) == ("claim", "127.0.0.1")
        assert reveal(node, token[:-1] + "!", public).json["code"] == "claim_not_found"
        for _ in range(9):
            assert reveal(node, claims.token(), public).json["code"] == "claim_not_found"
        throttled = reveal(node, claims.token(), public)
        assert throttled.status == 429 and int(throttled.headers["Retry-After"]) > 0


def test_opting_out_needs_an_admin(build_directory):
    with Cluster(build_directory, "one") as cluster:
        node = cluster.nodes[0]
        key, _ = rotations.signup(node)
        issuer = node.must("POST", "/v1/tokens", {"name": "issuer", "scopes": ["issue"]})["secret"]
        refused = node.call("PATCH", f"/v1/keys/{key}", {"rotation": "off"}, token=issuer)
        assert refused.status == 422 and refused.json["errors"][0]["location"] == "body.rotation"
        off = node.must("PATCH", f"/v1/keys/{key}", {"rotation": "off"})
        assert (off["rotation"], off["rotates_at"]) == ("off", None)
        assert node.must("GET", "/v1/rotations")["data"] == []
        on = node.call("PATCH", f"/v1/keys/{key}", {"rotation": "automatic"}, token=issuer).json
        assert on["rotation"] == "automatic" and on["rotates_at"]
        assert len(node.must("GET", "/v1/rotations")["data"]) == 1


def test_one_of_many_reveals_gets_the_secret(build_directory):
    with Cluster(build_directory, "one", "two") as cluster:
        key, _ = rotations.signup(cluster.nodes[0])
        tokens = [rotations.link(cluster, key, 1) for _ in range(4)]
        answers, lock = [], threading.Lock()

        def ask(at):
            answer = reveal(cluster.nodes[at % 2], tokens[at % 4])
            with lock:
                answers.append(answer)
        threads = [threading.Thread(target=ask, args=(at,)) for at in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [answer for answer in answers if answer.status == 200]
        assert len(won) == 1
        assert {answer.json["code"] for answer in answers if answer.status != 200} <= {
            "claim_used", "claim_ended"}
        assert cluster.database.value("SELECT COUNT(*) FROM key_secret") == "2"


def test_an_erased_customer_leaves_no_mail_and_no_link(build_directory):
    with Cluster(build_directory, "one") as cluster:
        node = cluster.nodes[0]
        key, _ = rotations.signup(node, name="Canary " + secrets.token_hex(4))
        rotations.make_due(cluster, key)
        rotations.run(node)
        rotations.make_due(cluster, key)
        rotations.run(node)
        token = rotations.link(cluster, key, 1)
        customer = node.must("GET", f"/v1/keys/{key}")["customer_id"]
        node.must("DELETE", f"/v1/customers/{customer}")
        assert reveal(node, token).json["code"] in ("claim_ended", "key_revoked")
        assert cluster.database.value("SELECT COUNT(*) FROM outbox") == "0"
        assert cluster.database.value("SELECT COUNT(*) FROM rotation WHERE look_at IS NOT NULL") == "0"
