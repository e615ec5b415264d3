"""Notices at 80 % and 100 % of a quota, by real calls, two daemons, and kills in between."""

import pytest

from claims import number_of
from daemon import wait_for
from mails import Maildir, text_of
from nodes import Cluster


@pytest.fixture
def cluster(build_directory, tmp_path):
    more = [f"mail.url=maildir:{tmp_path}/caught", "mail.from=keys@shop.example"]
    with Cluster(build_directory, "a", "b", more=more) as running:
        yield running


def notices(node, customer):
    listed = node.must("GET", f"/v1/notifications?customer_id={customer}")["data"]
    assert all(row["generation"] is None for row in listed if row["kind"].startswith("quota_"))
    return sorted(row["kind"] for row in listed if row["kind"].startswith("quota_"))


def signup(cluster, slug, quota, **more):
    cluster.nodes[0].tier(slug, monthly_quota=quota)
    made = cluster.nodes[0].signup(slug, **more)
    return made["secret"], made["customer"]["id"]


def spend(node, secret, cost):
    assert node.gate_until(secret, f"?cost={cost}").status == 200


def marks(cluster):
    return int(cluster.database.value("SELECT COUNT(*) FROM quota_due"))


def folded(cluster, customer, used):
    """All is folded, and what that reached is told."""
    sql = f"SELECT COALESCE(SUM(used), 0) FROM budget WHERE subject = {number_of(customer)}"
    wait_for(lambda: int(cluster.database.value(sql)) == used, f"{used} to be folded")
    wait_for(lambda: marks(cluster) == 0, "what is reached to be told")


def test_each_threshold_is_told_once(cluster, tmp_path):
    a, b = cluster.nodes
    secret, customer = signup(cluster, "small", 1000)
    spend(a, secret, 700)
    spend(b, secret, 99)
    folded(cluster, customer, 799)
    assert notices(a, customer) == []
    spend(b, secret, 1)
    folded(cluster, customer, 800)
    assert notices(b, customer) == ["quota_80"]
    spend(a, secret, 150)
    spend(b, secret, 50)
    assert a.gate_until(secret).status == 429
    folded(cluster, customer, 1000)
    assert notices(a, customer) == ["quota_100", "quota_80"]
    def quota_mails():
        found = [mail for mail in Maildir(tmp_path / "caught").mails() if "quota" in mail["Subject"]]
        return len(found) == 2 and found
    mails = wait_for(quota_mails, "both mails")
    assert sorted(mail["Subject"] for mail in mails) == [
        "You have used 80% of your shop.example quota", "You have used all of your shop.example quota"]
    assert any("Used:   800 of 1,000 calls" in text_of(mail) for mail in mails)

    # The same limit again says nothing; a higher one counts anew.
    a.tier("large", monthly_quota=2000)
    a.must("PATCH", f"/v1/customers/{customer}", {"tier": "large"})
    spend(a, secret, 599)
    folded(cluster, customer, 1599)
    assert len(notices(a, customer)) == 2
    spend(b, secret, 1)
    folded(cluster, customer, 1600)
    assert notices(a, customer) == ["quota_100", "quota_80", "quota_80"]
    a.must("PATCH", f"/v1/customers/{customer}", {"tier": "small"})
    assert b.gate_until(secret).status == 429
    a.must("PATCH", f"/v1/customers/{customer}", {"tier": "large"})
    spend(b, secret, 1)
    folded(cluster, customer, 1601)
    assert notices(a, customer) == ["quota_100", "quota_80", "quota_80"]


def test_a_kill_between_fold_and_notice_loses_and_doubles_nothing(cluster):
    a, b = cluster.nodes
    # A customer whose row is locked cannot be told: its mark waits, whoever looks at it dies.
    secret, customer = signup(cluster, "small", 1000)
    row = f"SELECT id FROM customer WHERE id = {number_of(customer)} FOR UPDATE"
    with cluster.database.locked(row):
        spend(a, secret, 1000)
        wait_for(lambda: marks(cluster), "the mark")
        a.kill()
        b.kill()
    a.start()
    b.start()
    folded(cluster, customer, 1000)
    assert notices(a, customer) == ["quota_100", "quota_80"]
