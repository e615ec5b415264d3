"""The payment check over HTTP: reserve, ask, commit; nothing half-made, and a later retry works."""

import secrets

import pytest

from billing_stand_in import BillingStandIn
from daemon import Daemon

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def billing():
    with BillingStandIn(SECRET) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def paid(build_directory, billing, tmp_path_factory):
    secret = tmp_path_factory.mktemp("payment") / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    daemon = Daemon(build_directory, ["payment.provider=http", f"payment.url={billing.url}",
                                      f"payment.secret_file={secret}", "payment.timeout=1s"])
    try:
        yield daemon.start()
    finally:
        daemon.close()


def body(tier="pro"):
    return {"external_id": "payer-" + secrets.token_hex(6), "email": "payer@example.com",
            "tier": tier, "payment": {"reference": "ref-" + secrets.token_hex(4)}}


def nothing_made(daemon, sign_up):
    assert daemon.call("GET", f"/v1/customers/{sign_up['external_id']}").status == 404


def test_a_confirmed_payment_makes_the_key(paid, billing):
    billing.answer(body={"status": "active", "tier": "pro", "period_start": "2026-01-01T00:00:00Z",
                         "period_end": "2036-01-01T00:00:00Z"})
    sign_up = body()
    before = len(billing.asks)
    made = paid.call("POST", "/v1/signups", sign_up)
    assert made.status == 201, made
    assert made.json["customer"]["tier"] == "pro"
    assert billing.asks[before:] == [{
        "customer": {"external_id": sign_up["external_id"], "email": sign_up["email"]},
        "tier": "pro", "reference": sign_up["payment"]["reference"]}]
    assert paid.gate_until(made.json["secret"]).status == 200
    assert not billing.problems, billing.problems


def test_trialing_confirms_too(paid, billing):
    billing.answer(body={"status": "trialing"})
    assert paid.call("POST", "/v1/signups", body()).status == 201


@pytest.mark.parametrize("answer", [{"status": "none"}, {"status": "past_due"},
                                    {"status": "active", "tier": "enterprise"}])
def test_what_is_not_paid_is_402_and_nothing_is_made(paid, billing, answer):
    billing.answer(body=answer)
    sign_up = body()
    refused = paid.call("POST", "/v1/signups", sign_up)
    assert (refused.status, refused.json["code"]) == (402, "payment_required")
    nothing_made(paid, sign_up)
    billing.answer(body={"status": "active"})
    assert paid.call("POST", "/v1/signups", sign_up).status == 201


@pytest.mark.parametrize("kind, status, answer", [
    ("json", 500, {"status": "active"}),
    ("json", 404, {"status": "active"}),
    ("json", 201, {"status": "active"}),
    ("json", 200, ["active"]),
    ("json", 200, {"status": "ACTIVE"}),
    ("json", 200, {"status": "active", "tier": 7}),
    ("json", 200, {"status": "active", "period_end": "soon"}),
    ("garbage", 200, None),
    ("redirect", 302, None),
    ("endless", 200, None),
    ("close", 200, None),
    ("slow", 200, {"status": "active"}),
])
def test_what_cannot_be_understood_is_503_and_nothing_is_made(paid, billing, kind, status, answer):
    billing.answer(status=status, body=answer, kind=kind)
    sign_up = body()
    refused = paid.call("POST", "/v1/signups", sign_up)
    assert (refused.status, refused.json["code"]) == (503, "payment_unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    nothing_made(paid, sign_up)
    billing.answer(body={"status": "active"})
    assert paid.call("POST", "/v1/signups", sign_up).status == 201
    assert not billing.problems, billing.problems


def test_a_reference_is_told_apart_to_its_last_character(paid, billing):
    billing.answer(body={"status": "active"})
    start = "é" * 254
    for end, status in (("1", 201), ("2", 201), ("1", 409)):
        sent = {**body(), "payment": {"reference": start + end}}
        answer = paid.call("POST", "/v1/signups", sent)
        assert answer.status == status, answer
        if status == 201:
            assert answer.json["customer"]["payment"]["reference"] == start + end
    assert paid.call("POST", "/v1/signups", {**body(), "payment": {"reference": start + "12"}}).status == 422


def test_free_tiers_are_not_asked(paid, billing):
    before = len(billing.asks)
    assert paid.call("POST", "/v1/signups", body("free")).status == 201
    assert len(billing.asks) == before


def test_an_upgrade_is_asked_for(paid, billing):
    made = paid.signup("free")
    path = f"/v1/customers/{made['customer']['id']}"
    billing.answer(body={"status": "none"})
    assert paid.call("PATCH", path, {"tier": "pro"}).status == 402
    assert paid.must("GET", path)["tier"] == "free"
    billing.answer(body={"status": "active"})
    assert paid.must("PATCH", path, {"tier": "pro", "payment": {"reference": "up-1"}})["tier"] == "pro"


def test_without_a_provider_a_paid_tier_is_402(daemon):
    refused = daemon.call("POST", "/v1/signups", body())
    assert (refused.status, refused.json["code"]) == (402, "payment_required")
