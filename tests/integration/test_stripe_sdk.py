"""Stripe's own Node SDK reads the stand-in, and what its generator signs is taken: so the shapes and
signatures that the tests of payment go by are Stripe's.

Wants node and the SDK in build/npm, by scripts/dependencies; without them the totals say NOT RUN."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from daemon import Daemon
from stripe_stand_in import API_KEY, VERSION, StripeStandIn
from test_stripe import price_tiers, settings_of
from test_webhooks import becomes, customer, post, settled


@pytest.fixture(scope="module")
def sdk(source_directory):
    """The folder that the SDK is found from."""
    folder = source_directory / "build" / "npm"
    if not shutil.which("node"):
        pytest.skip("NOT RUN: stripe-sdk: no node on the PATH")
    if not (folder / "node_modules" / "stripe").is_dir():
        pytest.skip("NOT RUN: stripe-sdk: it has not been fetched (scripts/dependencies test)")
    return folder


def test_the_sdk_understands_the_stand_in(sdk, build_directory, tmp_path):
    with StripeStandIn() as stripe:
        daemon = Daemon(build_directory, settings_of(stripe, tmp_path))
        try:
            price_tiers(daemon.start())
            path, _, sub = customer(daemon, stripe)
            settled(stripe, sub)
            session = stripe.checkout(client_reference_id="acme")
            charge = stripe.charge(sub)
            stripe.change(sub, "past_due")
            headers, body = stripe.event("customer.subscription.updated", sub)
            asked = {"url": stripe.url, "key": API_KEY, "version": VERSION, "session": session["id"],
                     "subscription": sub["id"], "customer": sub["customer"], "charge": charge["id"],
                     "payload": body.decode(), "header": headers["Stripe-Signature"],
                     "secrets": stripe.webhook_secrets}
            done = subprocess.run(["node", str(Path(__file__).with_name("stripe_sdk.js")), str(sdk)],
                                  input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            seen = json.loads(done.stdout)
            assert seen["session"] == {"client": "acme", "subscription": session["subscription"], "invoice": "paid"}
            item = sub["items"]["data"][0]
            assert seen["subscription"] == {"status": "past_due", "price": "price_pro",
                                            "end": item["current_period_end"], "invoice": "open"}
            assert seen["listed"] == [sub["id"]] and seen["charge"] is False
            assert seen["payments"] == [sub["id"]]
            assert seen["missing"] == ["StripeInvalidRequestError", "resource_missing", 404]
            assert seen["wrong"] == ["StripeAuthenticationError", 401]
            assert seen["event"] == ["customer.subscription.updated", sub["id"]]
            signed = {"Stripe-Signature": seen["headers"][0], "Content-Type": "application/json"}
            assert post(daemon, signed, body).json == {"received": True, "duplicate": False}
            becomes(daemon, path, payment_status="past_due")
        finally:
            daemon.close()
