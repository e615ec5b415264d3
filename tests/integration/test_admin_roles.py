"""Who may what at the dashboard: every page and form, for every role, from the table of routes itself."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import mails
from claims import number_of
from daemon import request, wait_for
from dashboard import Admin, joined, mailing
from nodes import Cluster

ROLES = ["auditor", "support", "admin", "owner"]
NEEDS = {"readers": "auditor", "helpers": "support", "managers": "admin", "owners": "owner"}
IDS = {"keys": "key", "customers": "cus", "notifications": "ntf", "alerts": "alr", "tokens": "tok",
       "admins": "adm", "invites": "inv", "sessions": "ses"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mail")


@pytest.fixture(scope="module")
def cluster(build_directory, folder):
    with mailing(build_directory, folder) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def node(cluster):
    return cluster.nodes[0]


@pytest.fixture(scope="module")
def people(cluster):
    return {role: joined(cluster, role) for role in ROLES}


def routes(source_directory):
    text = (source_directory / "src/api/admin_routes.c").read_text()
    found = re.findall(r'\{HTTP_M_(\w+), "([^"]+)", \w+,\s+&(\w+)\}', text)
    assert len(found) > 40
    return [(method, pattern, NEEDS[who]) for method, pattern, who in found if who in NEEDS]


def filled(pattern):
    """With ids that nothing has."""
    parts = pattern.split("/")
    return "/".join(f"{IDS[parts[i - 1]]}_0000000000000" if part == "{id}" else
                    "no-such-tier" if part == "{slug}" else part for i, part in enumerate(parts))


@pytest.mark.parametrize("role", ROLES)
def test_every_page_and_form(cluster, people, source_directory, role):
    admin = people[role]
    token = admin.get("/admin/account").hidden("csrf")
    for method, pattern, needs in routes(source_directory):
        if pattern in ("/admin/sign-out", "/admin/account/sessions/end-others"):
            continue
        fields = None if method == "GET" else {"csrf": token}
        page = admin.send(method, filled(pattern), fields)
        allowed = ROLES.index(role) >= ROLES.index(needs)
        assert (page.status != 403) == allowed, (role, method, pattern, page)
        assert page.status < 500, (role, method, pattern, page)
        if not allowed:
            assert "Your role may not do that" in page.text


def test_without_a_session_every_page_leads_to_the_sign_in(node, source_directory):
    stranger = Admin(node)
    for method, pattern, _ in routes(source_directory):
        page = stranger.send(method, filled(pattern), None if method == "GET" else {"title": "x"})
        assert page.status == 303 and page.headers["Location"].endswith("admin/sign-in"), (pattern, page)


def test_the_menu_has_what_the_role_may_see(people):
    assert "Service tokens" not in people["support"].get("/admin").text
    assert "Service tokens" in people["admin"].get("/admin").text
    assert "Admins" not in people["admin"].get("/admin").text and "Admins" in people["owner"].get("/admin").text
    for role in ("auditor", "support"):
        assert "New key" not in people[role].get("/admin/keys").text


def test_support_never_sees_a_secret(node, people, folder):
    """It rotates and regenerates, and the customer gets what comes of it; whatever the form says."""
    made = node.signup(key={"title": "Helped"})
    key, support = made["key"]["id"], people["support"]
    caught = mails.Maildir(folder)
    page = support.get(f"/admin/keys/{key}")
    assert "Nobody here sees it" in page.text and 'name="deliver"' not in page.body
    assert "Revoke" not in page.text and "Edit" not in page.text and "Disable" not in page.text
    for verb, old_lives in (("rotate", True), ("regenerate", False)):
        before = len(caught.files())
        page = support.post(f"/admin/keys/{key}/{verb}", {"deliver": "response", "grace_seconds": "3600"},
                            of=support.get(f"/admin/keys/{key}"))
        assert page.status == 200 and "on its way to the customer" in page.text, page
        assert "<textarea" not in page.body and not re.search(r"km_live_[0-9A-Za-z]{49}", page.body)
        wait_for(lambda: len(caught.files()) > before, "the mail")
        assert (node.gate_until(made["secret"]).status == 200) == old_lives


def test_an_auditor_reads_and_that_is_all(node, people):
    made = node.signup(key={"title": "Watched"})
    page = people["auditor"].get(f"/admin/keys/{made['key']['id']}")
    assert "Watched" in page.text and "<form" in page.body and page.body.count("<form") == 1  # to sign out
    for path in ("/admin", "/admin/audit", "/admin/alerts", "/admin/notifications", "/admin/tiers/free",
                 "/admin/rotations", "/admin/settings", "/admin/customers"):
        assert people["auditor"].get(path).status == 200, path


def test_a_role_that_changes_acts_at_once(cluster, people, node):
    somebody, owner = joined(cluster, "admin"), people["owner"]
    assert somebody.get("/admin/tokens").status == 200
    page = owner.get("/admin/admins")
    own = re.search(rf"{re.escape(somebody.email)}.*?(adm_\w{{13}})", page.body, re.S)[1]
    assert "role is changed" in owner.post(f"/admin/admins/{own}/role", {"role": "auditor"}, of=page).text
    assert somebody.get("/admin/tokens").status == 403 and somebody.get("/admin/keys").status == 200
    row = node.must("GET", "/v1/audit?action=admin.role")["data"][0]
    assert row["subject"] == own and row["detail"] == {"from": "admin", "to": "auditor"}
    assert row["actor"].startswith("adm_") and row["actor"] != own
    assert "Signed out everywhere" in owner.post(f"/admin/admins/{own}/disable", of=page).text
    assert somebody.get("/admin").path == "/admin/sign-in" and somebody.sign_in(somebody.email).status == 401
    owner.post(f"/admin/admins/{own}/enable", of=page)
    page = owner.post(f"/admin/admins/{own}/reset", of=page)
    link = re.search(r"http://\S+/admin/join/\w+", page.body)[0]
    again = Admin(node)
    page = again.follow(again.send("POST", "/admin/join/" + link.rsplit("/", 1)[1], {
        "again": "yes", "password": "an entirely new one", "password_again": "an entirely new one"}))
    assert page.path == "/admin" and Admin(node).sign_in(somebody.email, "an entirely new one").path == "/admin"


@pytest.mark.parametrize("change, leads", [
    ("DELETE FROM admin_session WHERE admin_id = {}", "/admin/sign-in"),
    ("UPDATE admin SET disabled_at = 1 WHERE id = {}", "/admin/sign-in"),
    ("UPDATE admin SET role = 'auditor' WHERE id = {}", None),
])
def test_who_lost_the_right_before_the_change_changes_nothing(cluster, node, change, leads):
    """Between the look at the session and the transaction another change is under way, which waits for a row."""
    admin = joined(cluster, "admin")
    number = cluster.database.value(f"SELECT id FROM admin WHERE email = '{admin.email}'")
    held, other = node.signup("free"), node.signup("free")
    key = other["key"]["id"]
    page = admin.get(f"/admin/keys/{key}")

    def waits():
        metrics = request(node.api, "GET", "/metrics").body.decode()
        return re.search(r'pool_waiting\{pool="committer"\} [1-9]', metrics)

    with ThreadPoolExecutor(2) as pool:
        with cluster.database.locked(f"SELECT id FROM api_key WHERE id = {number_of(held['key']['id'])} FOR UPDATE"):
            first = pool.submit(node.call, "POST", f"/v1/keys/{held['key']['id']}/disable")
            wait_for(lambda: cluster.database.value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE "
                                                    "command = 'Execute' AND info LIKE '%FOR UPDATE'") == "1",
                     "the first change")
            second = pool.submit(admin.post, f"/admin/keys/{key}/disable", {}, page)
            wait_for(waits, "the second one to be asked for")
            cluster.database.sql(change.format(number))
        assert first.result().status == 200
        refused = second.result()
    assert refused.path == leads if leads else refused.status == 403, refused
    assert node.must("GET", f"/v1/keys/{key}")["status"] == "active"


def test_the_last_owner_stays(build_directory):
    with Cluster(build_directory, "one") as cluster:
        owner = joined(cluster)
        page = owner.get("/admin/admins")
        own = re.search(r"adm_\w{13}", page.body)[0]
        for verb, fields in (("role", {"role": "admin"}), ("disable", {})):
            refused = owner.post(f"/admin/admins/{own}/{verb}", fields, of=page)
            assert refused.status == 409 and "only owner" in refused.text
        assert owner.get("/admin/admins").status == 200
