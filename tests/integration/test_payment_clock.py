"""A wall clock that jumps takes nothing from anybody who pays or has paid: what ends by a date waits until
the clock is right again, who pays is served meanwhile, and what the wrong clock wrote holds up nothing."""

import contextlib

import pytest

import claims
from daemon import wait_for
from faked_clock import DAY, HOUR, FakedClock
from nodes import Cluster
from stripe_stand_in import StripeStandIn
from test_stripe import price_tiers, settings_of
from test_webhooks import becomes, customer, reconcile, tell


@pytest.fixture
def side(build_directory, tmp_path):
    """Nothing rotates by itself here, as there is no mail: the clock is judged all the same."""
    with contextlib.closing(FakedClock(build_directory / "keymeterd")) as clock, StripeStandIn() as stripe:
        stripe.clock = lambda: clock.now_ms() / 1000
        more = settings_of(stripe, tmp_path, "payment.grace_days=7")
        with Cluster(build_directory, "one", environment=clock.environment, more=more) as cluster:
            price_tiers(cluster.nodes[0])
            yield cluster.nodes[0], cluster.database, clock, stripe


def settle(database, clock):
    wait_for(lambda: database.value("SELECT COUNT(*) FROM payment_read WHERE urgent OR begun <> applied"
                                    f" OR read_at <= {clock.now_ms()}") == "0", "the readings")


def alert_is(node, state):
    def kinds():
        answer = node.call("GET", f"/v1/alerts?status={state}")
        return answer.status == 200 and "clock_moved" in [row["kind"] for row in answer.json["data"]]
    wait_for(kinds, f"the clock's alert to be {state}")


@pytest.mark.parametrize("days", [40, -40])
def test_a_clock_that_jumps_ends_nothing(side, days):
    node, database, clock, stripe = side
    owing, leaving, shrinking, failing, back, lent = payers = [
        customer(node, stripe, f"price_{tier}", tier) for tier in ("pro", "pro", "enterprise", "pro", "pro", "pro")]
    stripe.change(owing[2], "past_due")
    stripe.change(leaving[2], "canceled", invoice="paid")
    stripe.change(shrinking[2], price="price_pro")
    stripe.change(back[2], "past_due")
    for _, _, sub in (owing, leaving, shrinking, back):
        tell(node, stripe, "customer.subscription.updated", sub)
    node.must("POST", lent[0] + "/payment-approvals", {"tier": "pro", "until": "2036-01-01T00:00:00Z"})
    becomes(node, back[0], status="past_due")
    database.sql("UPDATE entitlement SET grace_until = 1, look_at = 1"
                 f" WHERE customer_id = {claims.number_of(back[0].split('/')[-1])}")
    becomes(node, back[0], status="suspended")
    becomes(node, leaving[0], payment_status="canceled")
    becomes(node, shrinking[0], payment_next_tier="pro")
    settle(database, clock)
    database.sql(f"UPDATE entitlement SET grace_until = {clock.now_ms() + 20 * DAY * 1000}, look_at = grace_until"
                 f" WHERE customer_id = {claims.number_of(lent[0].split('/')[-1])}")

    def standing():
        shown = [node.must("GET", path) for path, _, _ in payers]
        return [(one["status"], one["tier"], one["payment"]["status"], one["payment"]["grace_until"]) for one in shown]
    before = standing()
    clock.move(days * DAY)
    alert_is(node, "open")
    stripe.change(failing[2], "past_due")
    stripe.change(back[2], "active")
    for _, _, sub in payers[:5]:
        tell(node, stripe, "customer.subscription.updated", sub)
    becomes(node, back[0], status="active")  # who pays is served
    wait_for(lambda: database.value("SELECT COUNT(*) FROM payment_read WHERE failures > 0") == "3", "the others to wait")
    told = {row["customer_id"]: row for row in reconcile(node)}
    for path, _, _ in (owing, leaving, failing):
        row = told[path.split("/")[-1]]
        assert not row["read"] and not row["changed"], row
    assert standing() == [*before[:4], ("active", "pro", "active", None), before[5]]
    for _, secret, _ in payers:
        assert node.gate_until(secret).status == 200
    clock.move(-days * DAY)
    alert_is(node, "acknowledged")
    becomes(node, failing[0], status="past_due")  # by itself, soon
    wait_for(lambda: database.value("SELECT COUNT(*) FROM payment_read WHERE failures > 0 OR urgent"
                                    f" OR read_at > {clock.now_ms() + 2 * HOUR * 1000}") == "0", "the others")
    assert standing()[:3] == before[:3] and standing()[5] == before[5]
    for _, secret, _ in payers:
        assert node.gate_until(secret).status == 200
