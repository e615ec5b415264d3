"""Many at once: one payment that several want, events by the hundred, late answers, pages beside events.
Two nodes of one database, and what either says holds."""

import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

import claims
from daemon import request, wait_for
from exposition import parse, value
from nodes import Cluster
from stripe_stand_in import StripeStandIn
from test_stripe import body, price_tiers, settings_of
from test_webhooks import becomes, customer, post, tell


@pytest.fixture(scope="module")
def stripe():
    with StripeStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def cluster(build_directory, stripe, tmp_path_factory):
    more = settings_of(stripe, tmp_path_factory.mktemp("races"), "payment.reads_per_second=1000",
                       "payment.reconcile=24h", "payment.timeout=20s")
    with Cluster(build_directory, "one", "two", more=more) as made:
        price_tiers(made.nodes[0])
        yield made


@pytest.fixture(autouse=True)
def no_fault(stripe):
    stripe.fault = None
    stripe.release.clear()
    yield
    stripe.fault = None
    stripe.release.set()


def settle(cluster):
    wait_for(lambda: cluster.database.value(
        "SELECT COUNT(*) FROM payment_read WHERE urgent OR begun <> applied") == "0", "the readings")


def at_once(calls):
    """The answers of calls that are all sent together."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(*call) for call in calls]]


def test_one_payment_is_for_one_of_many(cluster, stripe):
    for _ in range(3):
        session = stripe.checkout()
        names = [session["id"], session["subscription"], session["customer"]]
        sent = [body(names[n % 3]) for n in range(9)]
        free = [cluster.nodes[n].signup("free") for n in (0, 1)]
        answers = at_once(
            [(cluster.nodes[n % 2].call, "POST", "/v1/signups", one) for n, one in enumerate(sent)]
            + [(cluster.nodes[n].call, "PATCH", f"/v1/customers/{one['customer']['id']}",
                {"tier": "pro", "payment": {"reference": names[n]}}) for n, one in enumerate(free)])
        won = [answer for answer in answers if answer.status in (200, 201)]
        lost = [answer for answer in answers if answer not in won]
        assert len(won) == 1, answers
        assert {(answer.status, answer.json["code"]) for answer in lost} == {(409, "payment_reference_used")}, lost
        stand = [one for one in sent if cluster.nodes[0].call("GET", f"/v1/customers/{one['external_id']}").status == 200]
        paying = [one for one in free if cluster.nodes[1].must("GET", f"/v1/customers/{one['customer']['id']}")["tier"] == "pro"]
        assert len(stand) + len(paying) == 1


def test_many_events_at_once(cluster, stripe):
    payers = [customer(cluster.nodes[n % 2], stripe) for n in range(12)]
    for n, (_, _, sub) in enumerate(payers):
        stripe.change(sub, "past_due" if n % 2 else "active", price="price_pro" if n % 3 else "price_enterprise")
    events = [stripe.event("customer.subscription.updated", sub) for _, _, sub in payers for _ in range(20)]
    calls = [(n % 240, cluster.nodes[n % 2 ^ n // 240]) for n in range(480)]  # each to both
    late = set()  # told in time that it may not have been taken, and sent again, as Stripe does

    def send(call):
        n, node = call
        while (answer := post(node, *events[n])).status == 503:
            late.add(n)
        return n, answer
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(send, calls))
    assert {answer.status for _, answer in answers} == {200}
    first = Counter(n for n, answer in answers if not answer.json["duplicate"])
    assert max(first.values()) == 1 and set(first) | late == set(range(240))
    for n, (path, secret, _) in enumerate(payers):
        becomes(cluster.nodes[0], path, status="past_due" if n % 2 else "active",
                tier="pro" if n % 3 or n % 2 else "enterprise")
        assert cluster.nodes[1].gate_until(secret).status == 200
    settle(cluster)


def under_way(node):
    return value(parse(request(node.api, "GET", "/metrics").body.decode()), "keymeter_payment_readings_under_way")


@pytest.mark.parametrize("by", ["call", "event"])
def test_a_late_answer_undoes_nothing(cluster, stripe, by):
    """A reading that began before the change, and ends behind it."""
    node, other = cluster.nodes
    path, secret, sub = customer(node, stripe)
    settle(cluster)
    stripe.fault = "late"
    tell(node, stripe, "customer.subscription.updated", sub)
    wait_for(lambda: stripe.held == 1, "the reading to be under way")
    stripe.fault = None
    stripe.change(sub, price="price_enterprise")
    if by == "call":
        other.must("PATCH", path, {"tier": "enterprise"})
    else:
        tell(other, stripe, "customer.subscription.updated", sub)
    becomes(node, path, tier="enterprise", payment_next_tier=None)
    stripe.release.set()
    wait_for(lambda: stripe.held == 0 and not any(under_way(one) for one in cluster.nodes), "the late answer")
    settle(cluster)
    becomes(other, path, tier="enterprise", payment_next_tier=None)
    rows = other.must("GET", f"/v1/audit?subject={path.split('/')[-1]}&action=customer.entitlement")["data"]
    assert [row["detail"]["after"]["tier"] for row in rows] == ["enterprise"]
    assert node.gate_until(secret).status == 200


def test_a_page_goes_on_behind_who_is_passed_over(cluster, stripe):
    """Who is asked for while a page is taken comes by the event; the pages behind are not left out."""
    node, database = cluster.nodes[0], cluster.database
    for _ in range(4):
        customer(node, stripe)
    settle(cluster)
    ids = [row[0] for row in database.sql("SELECT customer_id FROM payment_read ORDER BY customer_id")]
    waits = "SELECT COUNT(*) FROM information_schema.INNODB_LOCK_WAITS"

    def page():
        return node.call("POST", "/v1/payments/reconcile?limit=2", {})
    with ThreadPoolExecutor(1) as pool:
        def passed_over():
            with database.locked(f"SELECT 1 FROM payment_read WHERE customer_id = {ids[0]} FOR UPDATE"):
                asked = pool.submit(page)
                wait_for(lambda: asked.done() or database.value(waits) != "0", "the page to be taken")
                database.sql(f"UPDATE payment_read SET asked = asked + 1 WHERE customer_id = {ids[1]}")
            answer = asked.result()
            return answer.status == 200 and len(answer.json["data"]) == 1 and answer.json
        first = wait_for(passed_over, "a page that one is missing from", 60)
    assert claims.number_of(first["data"][0]["customer_id"]) == int(ids[0])
    seen, cursor = [], first["next_cursor"]
    while cursor:
        answer = node.must("POST", f"/v1/payments/reconcile?limit=2&cursor={cursor}", {})
        seen += [str(claims.number_of(row["customer_id"])) for row in answer["data"]]
        cursor = answer["next_cursor"]
    assert seen == ids[2:]


def test_pages_do_not_pile_up(cluster, stripe):
    """Of a provider that does not answer, asked for again and again: what waits for it is bounded."""
    node = cluster.nodes[0]
    customer(node, stripe)
    settle(cluster)

    def page():
        return node.call("POST", "/v1/payments/reconcile?limit=1", {}).status
    stripe.fault = "slow"
    with ThreadPoolExecutor(7) as pool:
        asked = [pool.submit(page) for _ in range(7)]
        try:
            wait_for(lambda: sum(one.done() for one in asked) == 3, "three to be refused", 15)
        finally:
            stripe.fault = None
            stripe.release.set()
        assert sorted(one.result() for one in asked) == [200] * 4 + [503] * 3
    assert page() == 200
    settle(cluster)


def test_what_an_event_may_say(cluster, stripe):
    """Signed, and yet not what it should be."""
    node = cluster.nodes[0]
    sub = stripe.subscribe()
    for thing in ({**sub, "id": "sub_" + "x" * 300}, {"object": "subscription", "id": 7}, {"object": "checkout.session"},
                  {**sub, "customer": "cus_" + "é"}, {"object": "dispute", "charge": {"id": ["ch_1"]}},
                  {"object": "invoice", "parent": {"subscription_details": 5}}, {"id": secrets.token_hex(4)}):
        assert post(node, *stripe.event("customer.subscription.updated", thing)).status in (200, 400), thing
    for text in (b"", b"[]", b"{}", b'{"object":"event"}', b"\xff\xfe", b"[" * 100000, b'{"id":"a","id":"b"}'):
        signed = {"Stripe-Signature": stripe.header(text, int(stripe.clock())), "Content-Type": "application/json"}
        assert post(node, signed, text).status == 400, text[:40]
