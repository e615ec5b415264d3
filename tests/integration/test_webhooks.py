"""Webhooks and reconciliation: an event says whom to read again, and what is read is obeyed."""

import base64
import hashlib
import hmac
import json
import os
import random
import secrets
import time

import pytest

import claims
from daemon import Daemon, request, wait_for
from stripe_stand_in import StripeStandIn
from test_stripe import price_tiers, settings_of

HOOK = "/v1/payments/stripe/webhook"


@pytest.fixture(scope="module")
def stripe():
    with StripeStandIn() as stand_in:
        stand_in.webhook_secrets.append("whsec_" + secrets.token_hex(16))  # one is being rolled
        yield stand_in


@pytest.fixture(scope="module")
def paid(build_directory, stripe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("webhooks")
    daemon = Daemon(build_directory, settings_of(
        stripe, folder, "payment.on_refund=lapse", "payment.reads_per_second=1000"))
    try:
        price_tiers(daemon.start())
        yield daemon
        assert daemon.stop() == 0, daemon.log()[-4000:]
    finally:
        daemon.close()


def customer(daemon, stripe, price="price_pro", tier="pro", **more):
    """A paying customer with its subscription: (path, secret, subscription)."""
    sub = stripe.subscribe(price, **more)
    made = daemon.must("POST", "/v1/signups", {
        "external_id": "payer-" + secrets.token_hex(6), "email": "a@example.com", "tier": tier,
        "payment": {"reference": sub["id"]}})
    return f"/v1/customers/{made['customer']['id']}", made["secret"], sub


def settled(stripe, sub):
    """Waits for the reading that follows a sign-up by itself."""
    wait_for(lambda: sum(sub["id"] in call for call in stripe.calls) > 1, "the reading behind the sign-up")


def post(daemon, headers, body, path=HOOK):
    return request(daemon.api, "POST", path, body, headers)


def tell(daemon, stripe, kind, thing, **more):
    answer = post(daemon, *stripe.event(kind, thing, **more))
    assert answer.status == 200, answer
    return answer.json


def becomes(daemon, path, **wanted):
    """Waits until the customer's members are so; payment_… looks into payment."""
    def now():
        shown = daemon.must("GET", path)
        shown.update({f"payment_{name}": value for name, value in shown["payment"].items()})
        return all(shown[name] == value for name, value in wanted.items()) and shown
    return wait_for(now, f"{path} to become {wanted}", 20)


def test_a_status_acts_on_the_next_verify(paid, stripe):
    path, secret, sub = customer(paid, stripe)
    assert paid.gate_until(secret).status == 200
    stripe.change(sub, "past_due")
    tell(paid, stripe, "invoice.payment_failed", stripe.invoices[sub["latest_invoice"]])
    shown = becomes(paid, path, status="past_due", payment_status="past_due")
    assert shown["payment"]["grace_until"] and paid.gate_until(secret).status == 200
    # Refunded: ends at once, here.
    charge = stripe.charge(sub)
    charge["refunded"] = True
    stripe.change(sub, "active")
    tell(paid, stripe, "charge.refunded", charge)
    becomes(paid, path, status="suspended")
    denied = paid.gate_until(secret)
    assert denied.status == 403, denied
    assert paid.must("POST", "/v1/verify", {"key": secret})["code"] == "SUSPENDED"
    assert paid.call("POST", "/v1/keys", {"customer_id": path.split("/")[-1]}).status == 402
    # The next period is paid.
    with stripe.lock:
        item = stripe.subscriptions[sub["id"]]["items"]["data"][0]
        item["current_period_start"] = int(time.time()) + 5
        item["current_period_end"] = item["current_period_start"] + 30 * 86400
    tell(paid, stripe, "invoice.paid", stripe.invoices[sub["latest_invoice"]])
    becomes(paid, path, status="active")
    assert paid.gate_until(secret).status == 200


def test_of_two_charges_told_at_once_each_is_looked_at(paid, stripe):
    path, _, sub = customer(paid, stripe)
    settled(stripe, sub)
    stripe.fault = 500  # so that neither can be looked at before the other has come
    try:
        for charge in (stripe.charge(sub), stripe.charge(sub, for_invoice=False)):
            charge["refunded"] = True
            tell(paid, stripe, "charge.refunded", charge)
        number = claims.sql(paid, f"SELECT customer_id FROM entitlement WHERE resolved_reference = '{sub['id']}'")[0][0]
        failed = f"SELECT COUNT(*) FROM payment_read WHERE customer_id = {number} AND failures > 0"
        wait_for(lambda: claims.sql(paid, failed) == [["1"]], "a failure")
    finally:
        stripe.fault = None
    becomes(paid, path, status="suspended")
    wait_for(lambda: claims.sql(paid, "SELECT COUNT(*) FROM payment_charge") == [["0"]], "the other one")


def test_upgrade_and_downgrade_fit_the_keys(paid, stripe):
    path, secret, sub = customer(paid, stripe, "price_enterprise", "enterprise")
    number = path.split("/")[-1]
    keys = [paid.must("POST", "/v1/keys", {"customer_id": number, "title": f"more {n}"}) for n in range(11)]
    # Smaller: not before what was paid is over.
    stripe.change(sub, price="price_pro")
    tell(paid, stripe, "customer.subscription.updated", sub)
    shown = becomes(paid, path, payment_next_tier="pro")
    assert shown["tier"] == "enterprise" and shown["payment"]["next_tier_at"] == shown["payment"]["period_end"]
    stripe.change(sub, renew=True)
    tell(paid, stripe, "customer.subscription.updated", sub)
    becomes(paid, path, tier="pro", payment_next_tier=None)
    states = [paid.must("GET", f"/v1/keys/{key['id']}")["status"] for key in keys]
    assert states == ["active"] * 9 + ["suspended"] * 2  # with the first one ten
    assert paid.gate_until(keys[8]["secret"]).status == 200
    assert paid.gate_until(keys[9]["secret"]).status == 403
    assert paid.gate_until(secret).status == 200
    used = paid.must("GET", path)["quota"]["used"]
    stripe.change(sub, price="price_enterprise")
    tell(paid, stripe, "customer.subscription.updated", sub)
    becomes(paid, path, tier="enterprise")
    assert paid.gate_until(keys[10]["secret"]).status == 200
    assert paid.must("GET", path)["quota"]["used"] >= used


@pytest.mark.parametrize("how", [("DELETE", ""), ("POST", "/revoke")])
def test_a_suspended_key_comes_back_when_another_is_revoked(paid, stripe, how):
    path, secret, sub = customer(paid, stripe, "price_enterprise", "enterprise")
    number = path.split("/")[-1]
    keys = [paid.must("POST", "/v1/keys", {"customer_id": number, "title": f"more {n}"}) for n in range(11)]
    stripe.change(sub, price="price_pro")
    stripe.change(sub, renew=True)
    tell(paid, stripe, "customer.subscription.updated", sub)
    becomes(paid, path, tier="pro")

    def states():
        return [paid.must("GET", f"/v1/keys/{key['id']}")["status"] for key in keys]
    assert states() == ["active"] * 9 + ["suspended"] * 2
    assert paid.gate_until(keys[9]["secret"]).status == 403
    paid.must(how[0], f"/v1/keys/{keys[3]['id']}{how[1]}")
    assert paid.gate_until(keys[9]["secret"]).status == 200  # the very next call
    assert states() == ["active"] * 3 + ["revoked"] + ["active"] * 6 + ["suspended"]
    record = paid.must("GET", "/v1/audit?action=customer.keys_restore&limit=1")["data"][0]
    assert record["subject"] == number and record["detail"] == {"keys_restored": 1}
    paid.must(how[0], f"/v1/keys/{keys[10]['id']}{how[1]}")  # one that is suspended makes no room
    assert states()[9:] == ["active", "revoked"]
    assert paid.gate_until(secret).status == 200


def test_each_event_counts_once(paid, stripe):
    _, _, sub = customer(paid, stripe)
    sent = stripe.event("customer.subscription.updated", sub)
    assert post(paid, *sent).json == {"received": True, "duplicate": False}
    assert post(paid, *sent).json == {"received": True, "duplicate": True}


@pytest.mark.parametrize("which", [0, 1])
def test_one_secret_of_several_is_enough(paid, stripe, which):
    event = stripe.event("customer.subscription.updated", stripe.subscribe(), secret=stripe.webhook_secrets[which])
    assert post(paid, *event).status == 200


def test_what_is_forged_stale_or_altered_changes_nothing(paid, stripe):
    path, _, sub = customer(paid, stripe)
    settled(stripe, sub)
    stripe.change(sub, "past_due")

    def refused(headers, body):
        answer = post(paid, headers, body)
        assert (answer.status, answer.json["code"]) == (400, "signature_invalid"), answer
    headers, body = stripe.event("customer.subscription.updated", sub)
    for away in (-310, 310):
        refused(*stripe.event("customer.subscription.updated", sub, at=time.time() + away))
    refused(*stripe.event("customer.subscription.updated", sub, secret="whsec_other"))
    refused({**headers, "Stripe-Signature": ""}, body)
    refused({**headers, "Stripe-Signature": headers["Stripe-Signature"].replace("v1=", "v0=")}, body)
    refused({"Content-Type": "application/json"}, body)
    for at in range(len(body)):  # each byte in turn
        flipped = body[:at] + bytes([body[at] ^ 1]) + body[at + 1:]
        answer = request(paid.api, "POST", HOOK, flipped, headers)
        assert answer.status == 400, (at, answer)
    assert paid.must("GET", path)["payment"]["status"] == "active"
    huge, _ = stripe.event("customer.subscription.updated", {**sub, "metadata": {"x": "y" * 530000}})
    assert post(paid, huge, b" " * 530000).status == 413
    assert post(paid, *stripe.event("customer.subscription.updated", {**sub, "metadata": {"x": "y" * 400000}})).status == 200
    becomes(paid, path, payment_status="past_due")


def test_the_answer_does_not_wait_for_stripe(paid, stripe):
    path, _, sub = customer(paid, stripe)
    settled(stripe, sub)
    stripe.change(sub, "past_due")
    stripe.release.clear()
    stripe.fault = "slow"
    try:
        tell(paid, stripe, "customer.subscription.updated", sub)
        assert paid.must("GET", path)["payment"]["status"] == "active"
    finally:
        stripe.fault = None
        stripe.release.set()
    becomes(paid, path, payment_status="past_due")


def test_an_event_outlives_kill_9(paid, stripe):
    path, secret, sub = customer(paid, stripe)
    stripe.change(sub, "unpaid")
    stripe.release.clear()
    stripe.fault = "slow"
    tell(paid, stripe, "customer.subscription.updated", sub)
    paid.kill()
    stripe.fault = None
    stripe.release.set()
    paid.start()
    # What the dead one had begun to read is due again when its lease is over; an event makes it so now.
    tell(paid, stripe, "customer.subscription.updated", sub)
    becomes(paid, path, payment_status="unpaid", status="past_due")
    assert paid.gate_until(secret).status == 200


HISTORY = [  # of one subscription: (status, price, renewed)
    ("trialing", "price_pro", False), ("active", "price_pro", False), ("active", "price_enterprise", False),
    ("past_due", "price_enterprise", True), ("active", "price_enterprise", False),
    ("past_due", "price_enterprise", True), ("unpaid", "price_enterprise", False),
    ("active", "price_enterprise", False),
]


def test_histories_in_any_order_end_alike(paid, stripe):
    """Permutations with doubles and losses; the longer form is tests/fault/payments."""
    permute(paid, stripe, rounds=int(os.environ.get("KEYMETER_PERMUTATIONS", "12")),
            seed=int(os.environ.get("KEYMETER_SEED", "1")))


def permute(daemon, stripe, rounds, seed):
    chance = random.Random(seed)
    for _ in range(rounds):
        path, secret, sub = customer(daemon, stripe)
        events = []
        for status, price, renew in HISTORY:
            stripe.change(sub, status, price=price, renew=renew)
            events.append(("customer.subscription.updated", json.loads(json.dumps(sub))))
            if chance.random() < 0.3:  # some come as things happen, late or never
                tell(daemon, stripe, *chance.choice(events))
        sent = [event for event in events for _ in range(chance.choice([0, 1, 1, 2]))]
        chance.shuffle(sent)
        for kind, thing in sent:
            tell(daemon, stripe, kind, thing)
        reconcile(daemon)
        becomes(daemon, path, status="active", tier="enterprise", payment_status="active",
                payment_grace_until=None, payment_next_tier=None)
        assert daemon.gate_until(secret).status == 200
        daemon.must("DELETE", path)  # or each round's reconciliation would read all before it


def reconcile(daemon, dry=False):
    rows, cursor = [], None
    while True:
        page = daemon.must("POST", "/v1/payments/reconcile" + (f"?cursor={cursor}" if cursor else ""),
                           {"dry_run": dry})
        rows += page["data"]
        cursor = page["next_cursor"]
        if not cursor:
            return rows


def test_reconciliation_heals_and_a_dry_run_only_tells(paid, stripe):
    path, secret, sub = customer(paid, stripe)
    settled(stripe, sub)
    wait_for(lambda: not any(row["changed"] for row in reconcile(paid)), "nothing left to heal")
    stripe.change(sub, "canceled")
    stripe.invoices[sub["latest_invoice"]]["status"] = "paid"
    stripe.subscriptions[sub["id"]]["items"]["data"][0]["current_period_end"] = int(time.time()) - 1
    told = [row for row in reconcile(paid, dry=True) if row["changed"]]
    assert [row["customer_id"] for row in told] == [path.split("/")[-1]]
    assert told[0]["before"]["status"] == "active" and told[0]["after"]["status"] == "suspended"
    assert paid.must("GET", path)["status"] == "active"
    healed = [row for row in reconcile(paid) if row["changed"]]
    assert [(row["customer_id"], row["after"]["status"]) for row in healed] == [
        (told[0]["customer_id"], "suspended")]
    assert paid.must("GET", path)["status"] == "suspended"
    assert paid.gate_until(secret).status == 403
    record = paid.must("GET", "/v1/audit?action=customer.entitlement&limit=1")["data"][0]
    assert record["detail"]["before"]["tier"] == "pro" and record["detail"]["cause"] == "reconcile"
    assert record["actor"] == "system"
    assert not any(row["changed"] for row in reconcile(paid, dry=True))


def test_a_404_of_another_kind_takes_nothing_from_anybody(paid, stripe):
    """What a wrong payment.url is answered."""
    path, _, sub = customer(paid, stripe)
    settled(stripe, sub)
    number = path.split("/")[-1]
    stripe.fault = "nowhere"
    try:
        told = [row for row in reconcile(paid) if row["customer_id"] == number]
        assert [(row["read"], row["changed"]) for row in told] == [(False, False)]
    finally:
        stripe.fault = None
    assert paid.must("GET", path)["payment"]["status"] == "active"
    with stripe.lock:
        del stripe.subscriptions[sub["id"]]  # this is how Stripe says that there is none

    def read():  # not while the provider is left alone
        return next((row["after"]["payment"] for row in reconcile(paid) if row["customer_id"] == number and row["read"]),
                    None)
    assert wait_for(read, "the customer to be read") == "none"


def test_an_answer_of_no_use_holds_up_nobody_else(paid, stripe):
    path, _, sub = customer(paid, stripe)
    others = [customer(paid, stripe)[2] for _ in range(20)]
    settled(stripe, others[-1])
    for other in others:
        stripe.change(other, "brand_new_status")
        tell(paid, stripe, "customer.subscription.updated", other)
    asked = len(stripe.calls)
    wait_for(lambda: len(stripe.calls) > asked, "the first of them to be asked for")
    stripe.change(sub, "past_due")
    tell(paid, stripe, "customer.subscription.updated", sub)
    becomes(paid, path, status="past_due")
    for _ in range(8):  # nor is the provider left alone for longer and longer
        assert [row["read"] for row in reconcile(paid) if row["customer_id"] == path.split("/")[-1]] == [True]
    for other in others:
        stripe.change(other, "active")


def test_a_secret_file_that_is_none_stops_nothing(paid, stripe):
    """A named pipe, which nobody writes to."""
    [file] = [setting.partition("=")[2] for setting in paid.settings if setting.startswith("payment.webhook_secret_file=")]
    os.rename(file, file + ".away")
    os.mkfifo(file, 0o600)
    try:
        sub = stripe.subscribe()
        assert post(paid, *stripe.event("customer.subscription.updated", sub)).status == 503
        assert request(paid.api, "GET", "/livez").status == 200
    finally:
        os.rename(file + ".away", file)
    assert post(paid, *stripe.event("customer.subscription.updated", sub)).status == 200


def test_approvals(paid, stripe):
    made = paid.signup("free")
    path = f"/v1/customers/{made['customer']['id']}"
    approve = {"tier": "enterprise", "until": "2036-01-01T00:00:00Z", "note": "Order 4711"}
    given = paid.must("POST", path + "/payment-approvals", approve)
    assert given["id"].startswith("apr_") and given["note"] == "Order 4711"
    shown = paid.must("GET", path)
    assert shown["tier"] == "enterprise" and shown["payment"]["provider"] == "approval"
    assert shown["payment"]["grace_until"] == "2036-01-01T00:00:00Z"
    assert paid.gate_until(made["secret"]).status == 200
    for wrong in ({**approve, "until": "2020-01-01T00:00:00Z"}, {**approve, "tier": "nosuch"}, {"tier": "pro"}):
        assert paid.call("POST", path + "/payment-approvals", wrong).status == 422
    assert paid.call("POST", "/v1/customers/nobody/payment-approvals", approve).status == 404
    # Money takes over.
    sub = stripe.subscribe()
    paid.must("PATCH", path, {"tier": "pro", "payment": {"reference": sub["id"]}})
    assert paid.must("GET", path)["payment"]["grace_until"] is None


def test_a_tier_that_wants_no_payment_takes_a_suspended_customer_back(paid):
    made = paid.signup("free")
    path = f"/v1/customers/{made['customer']['id']}"
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    refused = paid.call("POST", path + "/payment-approvals", {"tier": "free", "until": until})
    assert refused.status == 422 and "nothing to approve" in str(refused.json)
    paid.must("POST", path + "/payment-approvals", {"tier": "pro", "until": until})
    becomes(paid, path, status="suspended", tier="pro")
    assert paid.gate_until(made["secret"]).status == 403
    shown = paid.must("PATCH", path, {"tier": "free"})
    assert (shown["status"], shown["payment"]["provider"], shown["payment"]["grace_until"]) == ("active", "none", None)
    assert paid.gate_until(made["secret"]).status == 200


def standard(secret, body, at=None, name=None):
    name, at = name or "msg_" + secrets.token_hex(8), int(time.time() if at is None else at)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()).decode()
    return {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": f"v1,{mac}",
            "Content-Type": "application/json"}


def test_the_http_provider_pushes(build_directory, tmp_path):
    from billing_stand_in import BillingStandIn
    asks, pushes = ("whsec_" + base64.b64encode(secrets.token_bytes(24)).decode() for _ in range(2))
    for name, text in (("asks", asks), ("pushes", pushes)):
        (tmp_path / name).write_text(text + "\n")
        (tmp_path / name).chmod(0o600)
    with BillingStandIn(asks) as billing:
        daemon = Daemon(build_directory, [
            "payment.provider=http", f"payment.url={billing.url}", f"payment.secret_file={tmp_path}/asks",
            f"payment.webhook_secret_file={tmp_path}/pushes", "payment.timeout=1s"])
        try:
            daemon.start()
            billing.answer(body={"status": "active"})
            name = "payer-" + secrets.token_hex(4)
            made = daemon.must("POST", "/v1/signups", {"external_id": name, "email": "a@example.com",
                                                       "tier": "pro", "payment": {"reference": "order-1"}})
            path = f"/v1/customers/{made['customer']['id']}"
            billing.answer(body={"status": "past_due"})
            body = json.dumps({"type": "payment.changed", "data": {"external_id": name}}).encode()
            hook = "/v1/payments/webhook"
            stale = standard(pushes, body, at=time.time() - 400)
            for headers in (stale, standard(asks, body), {"webhook-id": "x"}):
                assert post(daemon, headers, body, hook).json["code"] == "signature_invalid"
            good = standard(pushes, body)
            assert post(daemon, good, body, hook).json == {"received": True, "duplicate": False}
            assert post(daemon, good, body, hook).json["duplicate"]
            becomes(daemon, path, status="past_due", payment_status="past_due")
            billing.answer(body={"status": "active", "tier": "enterprise"})
            body = b'{"reference":"order-1"}'
            assert post(daemon, standard(pushes, body), body, hook).status == 200
            becomes(daemon, path, status="active", tier="enterprise")
            # What was not pushed is found by reading again; what cannot be told to anybody does no harm.
            billing.answer(body={"status": "none"})
            told = [row for row in reconcile(daemon, dry=True) if row["changed"]]
            assert [(row["external_id"], row["after"]["payment"]) for row in told] == [(name, "none")]
            assert daemon.must("GET", path)["status"] == "active"
            assert [row["changed"] for row in reconcile(daemon)] == [True]
            becomes(daemon, path, status="past_due", payment_status="none")
            # A tier that there is not: what is said of the payment counts all the same.
            billing.answer(body={"status": "active", "tier": "nosuch"})
            body = json.dumps({"external_id": name}).encode()
            assert post(daemon, standard(pushes, body), body, hook).status == 200
            becomes(daemon, path, status="active", tier="enterprise", payment_status="active")
            assert "price_unknown" in [alert["kind"] for alert in daemon.must("GET", "/v1/alerts")["data"]]
            for text in ('{"external_id":"é"}', '{"reference":"é"}', '{"data":7,"reference":"no"}'):
                assert post(daemon, standard(pushes, text.encode()), text.encode(), hook).status == 200, text
            for text in ("", "[]", "{}", '{"external_id":7}', '{"data":{}}', r'{"reference":"\u0000"}'):
                assert post(daemon, standard(pushes, text.encode()), text.encode(), hook).status == 400, text
            odd = standard(pushes, body, name="msg é")
            assert post(daemon, odd, body, hook).status == 400
            assert post(daemon, *StripeStandIn().event("x", {"object": "charge"})).status == 404
            assert not billing.problems, billing.problems
        finally:
            daemon.close()
