"""kill -9 at every statement of the transactions of payment, and between a commit and its answer: what
stands after the restart is the one before or the one behind, whole, and is obeyed."""

import contextlib
import os
import secrets

import pytest

import claims
from daemon import request, wait_for
from stripe_stand_in import StripeStandIn
from test_rotation_kill import kill_within, quietly, started, works
from test_stripe import price_tiers, settings_of

EVENT = b"INSERT INTO provider_event"
LOCK = b"FROM customer WHERE id = ? AND deleted_at IS NULL FOR UPDATE"
CLOCK = b"deleted_at IS NULL FOR UPDATE SKIP LOCKED"
STATEMENTS_MAX = 80
# The suite stops at each fifth statement; tests/fault/payment_kills at all.
EACH = int(os.environ.get("KEYMETER_KILL_EACH", "5"))
OWED = {"tier": "enterprise", "status": "past_due", "payment": "past_due", "keys": ["0", "0"]}
FULL = {"tier": "enterprise", "status": "active", "payment": "active", "keys": ["0", "0"]}
SMALL = {"tier": "pro", "status": "active", "payment": "active", "keys": ["0", "1"]}
HELD = {"tier": "enterprise", "status": "suspended", "payment": "past_due", "keys": ["0", "0"]}


class Side:
    """The node, its database, the stand-in for Stripe, and the customer at hand."""

    def __init__(self, cluster, relay, stripe):
        self.cluster, self.node, self.relay, self.stripe = cluster, cluster.nodes[0], relay, stripe
        self.sub = self.number = self.path = self.secrets = None

    def value(self, text):
        return self.cluster.database.value(text)

    def sign_up(self):
        self.sub = self.stripe.subscribe("price_enterprise")
        made = self.node.must("POST", "/v1/signups", {
            "external_id": "payer-" + secrets.token_hex(6), "email": "a@example.com", "tier": "enterprise",
            "payment": {"reference": self.sub["id"]}})
        self.path, self.number = f"/v1/customers/{made['customer']['id']}", claims.number_of(made["customer"]["id"])
        second = self.node.must("POST", "/v1/keys", {"customer_id": made["customer"]["id"], "title": "second"})
        self.secrets = [made["secret"], second["secret"]]
        self.lease_over()  # it is read once more by itself, which is not waited for here
        self.settle()

    def settle(self):
        """Until all that is due has been read."""
        wait_for(lambda: self.value("SELECT COUNT(*) FROM payment_read WHERE urgent OR begun <> applied"
                                    " OR read_at <= 1") == "0",
                 "the readings")

    def lease_over(self):
        """What the dead one read is due again, as it is after a minute."""
        self.cluster.database.sql(f"UPDATE payment_read SET read_at = 1 WHERE customer_id = {self.number}")

    def event(self, kind="customer.subscription.updated"):
        return self.stripe.event(kind, self.sub)

    def send(self, event):
        return request(self.node.api, "POST", "/v1/payments/stripe/webhook", event[1], event[0])

    def change(self, **changes):
        """At Stripe, and heard of."""
        self.stripe.change(self.sub, **changes)
        assert self.send(self.event()).status == 200
        self.settle()

    def stands(self):
        keys = self.cluster.database.sql(  # one statement: one moment
            "SELECT k.tier, k.suspended, k.held, e.tier, e.status, e.payment_status FROM api_key k"
            f" JOIN entitlement e ON e.customer_id = k.customer_id WHERE k.customer_id = {self.number} ORDER BY k.id")
        tier, status, payment = keys[0][3:]
        assert {key[0] for key in keys} == {tier} and {key[2] for key in keys} == {str(int(status == "suspended"))}
        return {"tier": tier, "status": status, "payment": payment, "keys": [key[1] for key in keys]}

    def told(self):
        """Records and mails of changes so far."""
        customer = self.path.rsplit("/", 1)[-1]
        return [int(self.value(text)) for text in (
            f"SELECT COUNT(*) FROM audit WHERE subject = '{customer}' AND action = 'customer.entitlement'",
            f"SELECT COUNT(*) FROM outbox WHERE customer_id = {self.number} AND kind IN ('payment_failed',"
            " 'payment_restored', 'suspended', 'downgraded')")]

    def obeyed(self, state):
        """What the table says, a verify says."""
        for secret, suspended in zip(self.secrets, state["keys"]):
            good = suspended == "0" and state["status"] != "suspended"
            assert works(self.node, secret) == good, (state, suspended)
        shown = self.node.must("GET", self.path)
        assert (shown["tier"], shown["status"]) == (state["tier"], state["status"])


@contextlib.contextmanager
def opened(build_directory, folder, first):
    (folder / "mail").mkdir()
    with StripeStandIn() as stripe:
        more = settings_of(stripe, folder, f"mail.url=maildir:{folder}/mail", "payment.reconcile=24h",
                           "mail.from=Example <keys@example.com>", "payment.downgrade=at_once")
        with started(build_directory, first, more) as (cluster, node, relay):
            price_tiers(node)
            pro = node.must("GET", "/v1/tiers/pro")
            node.must("PUT", "/v1/tiers/pro", {**pro, "max_keys": 1})
            yield Side(cluster, relay, stripe)


def storm(side, prepare, act, before, after, news, again=None):
    """At each statement in turn: prepared, acted on and killed, looked at, done again, looked at. Without
    `again` the daemon does it by itself when it has started."""
    stop_at, more, stopped, left = 1, True, 0, []
    while more:
        side.sign_up()
        prepare()
        assert side.stands() == before
        told = side.told()
        whole = [told[0] + 1, told[1] + news]
        more = kill_within(side.cluster, side.node, side.relay, stop_at, quietly(act),
                           lambda: left.append((side.stands(), side.told())))
        assert left.pop() == ((before, told) if more else (after, whole)), stop_at
        if again:
            assert side.stands() == (before if more else after), stop_at
            side.obeyed(before if more else after)
            again()
        wait_for(lambda: side.stands() == after, f"what was killed at {stop_at} to be done")
        side.settle()
        assert side.told() == whole, stop_at
        side.obeyed(after)
        stopped += more
        stop_at += EACH
        assert stop_at < STATEMENTS_MAX
    assert stopped >= 10 // EACH  # it was really stopped within


def test_an_event_is_taken_whole_or_not(build_directory, tmp_path):
    with opened(build_directory, tmp_path, EVENT) as side:
        stop_at, more = 1, True
        while more:
            side.sign_up()
            side.stripe.change(side.sub, "past_due")
            event = side.event("customer.subscription.updated")
            more = kill_within(side.cluster, side.node, side.relay, stop_at, quietly(lambda: side.send(event)))
            if more:
                assert side.stands() == FULL
                assert side.value("SELECT COUNT(*) FROM payment_read WHERE urgent") == "0"
            else:  # it is acted on, although nobody heard that it was taken
                wait_for(lambda: side.stands() == OWED, "the event to act")
            answer = side.send(event)
            assert answer.status == 200 and answer.json["duplicate"] == (not more), (stop_at, answer)
            wait_for(lambda: side.stands() == OWED, "the event to act")
            side.settle()
            assert side.told() == [1, 1], stop_at
            side.obeyed(OWED)
            stop_at += 1
        assert stop_at > 3  # it was really stopped within


@pytest.mark.parametrize("what", ["failed", "smaller", "larger", "restored"])
def test_a_reading_is_applied_whole_or_not(build_directory, tmp_path, what):
    """What a webhook led to: the first lock of it to its commit's answer."""
    first = {"larger": {"price": "price_pro"}, "restored": {"status": "past_due"}}.get(what)
    then = {"failed": {"status": "past_due"}, "smaller": {"price": "price_pro"},
            "larger": {"price": "price_enterprise"}, "restored": {"status": "active"}}[what]
    before = {"larger": SMALL, "restored": OWED}.get(what, FULL)
    after = {"failed": OWED, "smaller": SMALL}.get(what, FULL)
    news = 0 if what == "larger" else 1
    with opened(build_directory, tmp_path, LOCK) as side:
        def act():
            side.stripe.change(side.sub, **then)
            side.send(side.event())
        storm(side, lambda: first and side.change(**first), act, before, after, news, side.lease_over)


def test_the_end_of_a_grace_is_whole_or_not(build_directory, tmp_path):
    with opened(build_directory, tmp_path, CLOCK) as side:
        def act():
            side.cluster.database.sql("UPDATE entitlement SET grace_until = 1, look_at = 1"
                                      f" WHERE customer_id = {side.number}")
        storm(side, lambda: side.change(status="past_due"), act, OWED, HELD, 1)


def test_an_upgrade_by_a_call_is_whole_or_not(build_directory, tmp_path):
    with opened(build_directory, tmp_path, LOCK) as side:
        def prepare():
            side.change(price="price_pro")
            side.stripe.change(side.sub, price="price_enterprise")  # the event of it is lost

        def act():
            return side.node.call("PATCH", side.path, {"tier": "enterprise"})

        def again():
            assert act().status == 200
        storm(side, prepare, act, SMALL, FULL, 0, again)
