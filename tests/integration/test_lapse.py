"""From a failed payment to suspension or to free, and back: each told once, obeyed by the next verify."""

import secrets
import time

import pytest

import claims
from daemon import Daemon, wait_for
from stripe_stand_in import StripeStandIn
from test_stripe import price_tiers, settings_of
from test_webhooks import becomes, customer, tell


@pytest.fixture(scope="module")
def stripe():
    with StripeStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def paid(build_directory, stripe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lapse")
    (folder / "mail").mkdir()
    daemon = Daemon(build_directory, settings_of(
        stripe, folder, f"mail.url=maildir:{folder}/mail", "mail.from=Example <keys@example.com>"))
    try:
        price_tiers(daemon.start())
        yield daemon
        assert daemon.stop() == 0, daemon.log()[-4000:]
    finally:
        daemon.close()


def time_comes(daemon, path):
    """What the entitlement waits for is due now."""
    number = claims.number_of(path.split("/")[-1])
    claims.sql(daemon, "UPDATE entitlement SET grace_until = 1, look_at = 1"
                       f" WHERE customer_id = {number} AND look_at IS NOT NULL")


def mails(daemon, path):
    rows = daemon.must("GET", f"/v1/notifications?customer_id={path.split('/')[-1]}")["data"]
    kinds = ("payment_failed", "suspended", "downgraded", "payment_restored", "payment_ending")
    return sorted(row["kind"] for row in rows if row["kind"] in kinds)


def fail(daemon, stripe, path, sub):
    stripe.change(sub, "past_due")
    for _ in range(3):  # told of more than once
        tell(daemon, stripe, "invoice.payment_failed", stripe.invoices[sub["latest_invoice"]])
    shown = becomes(daemon, path, status="past_due")
    assert shown["payment"]["grace_until"]


def test_suspended_and_back(paid, stripe):
    path, secret, sub = customer(paid, stripe)
    fail(paid, stripe, path, sub)
    assert paid.gate_until(secret).status == 200
    time_comes(paid, path)
    becomes(paid, path, status="suspended", tier="pro")
    assert paid.gate_until(secret).status == 403
    assert paid.must("POST", "/v1/verify", {"key": secret})["code"] == "SUSPENDED"
    stripe.change(sub, "active")
    tell(paid, stripe, "invoice.paid", stripe.invoices[sub["latest_invoice"]])
    becomes(paid, path, status="active", payment_grace_until=None)
    assert paid.gate_until(secret).status == 200
    assert mails(paid, path) == ["payment_failed", "payment_restored", "suspended"]
    fail(paid, stripe, path, sub)  # and the next time it is told again
    assert mails(paid, path).count("payment_failed") == 2


def test_to_free_and_back(paid, stripe):
    tier = paid.must("GET", "/v1/tiers/enterprise")
    paid.must("PUT", "/v1/tiers/enterprise", {**tier, "on_lapse": "free"})
    path, secret, sub = customer(paid, stripe, "price_enterprise", "enterprise")
    second = paid.must("POST", "/v1/keys", {"customer_id": path.split("/")[-1], "title": secrets.token_hex(4)})
    fail(paid, stripe, path, sub)
    time_comes(paid, path)
    shown = becomes(paid, path, status="active", tier="free")
    assert shown["quota"]["limit"] == 1000
    assert paid.gate_until(secret).status == 200  # the oldest key stays
    assert paid.gate_until(second["secret"]).status == 403
    stripe.change(sub, "active")
    tell(paid, stripe, "invoice.paid", stripe.invoices[sub["latest_invoice"]])
    becomes(paid, path, tier="enterprise", status="active")
    assert paid.gate_until(second["secret"]).status == 200
    assert mails(paid, path) == ["downgraded", "payment_failed", "payment_restored"]


def test_a_short_approval_is_told_at_once(paid):
    made = paid.signup("free")
    path, number = f"/v1/customers/{made['customer']['id']}", made["customer"]["id"]

    def approve(days):
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86400))
        paid.must("POST", path + "/payment-approvals", {"tier": "pro", "until": until})
        return [row["kind"] for row in paid.must("GET", "/v1/alerts?status=open")["data"] if row["subject"] == number]
    assert approve(2) == ["approval_ending"]
    assert approve(90) == []
    wait_for(lambda: mails(paid, path) == ["payment_ending"], "the reminder")


def test_an_approval_ends(paid):
    made = paid.signup("free")
    path = f"/v1/customers/{made['customer']['id']}"
    paid.must("POST", path + "/payment-approvals", {"tier": "pro", "until": "2036-01-01T00:00:00Z"})
    number = claims.number_of(made["customer"]["id"])
    ends_at = int(time.time() * 1000) + 2 * 86400 * 1000
    claims.sql(paid, f"UPDATE entitlement SET look_at = 1, grace_until = {ends_at}"
                     f" WHERE customer_id = {number}")
    wait_for(lambda: mails(paid, path) == ["payment_ending"], "the reminder")
    alerts = paid.must("GET", "/v1/alerts?status=open")["data"]
    assert [row["kind"] for row in alerts if row["subject"] == made["customer"]["id"]] == ["approval_ending"]
    time_comes(paid, path)
    becomes(paid, path, status="suspended")
    assert paid.gate_until(made["secret"]).status == 403
