"""An API key of another account, or of the other mode, finds none of the payments: that ends nobody's entitlement."""

import secrets

import pytest

from daemon import Daemon, wait_for
from stripe_stand_in import API_KEY, StripeStandIn
from test_payment_events import disputed
from test_stripe import price_tiers, settings_of
from test_webhooks import becomes, customer, reconcile, settled, tell


@pytest.fixture(scope="module")
def stripe():
    with StripeStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("account")


@pytest.fixture(scope="module")
def paid(build_directory, stripe, folder):
    daemon = Daemon(build_directory, settings_of(stripe, folder, "payment.on_dispute=lapse"))
    try:
        price_tiers(daemon.start())
        yield daemon
        assert daemon.stop() == 0, daemon.log()[-4000:]
    finally:
        daemon.close()


def read(daemon, path):
    """What the customer's payment is after it was read; not while the provider is left alone."""
    return next((row["after"]["payment"] for row in reconcile(daemon)
                 if row["customer_id"] == path.split("/")[-1] and row["read"]), None)


@pytest.mark.parametrize("mode, told", [("test", "of another account?"), ("live", "of the other mode")])
def test_nobody_ends_by_a_strangers_word(paid, stripe, folder, mode, told):
    path, secret, sub = customer(paid, stripe)
    settled(stripe, sub)
    stranger = f"sk_{mode}_" + secrets.token_hex(12)
    stripe.strangers[stranger] = mode
    (folder / "key").write_text(stranger + "\n")
    try:
        if mode == "live":
            # Whoever is known by that key changes nothing: Stripe says that the payment is elsewhere.
            stripe.strangers.pop(stranger)
            stripe.keys.add(stranger)
            assert wait_for(lambda: read(paid, path), "the customer to be read") == "active"
            stripe.keys.remove(stranger)
            stripe.strangers[stranger] = mode
        rows = reconcile(paid)
        assert rows and not any(row["read"] or row["changed"] for row in rows), rows
        assert told in paid.log()
        assert paid.call("POST", "/v1/signups", {
            "external_id": "new", "email": "a@example.com", "tier": "pro",
            "payment": {"reference": sub["id"]}}).status == 402
    finally:
        (folder / "key").write_text(API_KEY + "\n")
    shown = paid.must("GET", path)
    assert (shown["tier"], shown["payment"]["status"]) == ("pro", "active")
    assert paid.gate_until(secret).status == 200
    assert wait_for(lambda: read(paid, path), "the customer to be read", 40) == "active"


def test_a_dispute_outlives_a_strangers_key(paid, stripe, folder):
    path, _, sub = customer(paid, stripe)
    settled(stripe, sub)
    charge = disputed(stripe, sub)
    stranger = "sk_test_" + secrets.token_hex(12)
    stripe.strangers[stranger] = "test"
    (folder / "key").write_text(stranger + "\n")
    try:
        tell(paid, stripe, "charge.dispute.created", stripe.dispute(charge))
        wait_for(lambda: any(charge["id"] in call for call in stripe.calls), "the charge to be asked for")
    finally:
        (folder / "key").write_text(API_KEY + "\n")
    becomes(paid, path, status="suspended")
