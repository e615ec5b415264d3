"""Events that name a charge or a Checkout Session: a dispute finds its customer, and who buys anew after a
cancellation is served by the new subscription, as Stripe and not the event says."""

import secrets
import time

import pytest

import claims
from daemon import Daemon, wait_for
from stripe_stand_in import StripeStandIn
from test_stripe import price_tiers, settings_of
from test_webhooks import becomes, customer, post, reconcile, settled, tell


@pytest.fixture(scope="module")
def stripe():
    with StripeStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def paid(build_directory, stripe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    daemon = Daemon(build_directory, settings_of(
        stripe, folder, "payment.on_dispute=lapse", "payment.reads_per_second=1000", "payment.reconcile=24h"))
    try:
        price_tiers(daemon.start())
        yield daemon
        assert daemon.stop() == 0, daemon.log()[-4000:]
    finally:
        daemon.close()


def disputed(stripe, sub, **more):
    charge = stripe.charge(sub, **more)
    charge["disputed"] = True
    return charge


def no_charge_waits(daemon):
    wait_for(lambda: claims.sql(daemon, "SELECT COUNT(*) FROM payment_charge") == [["0"]], "the charges to be asked for")


def stays(daemon, path, stripe, sub, **wanted):
    """What was told has been read, and changed nothing."""
    no_charge_waits(daemon)
    settle(daemon)
    becomes(daemon, path, **wanted)


def settle(daemon):
    wait_for(lambda: claims.sql(daemon, "SELECT COUNT(*) FROM payment_read WHERE urgent OR begun <> applied") == [["0"]],
             "the readings")


def test_a_dispute_finds_its_customer(paid, stripe):
    path, secret, sub = customer(paid, stripe)
    settled(stripe, sub)
    charge = disputed(stripe, sub)
    tell(paid, stripe, "charge.dispute.created", stripe.dispute(charge))
    becomes(paid, path, status="suspended")
    assert paid.gate_until(secret).status == 403
    no_charge_waits(paid)
    # The next period is paid, and then the dispute ends, however it does.
    with stripe.lock:
        item = stripe.subscriptions[sub["id"]]["items"]["data"][0]
        item["current_period_start"] = int(time.time()) + 5
        item["current_period_end"] = item["current_period_start"] + 30 * 86400
    tell(paid, stripe, "invoice.paid", stripe.invoices[sub["latest_invoice"]])
    becomes(paid, path, status="active")
    tell(paid, stripe, "charge.dispute.closed", stripe.dispute(charge))
    stays(paid, path, stripe, sub, status="active")


def test_a_dispute_about_something_else_ends_nothing(paid, stripe):
    path, secret, sub = customer(paid, stripe)
    other = stripe.subscribe("price_pro", customer=sub["customer"])
    settled(stripe, sub)
    lone = disputed(stripe, sub, for_invoice=False)
    lone["payment_intent"] = None  # made by the older call for what is paid once
    for charge in (disputed(stripe, other), disputed(stripe, sub, for_invoice=False), lone):
        tell(paid, stripe, "charge.dispute.created", stripe.dispute(charge))
        stays(paid, path, stripe, sub, status="active")
    # Not disputed, whatever the event says; and of nobody.
    tell(paid, stripe, "charge.dispute.created", stripe.dispute(stripe.charge(sub)))
    tell(paid, stripe, "charge.dispute.created", {**stripe.dispute(stripe.charge(sub)), "charge": "ch_nosuch"})
    stays(paid, path, stripe, sub, status="active")
    assert paid.gate_until(secret).status == 200


def test_a_dispute_outlives_an_outage_and_kill_9(paid, stripe):
    path, _, sub = customer(paid, stripe)
    settled(stripe, sub)
    stripe.fault = 500
    try:
        tell(paid, stripe, "charge.dispute.created", stripe.dispute(disputed(stripe, sub)))
        wait_for(lambda: claims.sql(paid, "SELECT COUNT(*) FROM payment_charge WHERE failures > 0") == [["1"]], "a failure")
        paid.kill()
    finally:
        stripe.fault = None
    paid.start()
    claims.sql(paid, "UPDATE payment_charge SET read_at = 1")  # the wait is over
    becomes(paid, path, status="suspended")


def over(paid, stripe, path, sub):
    """Cancelled, and what was paid is over."""
    stripe.change(sub, "canceled", invoice="paid")
    stripe.subscriptions[sub["id"]]["items"]["data"][0]["current_period_end"] = int(time.time()) - 1
    tell(paid, stripe, "customer.subscription.deleted", sub)
    becomes(paid, path, status="suspended")


def buys(stripe, name, price="price_enterprise", **more):
    session = stripe.checkout(price, client_reference_id=name, **more)
    return session, stripe.subscriptions[session["subscription"]]


def test_buying_anew_is_served_by_the_new_subscription(paid, stripe):
    path, secret, sub = customer(paid, stripe)
    settled(stripe, sub)
    name = paid.must("GET", path)["external_id"]
    over(paid, stripe, path, sub)
    assert paid.gate_until(secret).status == 403
    session, new = buys(stripe, name)
    tell(paid, stripe, "checkout.session.completed", session)
    shown = becomes(paid, path, status="active", tier="enterprise", payment_status="active")
    assert shown["payment"]["reference"] == session["id"]
    assert paid.gate_until(secret).status == 200
    record = paid.must("GET", "/v1/audit?action=customer.entitlement&limit=1")["data"][0]
    assert record["detail"]["before"]["status"] == "suspended" and record["detail"]["after"]["tier"] == "enterprise"
    # Its events are heard, by the new subscription and the new customer at Stripe.
    stripe.change(new, "past_due")
    tell(paid, stripe, "invoice.payment_failed", stripe.invoices[new["latest_invoice"]])
    becomes(paid, path, status="past_due")
    # The old one pays for nobody, the new one for nobody else.
    answer = paid.call("POST", "/v1/signups", {"external_id": "other-" + secrets.token_hex(4), "email": "b@example.com",
                                               "tier": "enterprise", "payment": {"reference": new["id"]}})
    assert answer.status in (402, 409)


def test_bought_before_the_old_one_has_ended_it_waits_for_that(paid, stripe):
    path, secret, sub = customer(paid, stripe)
    settled(stripe, sub)
    session, _ = buys(stripe, paid.must("GET", path)["external_id"])
    tell(paid, stripe, "checkout.session.completed", session)
    stays(paid, path, stripe, sub, tier="pro", payment_reference=sub["id"])
    # What is bought once takes its place as little as what the same payer buys for somebody else.
    tell(paid, stripe, "checkout.session.completed", {**session, "id": "cs_test_once", "mode": "payment", "subscription": None})
    neighbour, _ = buys(stripe, "neighbour-" + secrets.token_hex(4), customer=sub["customer"])
    tell(paid, stripe, "checkout.session.completed", neighbour)
    stays(paid, path, stripe, sub, tier="pro", payment_reference=sub["id"])
    stripe.change(sub, "canceled", invoice="paid")
    tell(paid, stripe, "customer.subscription.deleted", sub)
    becomes(paid, path, tier="enterprise", payment_reference=session["id"], status="active")
    assert paid.gate_until(secret).status == 200


def test_what_does_not_prove_itself_moves_nothing(paid, stripe):
    path, _, sub = customer(paid, stripe)
    settled(stripe, sub)
    name = paid.must("GET", path)["external_id"]
    over(paid, stripe, path, sub)
    _, _, foreign = customer(paid, stripe)
    taken, _ = buys(stripe, name)
    taken["subscription"] = foreign["id"]  # pays for another customer
    lied, _ = buys(stripe, "somebody-else")
    unpaid_, new = buys(stripe, name)
    stripe.change(new, "past_due")
    unpriced, _ = buys(stripe, name, "price_other")
    opened = stripe.checkout(client_reference_id=name, status="open")
    by_customer, _ = buys(stripe, None, customer=sub["customer"])
    nowhere = {**taken, "id": "cs_test_nosuch"}
    for session in (taken, lied, unpaid_, unpriced, opened, by_customer, nowhere):
        # The event says that it is this customer's, whatever Stripe says.
        answer = post(paid, *stripe.event("checkout.session.completed", {**session, "client_reference_id": name}))
        assert answer.status == 200
        settle(paid)
        shown = becomes(paid, path, status="suspended")
        assert shown["payment"]["reference"] == sub["id"], session
    assert not any(row["changed"] for row in reconcile(paid, dry=True) if row["customer_id"] == path.split("/")[-1])
