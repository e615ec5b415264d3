"""`keymeter payments`: what differs is told, healed when asked, page after page; a tier approved by hand."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import claims
from daemon import Daemon, wait_for
from stripe_stand_in import StripeStandIn
from test_cli import Client
from test_stripe import price_tiers, settings_of
from test_webhooks import customer, settled, tell


@pytest.fixture(scope="module")
def stripe():
    with StripeStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def paid(build_directory, stripe, tmp_path_factory):
    daemon = Daemon(build_directory, settings_of(
        stripe, tmp_path_factory.mktemp("payments"), "payment.reads_per_second=2", "payment.reconcile=24h"))
    try:
        price_tiers(daemon.start())
        yield daemon
        assert daemon.stop() == 0, daemon.log()[-4000:]
    finally:
        daemon.close()


@pytest.fixture(scope="module")
def client(build_directory, paid):
    return Client(build_directory, paid)


@pytest.fixture(scope="module")
def payers(paid, stripe):
    """More than a page at this rate."""
    made = [customer(paid, stripe) for _ in range(8)]
    for _, _, sub in made:
        settled(stripe, sub)
    return made


def test_an_event_goes_before_a_page(paid, stripe, payers):
    wait_for(lambda: claims.sql(paid, "SELECT COUNT(*) FROM payment_read WHERE urgent OR begun <> applied") == [["0"]],
             "the readings")
    before, sub = len(stripe.calls), payers[7][2]["id"]
    with ThreadPoolExecutor(1) as pool:
        page = pool.submit(paid.must, "POST", "/v1/payments/reconcile?limit=6", {"dry_run": True})
        wait_for(lambda: len(stripe.calls) > before, "the page to be read")
        tell(paid, stripe, "customer.subscription.updated", payers[7][2])
        assert len(page.result()["data"]) == 6
    read = [call.split("/")[3].split("?")[0] for call in stripe.calls[before:]]
    assert sub in read[:-1], read  # not behind all of it


def test_reconcile_tells_and_heals(client, paid, stripe, payers):
    wait_for(lambda: "8 read, 0 differed" in client.run("payments", "reconcile").stderr, "nothing to heal")
    path, secret, sub = payers[6]
    stripe.change(sub, "canceled", invoice="paid")
    stripe.subscriptions[sub["id"]]["items"]["data"][0]["current_period_end"] = int(time.time()) - 1
    told = client.run("payments", "reconcile", "--dry-run")
    assert told.returncode == 0 and "8 read, 1 differed, 0 could not be read" in told.stderr, told.stderr
    line = f"{path.split('/')[-1]} {paid.must('GET', path)['external_id']}: pro active active -> pro suspended canceled\n"
    assert told.stdout == line
    assert paid.must("GET", path)["status"] == "active" and paid.gate_until(secret).status == 200
    healed = client.run("payments", "reconcile")
    assert (healed.returncode, healed.stdout) == (0, line)
    assert paid.gate_until(secret).status == 403
    again = client.run("payments", "reconcile", "--json")
    assert again.returncode == 0 and not any(row["changed"] for row in json.loads(again.stdout.splitlines()[0])["data"])
    stripe.fault = 500
    try:
        failed = client.run("payments", "reconcile", "--dry-run")
        assert failed.returncode == 2 and "could not be read" in failed.stdout, failed
    finally:
        stripe.fault = None


def test_approve(client, paid):
    made = paid.signup("free")
    name = made["customer"]["external_id"]
    done = client.run("payments", "approve", name, "--tier", "enterprise", "--until", "2036-12-31T00:00:00Z",
                      "--note", "Order 4711")
    assert done.returncode == 0 and "Order 4711" in done.stdout and "apr_" in done.stdout, done.stderr
    shown = paid.must("GET", f"/v1/customers/{name}")
    assert (shown["tier"], shown["payment"]["provider"]) == ("enterprise", "approval")
    for words in (["--tier", "nosuch", "--until", "2036-12-31T00:00:00Z"], ["--tier", "pro", "--until", "2020-01-01T00:00:00Z"]):
        assert client.run("payments", "approve", name, *words).returncode == 2
    assert client.run("payments", "approve", "nobody", "--tier", "pro", "--until", "2036-12-31T00:00:00Z").returncode == 2
    assert client.run("payments", "approve", name, "--tier", "pro").returncode == 1
    assert client.run("payments", "approve", name, "--tier", "pro", "--until", "2036-12-31T00:00:00Z", token="").returncode == 4
