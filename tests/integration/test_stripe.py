"""Payment through Stripe: what a reference resolves to, what it buys, and that nothing half-made stays."""

import secrets
import ssl

import pytest

import claims
from daemon import Daemon
from mail_certificates import Certificates
from stripe_stand_in import API_KEY, StripeStandIn


def settings_of(stripe, folder, *more):
    (folder / "key").write_text(API_KEY + "\n")
    (folder / "webhook").write_text("\n".join(stripe.webhook_secrets) + "\n")
    for name in ("key", "webhook"):
        (folder / name).chmod(0o600)
    return ["payment.provider=stripe", f"payment.url={stripe.url}", f"payment.secret_file={folder}/key",
            f"payment.webhook_secret_file={folder}/webhook", "payment.timeout=1s", *more]


def price_tiers(daemon):
    for slug in ("pro", "enterprise"):
        tier = daemon.must("GET", f"/v1/tiers/{slug}")
        tier["price_references"] = [f"price_{slug}"]
        daemon.must("PUT", f"/v1/tiers/{slug}", tier)


@pytest.fixture(scope="module")
def stripe():
    with StripeStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def paid(build_directory, stripe, tmp_path_factory):
    daemon = Daemon(build_directory, settings_of(stripe, tmp_path_factory.mktemp("stripe")))
    try:
        price_tiers(daemon.start())
        yield daemon
        assert daemon.stop() == 0, daemon.log()[-4000:]
    finally:
        daemon.close()


@pytest.fixture(autouse=True)
def no_fault(stripe):
    stripe.fault = None
    stripe.release.clear()
    yield
    stripe.release.set()


def body(reference, tier="pro", external_id=None):
    return {"external_id": external_id or "payer-" + secrets.token_hex(6), "email": "payer@example.com",
            "tier": tier, "payment": {"reference": reference}}


def sign_up(daemon, *arguments, **more):
    sent = body(*arguments, **more)
    return sent, daemon.call("POST", "/v1/signups", sent)


def nothing_stands(daemon):
    """No row without its customer, and no reservation of an Idempotency-Key."""
    counts = claims.sql(daemon, " UNION ALL ".join(
        f"SELECT COUNT(*) FROM {table} WHERE customer_id NOT IN (SELECT id FROM customer)"
        for table in ("entitlement", "api_key", "payment_read", "outbox"))
        + " UNION ALL SELECT COUNT(*) FROM idempotency WHERE done = 0")
    assert counts == [["0"]] * 5, counts


def refused(daemon, sent, answer, status, code):
    assert (answer.status, answer.json["code"]) == (status, code), answer
    assert daemon.call("GET", f"/v1/customers/{sent['external_id']}").status == 404


@pytest.mark.parametrize("kind", ["session", "subscription", "customer", "trial"])
def test_each_reference_leads_to_its_subscription(paid, stripe, kind):
    name = "acme-" + secrets.token_hex(4)
    session = stripe.checkout(client_reference_id=name if kind == "session" else None,
                              **{"session": {}, "trial": {"status": "complete"}}.get(kind, {}))
    sub = stripe.subscriptions[session["subscription"]]
    if kind == "trial":
        stripe.change(sub, status="trialing")
    reference = {"session": session["id"], "trial": sub["id"], "subscription": sub["id"],
                 "customer": sub["customer"]}[kind]
    _, made = sign_up(paid, reference, external_id=name)
    assert made.status == 201, made
    payment = made.json["customer"]["payment"]
    assert payment["provider"] == "stripe" and payment["reference"] == reference
    assert payment["status"] == sub["status"] and payment["period_end"] > payment["period_start"]
    assert made.json["customer"]["quota"]["resets_at"] is not None
    assert paid.gate_until(made.json["secret"]).status == 200
    # A second use, by whichever name, pays for nobody else.
    for again in (session["id"], sub["id"], sub["customer"]):
        sent, answer = sign_up(paid, again)
        if kind == "session" and again == session["id"]:
            refused(paid, sent, answer, 409, "payment_reference_mismatch")
        else:
            refused(paid, sent, answer, 409, "payment_reference_used")


def test_a_session_of_another_customer_is_409(paid, stripe):
    session = stripe.checkout(client_reference_id="somebody-else")
    refused(paid, *sign_up(paid, session["id"]), 409, "payment_reference_mismatch")


@pytest.mark.parametrize("status", ["past_due", "unpaid", "canceled", "incomplete", "incomplete_expired",
                                    "paused"])
def test_what_does_not_pay_is_402(paid, stripe, status):
    sub = stripe.subscribe(status=status)
    sent, answer = sign_up(paid, sub["id"])
    refused(paid, sent, answer, 402, "payment_required")
    stripe.change(sub, status="active")
    assert paid.call("POST", "/v1/signups", sent).status == 201


def test_what_it_does_not_buy_or_is_not_there_is_402(paid, stripe):
    refused(paid, *sign_up(paid, stripe.subscribe("price_other")["id"]), 402, "payment_required")
    refused(paid, *sign_up(paid, stripe.subscribe("price_pro")["id"], tier="enterprise"), 402,
            "payment_required")
    refused(paid, *sign_up(paid, "sub_nosuch"), 402, "payment_required")
    refused(paid, *sign_up(paid, "cus_nosuch"), 402, "payment_required")
    refused(paid, *sign_up(paid, "../v1/charges"), 402, "payment_required")
    refused(paid, *sign_up(paid, stripe.checkout(status="open")["id"]), 402, "payment_required")


def test_of_a_customers_subscriptions_the_one_that_buys_counts(paid, stripe):
    sub = stripe.subscribe("price_pro")
    stripe.subscribe("price_other", customer=sub["customer"])
    stripe.subscribe("price_pro", customer=sub["customer"], status="canceled")
    assert sign_up(paid, sub["customer"])[1].status == 201
    refused(paid, *sign_up(paid, sub["id"]), 409, "payment_reference_used")


@pytest.mark.parametrize("fault", ["down", "slow", "drip", "close", "redirect", "huge", "garbage", "nowhere", "other", 429, 500, 401])
def test_when_it_cannot_be_asked_it_is_503_and_the_retry_works(paid, stripe, fault):
    sub = stripe.subscribe()
    sent = body(sub["id"])
    key = secrets.token_hex(16)
    if fault == "down":
        stripe.leave()
    else:
        stripe.fault = fault
    answer = paid.call("POST", "/v1/signups", sent, **{"Idempotency-Key": key})
    refused(paid, sent, answer, 503, "payment_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    nothing_stands(paid)
    if fault == "down":
        stripe.come_back()
    stripe.fault = None
    made = paid.call("POST", "/v1/signups", sent, **{"Idempotency-Key": key})
    assert made.status == 201, made
    again = paid.call("POST", "/v1/signups", sent, **{"Idempotency-Key": key})
    assert again.body == made.body and again.headers["Idempotent-Replayed"] == "true"
    assert not stripe.problems


def test_an_upgrade_is_read_from_stripe(paid, stripe):
    made = paid.signup("free")
    path = f"/v1/customers/{made['customer']['id']}"
    sub = stripe.subscribe("price_pro")
    change = {"tier": "pro", "payment": {"reference": sub["id"]}}
    stripe.fault = "garbage"
    assert paid.call("PATCH", path, change).status == 503
    stripe.fault = None
    assert paid.must("PATCH", path, change)["payment"]["status"] == "active"
    assert paid.call("PATCH", path, {"tier": "enterprise"}).status == 402
    assert paid.must("GET", path)["tier"] == "pro"


def test_a_certificate_of_nobody_is_503(build_directory, tmp_path):
    certificates = Certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.self_signed)
    with StripeStandIn(tls=context) as stripe:
        daemon = Daemon(build_directory, settings_of(stripe, tmp_path))
        try:
            price_tiers(daemon.start())
            refused(daemon, *sign_up(daemon, stripe.subscribe()["id"]), 503, "payment_unavailable")
            assert not stripe.calls
        finally:
            daemon.close()
