"""Rotation seen from outside: a key over 200 days under a faked clock with kills in between, two
daemons on one due set, clocks that jump, the calls around it."""

import json
import secrets
import subprocess
import threading
import time
from datetime import datetime, timezone

import pytest

import claims
import exposition
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


def metric(node, name, **labels):
    """Of the rotator, as it is told at /metrics."""
    metrics = exposition.parse(request(node.api, "GET", "/metrics").body.decode())
    return exposition.value(metrics, "keymeter_rotation_" + name, **labels)


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
    # Made on the first of December of a year before a leap year, it is due on the 29th of February.
    clock.move(int(datetime(2027, 12, 1, 12, tzinfo=timezone.utc).timestamp() - clock.now_ms() / 1000))
    with Cluster(build_directory, *names, more=["node.trust_clock=yes"],
                 environment=clock.environment) as cluster:
        walk = Walk(cluster, clock)
        assert walk.shown()["rotates_at"].startswith("2028-02-29T")
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
        assert metric(node, "steps_total", step="notice") == ran["notified"]
        assert metric(node, "late_seconds") > 10**9  # those that wait since 1970


def test_how_late_it_is_comes_down(build_directory):
    with Cluster(build_directory, "one") as cluster:
        node = cluster.nodes[0]
        key, _ = rotations.signup(node)
        rotations.make_due(cluster, key)
        with cluster.database.locked(f"SELECT 1 FROM api_key WHERE id = {claims.number_of(key)} FOR UPDATE"):
            assert rotations.run(node)["notified"] == 0
            assert metric(node, "late_seconds") > 10**9
        assert rotations.run(node)["notified"] == 1
        rotations.run(node)
        assert metric(node, "late_seconds") == metric(node, "steps_failed_total") == 0


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 90 * DAY, -90 * DAY])
def test_a_clock_that_jumps_pauses_until_it_is_confirmed(build_directory, clock, jump):
    with Cluster(build_directory, "one", environment=clock.environment) as cluster:
        node = cluster.nodes[0]
        key, secret = rotations.signup(node)
        rotations.make_due(cluster, key)
        clock.move(jump)
        assert rotations.run(node)["paused"]
        assert metric(node, "paused") == 1
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


def test_the_timer_s_command_runs_what_is_due(build_directory, source_directory):
    """As systemd/keymeter-rotations.service calls it, where the daemon leaves it alone."""
    [command] = [line.split("=", 1)[1].split() for line in
                 (source_directory / "systemd" / "keymeter-rotations.service").read_text().splitlines()
                 if line.startswith("ExecStart=")]
    with Cluster(build_directory, "one", more=["rotation.automatic=no"]) as cluster:
        node = cluster.nodes[0]
        key, _ = rotations.signup(node)
        rotations.make_due(cluster, key)
        issuer = node.must("POST", "/v1/tokens", {"name": "timer", "scopes": ["issue"]})["secret"]

        def ran(token):
            return subprocess.run([str(build_directory / "keymeter"), *command[1:], "--json"], capture_output=True,
                                  text=True, timeout=60, check=False,
                                  env={"KEYMETER_ADDR": f"http://{node.api}", "KEYMETER_TOKEN": token})
        refused = ran(issuer[:-6] + "000000")
        assert refused.returncode == 4 and issuer[:20] not in refused.stderr
        done = ran(issuer)
        assert done.returncode == 0 and json.loads(done.stdout)["notified"] == 1, done
        assert json.loads(ran(issuer).stdout)["notified"] == 0 and rotations.mails(cluster) == {"rotation_upcoming": 1}


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


def test_what_was_told_before_is_told_again(build_directory):
    """A mail's number is its own: a step whose number was taken is neither lost nor tried for ever."""
    with Cluster(build_directory, "one") as cluster:
        node = cluster.nodes[0]
        key, _ = rotations.signup(node)
        number = claims.number_of(key)

        def switched():
            node.must("PATCH", f"/v1/keys/{key}", {"rotation": "off"})
            return node.must("PATCH", f"/v1/keys/{key}", {"rotation": "automatic"})
        for times in (1, 2, 3):
            rotations.make_due(cluster, key)
            assert rotations.run(node)["notified"] == 1
            assert rotations.mails(cluster)["rotation_upcoming"] == times
            assert switched()["rotates_at"]
        for times in (1, 2):  # an end that was taken back
            soon = datetime.fromtimestamp(time.time() + times * DAY, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            node.must("PATCH", f"/v1/keys/{key}", {"expires_at": soon})
            rotations.run(node)
            assert rotations.mails(cluster)["expiring"] == times
            node.must("PATCH", f"/v1/keys/{key}", {"expires_at": None})
        for _ in range(2):
            rotations.make_due(cluster, key)
            rotations.run(node)
        for times in (1, 2):  # a reminder of the same day as one before
            cluster.database.sql(f"DELETE FROM rotation WHERE key_id = {number} AND step = 100 AND look_at IS NULL;"
                                 f"UPDATE rotation SET step = 100, look_at = 1 WHERE key_id = {number}"
                                 " AND step >= 100 AND look_at IS NOT NULL")
            rotations.run(node)
            assert rotations.mails(cluster)["claim_reminder"] == times
        assert "rotation_failed" not in node.log()
        # Nobody used the link, and the tier says `retire`: there is nothing that could be rotated.
        node.must("PUT", "/v1/tiers/wide", dict(node.must("GET", "/v1/tiers/wide"), on_unclaimed="retire"))
        cluster.database.sql(f"UPDATE rotation SET created_at = 1, look_at = 1 WHERE key_id = {number} AND step = 3")
        assert rotations.run(node)["retired"] == 1
        assert switched()["rotates_at"] is None
        assert node.must("GET", "/v1/rotations?status=scheduled")["data"] == []


def test_a_reminder_names_the_networks_that_use_the_old_secret(build_directory):
    with Cluster(build_directory, "one", more=["listen.trusted_proxies=127.0.0.0/8"]) as cluster:
        node = cluster.nodes[0]
        key, old = rotations.signup(node)

        def called(secret, address, times=1):
            for _ in range(times):
                headers = {"X-API-Key": secret, "X-Forwarded-For": address}
                wait_for(lambda: request(node.gateway, "GET", "/v1/gateway", headers=headers).status == 200, "a call")

        def noted():
            return int(cluster.database.value("SELECT COUNT(*) FROM secret_network"))
        called(old, "192.0.2.9")  # before there is another one, nothing is noted
        wait_for(lambda: node.must("GET", f"/v1/keys/{key}")["last_used_ip"], "the fold")
        new = node.must("POST", f"/v1/keys/{key}/rotate")["secret"]
        # One network calls all the time, two seldom; and the new secret from a fourth.
        called(old, "198.51.100.7", 20)
        called(old, "203.0.113.200")
        called(old, "2001:db8:1:2:3::4")
        called(old, "198.51.100.8", 20)
        called(new, "192.0.2.77")
        wait_for(lambda: noted() == 3, "the fold")
        number = claims.number_of(key)
        cluster.database.sql("INSERT INTO rotation (key_id, generation, step, status, due_at, look_at, created_at)"
                             f" VALUES ({number}, 1, 100, 0, 1, 1, 1)")
        rotations.run(node)
        context = json.loads(cluster.database.value("SELECT context FROM outbox WHERE kind = 'old_secret_in_use'"))
        assert [row["network"] for row in context["networks"]] == [
            "198.51.100.0/24", "2001:db8:1:2::/64", "203.0.113.0/24"]
        assert all(row["last_used_at"] > 1 for row in context["networks"]) and "more_networks" not in context
        # However many there are, the mail names ten, and so many are noted.
        cluster.database.sql(f"INSERT INTO secret_network SELECT s.id, UNHEX(CONCAT('0A', LPAD(HEX(seq), 4, '0'), '00')),"
                             f" 9 FROM key_secret s JOIN seq_1_to_300 WHERE s.key_id = {number} AND s.version = 1")
        cluster.database.sql(f"UPDATE rotation SET look_at = 1, created_at = 1 WHERE key_id = {number} AND step = 101")
        called(old, "192.0.99.1")
        rotations.run(node)
        context = json.loads(cluster.database.value(
            "SELECT context FROM outbox WHERE kind = 'old_secret_in_use' AND number = 1"))
        assert len(context["networks"]) == 10 and context["more_networks"] == 293
        wait_for(lambda: node.must("GET", f"/v1/keys/{key}")["last_used_ip"].startswith("192.0.99.0"), "the fold")
        assert noted() == 303


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
