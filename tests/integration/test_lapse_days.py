"""60 days of a faked clock, day by day: a payment that fails and comes back, one that is cancelled, an
approval that ends. Each is told once, and what one node has shown the next verify on the other obeys."""

import contextlib
import secrets
from collections import Counter
from datetime import datetime, timezone

import pytest

import claims
import mails
from daemon import request, wait_for
from faked_clock import DAY, HOUR, FakedClock
from nodes import Cluster
from stripe_stand_in import StripeStandIn
from test_stripe import price_tiers, settings_of

KINDS = ("payment_failed", "payment_restored", "payment_ending", "suspended", "downgraded")
LIMITS = {"free": 1000, "pro": 100000, "enterprise": None}


def time_text(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Payer:
    """A customer, what it should be on each day, and the units that it was let."""

    def __init__(self, life, tier, phases, news, more_keys=0, approved_until=None):
        """phases: (from day, status, tier, how many keys work). news: (day, kind)."""
        self.life, self.phases, self.news = life, phases, news
        self.sub = None if approved_until else life.stripe.subscribe(f"price_{tier}")
        body = {"external_id": "payer-" + secrets.token_hex(6), "email": f"{secrets.token_hex(6)}@example.com",
                "tier": "free" if approved_until else tier}
        if self.sub:
            body["payment"] = {"reference": self.sub["id"]}
        made = life.node.must("POST", "/v1/signups", body)
        self.id, self.path = made["customer"]["id"], f"/v1/customers/{made['customer']['id']}"
        self.secrets, self.keys, self.let = [made["secret"]], [made["key"]["id"]], []
        if approved_until:
            self.approve(tier, approved_until)
        for n in range(more_keys):
            key = life.node.must("POST", "/v1/keys", {"customer_id": self.id, "title": f"more {n}"})
            self.secrets.append(key["secret"])
            self.keys.append(key["id"])

    def approve(self, tier, day):
        self.life.node.must("POST", self.path + "/payment-approvals", {
            "tier": tier, "until": time_text(self.life.begin + day * DAY + HOUR), "note": "Order 4711"})

    def phase(self, day):
        return [phase for phase in self.phases if phase[0] <= day][-1][1:]

    def verify(self, node, secret, cost=0):
        def asked():
            answer = node.call("POST", "/v1/verify", {"key": secret, "cost": cost})
            return answer.json["code"] if answer.status == 200 else None
        return wait_for(asked, "a verdict")

    def codes(self, node):
        return [self.verify(node, secret) for secret in self.secrets]

    def wanted_codes(self, day):
        working = self.phase(day)[2]
        return ["VALID"] * working + ["SUSPENDED"] * (len(self.secrets) - working)

    def turns(self, day):
        """Waits until one node shows the day's state; from then on all nodes obey."""
        status, tier, _ = self.phase(day)
        def shown():
            now = self.life.node.must("GET", self.path)
            return (now["status"], now["tier"]) == (status, tier)
        wait_for(shown, f"{self.path} to be {status} {tier} on day {day}")
        for node in self.life.cluster.nodes[::-1]:
            assert self.codes(node) == self.wanted_codes(day), day

    def look(self, day):
        """All that can be seen of a day."""
        status, tier, working = self.phase(day)
        node = self.life.cluster.nodes[day % 2]
        if working and self.verify(node, self.secrets[0], cost=3) == "VALID":
            self.let.append((self.life.now(), 3))
        shown = node.must("GET", self.path)
        assert (shown["status"], shown["tier"]) == (status, tier), day
        quota = shown["quota"]
        assert quota["limit"] == LIMITS[tier], day
        assert seconds_of(quota["period_start"]) <= self.life.now() < seconds_of(quota["resets_at"])
        begun = seconds_of(quota["period_start"])
        assert quota["used"] == sum(units for at, units in self.let if at >= begun), (day, quota, self.let)
        for one in self.life.cluster.nodes:
            assert self.codes(one) == self.wanted_codes(day), day
        states = [node.must("GET", f"/v1/keys/{key}")["status"] for key in self.keys]
        assert states == ["active"] * working + ["suspended"] * (len(states) - working), day
        if status == "suspended":
            assert node.call("POST", "/v1/keys", {"customer_id": self.id}).status == 402
        told = Counter(kind for at, kind in self.news if at <= day)
        assert self.mails() == told, (day, self.mails(), told)

    def mails(self):
        rows = self.life.node.must("GET", f"/v1/notifications?customer_id={self.id}&limit=200")["data"]
        return Counter(row["kind"] for row in rows if row["kind"] in KINDS)


class Life:
    def __init__(self, cluster, clock, stripe):
        self.cluster, self.clock, self.stripe = cluster, clock, stripe
        self.node, self.begin, self.day = cluster.nodes[0], clock.now_ms() / 1000, 0

    def now(self):
        return self.clock.now_ms() / 1000

    def settle(self):
        """Until nothing is due, neither a reading nor the clock's work."""
        due = ("SELECT (SELECT COUNT(*) FROM payment_read WHERE urgent OR begun <> applied OR read_at <= {0})"
               " + (SELECT COUNT(*) FROM entitlement WHERE look_at <= {0})")
        try:
            wait_for(lambda: self.cluster.database.value(due.format(self.clock.now_ms())) == "0",
                     f"what is due on day {self.day}")
        except AssertionError as error:
            raise AssertionError(self.clock.now_ms(), self.cluster.database.sql("SELECT * FROM payment_read")) from error

    def move(self, seconds):
        self.clock.move(seconds)
        self.settle()

    def tell(self, payer, kind, **changes):
        """At Stripe, and told three times over, to either node."""
        self.stripe.change(payer.sub, **changes)
        thing = self.stripe.invoices[payer.sub["latest_invoice"]] if kind.startswith("invoice") else payer.sub
        for n in range(3):
            headers, body = self.stripe.event(kind, thing)
            answer = request(self.cluster.nodes[n % 2].api, "POST", "/v1/payments/stripe/webhook", body, headers)
            assert answer.status == 200, answer

    def records(self):
        return int(self.cluster.database.value("SELECT COUNT(*) FROM audit WHERE action = 'customer.entitlement'"))


@pytest.fixture
def life(build_directory, tmp_path):
    (tmp_path / "mail").mkdir()
    with contextlib.closing(FakedClock(build_directory / "keymeterd")) as clock, StripeStandIn() as stripe:
        stripe.clock = lambda: clock.now_ms() / 1000
        more = settings_of(stripe, tmp_path, "node.trust_clock=yes", "payment.grace_days=7",
                           f"mail.url=maildir:{tmp_path}/mail", "mail.from=Example <keys@example.com>")
        with Cluster(build_directory, "one", "two", environment=clock.environment, more=more) as cluster:
            cluster.mail = mails.Maildir(tmp_path / "mail")
            price_tiers(cluster.nodes[0])
            tier = cluster.nodes[0].must("GET", "/v1/tiers/enterprise")
            cluster.nodes[0].must("PUT", "/v1/tiers/enterprise", {**tier, "on_lapse": "free"})
            yield Life(cluster, clock, stripe)


def test_sixty_days(life):
    held = Payer(life, "pro", [(0, "active", "pro", 1), (30, "past_due", "pro", 1), (37, "suspended", "pro", 0),
                               (52, "active", "pro", 1)],
                 [(30, "payment_failed"), (37, "suspended"), (52, "payment_restored")])
    fell = Payer(life, "enterprise", [(0, "active", "enterprise", 3), (30, "past_due", "enterprise", 3),
                                      (37, "active", "free", 1), (52, "active", "enterprise", 3)],
                 [(30, "payment_failed"), (37, "downgraded"), (52, "payment_restored")], more_keys=2)
    quit_ = Payer(life, "pro", [(0, "active", "pro", 1), (30, "suspended", "pro", 0), (48, "active", "pro", 1)],
                  [(16, "payment_ending"), (27, "payment_ending"), (30, "suspended"), (48, "payment_restored")])
    lent = Payer(life, "pro", [(0, "active", "pro", 1), (46, "suspended", "pro", 0), (50, "active", "pro", 1)],
                 [(32, "payment_ending"), (43, "payment_ending"), (46, "suspended"), (50, "payment_restored")],
                 approved_until=45)
    payers = [held, fell, quit_, lent]
    turns = {5, 16, 27, 30, 32, 37, 43, 46, 48, 50, 52, 60}
    for day in range(61):
        known = life.records()
        if day:
            if day == 37:  # an hour before the grace is over, all is as it was
                life.move(DAY - HOUR)
                assert held.codes(life.cluster.nodes[1]) == ["VALID"] and fell.phase(36)[2] == 3
                life.day = day
                life.clock.move(HOUR)
            else:
                life.day = day
                life.clock.move(DAY)
        if day == 5:  # to the end of what was paid
            life.tell(quit_, "customer.subscription.deleted", status="canceled", invoice="paid")
        if day in (30, 60):
            for payer in (held, fell):
                life.tell(payer, *(["invoice.payment_failed"] if day == 30 else ["invoice.paid"]), renew=True,
                          status="past_due" if day == 30 else "active")
        if day == 48:
            quit_.sub = life.stripe.subscribe("price_pro")
            life.node.must("PATCH", quit_.path, {"payment": {"reference": quit_.sub["id"]}})
        if day == 50:
            lent.approve("pro", 90)
        if day == 52:
            for payer in (held, fell):
                life.tell(payer, "invoice.paid", status="active")
        for payer in payers:
            payer.turns(day)
        life.settle()
        for payer in payers:
            payer.look(day)
        assert day in turns or life.records() == known, day
    # Delivered, each once: what the notifications say is what lies in the mailbox.
    mails.all_sent(life.cluster)
    assert life.cluster.database.value("SELECT COUNT(*) FROM outbox WHERE attempts <> 1") == "0"
    assert len(life.cluster.mail.files()) == int(life.cluster.database.value("SELECT COUNT(*) FROM outbox"))
