"""Keys at the dashboard: what can be done with them by forms, and what each role may."""

import re

import pytest

from daemon import wait_for
from dashboard import Admin, joined
from nodes import Cluster

SETTINGS = ["node.trust_clock=yes"]
SECRET = r'<textarea id="secret"[^>]*>([0-9A-Za-z_]+)</textarea>'


@pytest.fixture(scope="module")
def cluster(build_directory):
    with Cluster(build_directory, "one", more=[*SETTINGS, "mail.from=keys@ops.example"]) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def node(cluster):
    return cluster.nodes[0]


@pytest.fixture(scope="module")
def owner(cluster):
    return joined(cluster)


@pytest.fixture
def customer(node):
    tier = node.tier("wide", permissions=["csv_export", "user_info"])
    return node.signup(tier=tier["slug"], key={"title": "First"})


def secret_of(page):
    found = re.search(SECRET, page.body)
    assert found, page
    return found[1]


def works(node, secret):
    return node.gate_until(secret).status == 200


def test_the_list_is_searched_and_paged(node, owner, customer):
    for number in range(27):
        node.must("POST", "/v1/keys", {"customer_id": customer["customer"]["id"], "title": f"Paged number{number:02}"})
    page = owner.get("/admin/keys?q=paged")
    assert "Paged number26" in page.text and "Paged number00" not in page.text and "Paged number02" in page.text
    assert customer["customer"]["external_id"] in page.text and "First " not in page.text
    [more] = re.findall(r'rel="next" href="([^"]+)"', page.body)
    rest = owner.get("/admin/" + more.replace("&amp;", "&").split("admin/")[1])
    assert "Paged number00" in rest.text and "Paged number02" not in rest.text and "First page" in rest.text
    assert "No key fits" in owner.get("/admin/keys?q=nothing-like-it").text
    assert "Paged number26" in owner.get("/admin/keys?q=PAGED+number26&status=active&tier=wide").text
    assert "Paged number26" not in owner.get("/admin/keys?q=paged&status=revoked").text
    assert len(page.body) < 100000


def test_make_edit_and_see(node, owner, customer):
    external = customer["customer"]["external_id"]
    form = owner.get(f"/admin/keys/new?customer={external}")
    assert external in form.body and "csv_export" in form.text and "sso_verify" in form.text
    fields = {"customer": external, "title": 'My <i>"key"</i>', "description": "Line one\r\nline two",
              "permissions[]": ["csv_export", "user_info"], "networks": "203.0.113.0/24\r\n2001:db8::/32",
              "limit_name_1": "minute", "limit_1": "5", "window_1": "60", "expires_on": "2099-12-31",
              "monthly_cap": "77", "environment": "live", "deliver": "response"}
    page = owner.post("/admin/keys/new", fields, of=form)
    assert page.status == 200 and "only time" in page.text, page
    secret = secret_of(page)
    key = node.must("POST", "/v1/keys/lookup", {"key": secret})
    assert key["title"] == fields["title"] and key["permissions"] == ["csv_export", "user_info"]
    assert key["allowed_networks"] == ["203.0.113.0/24", "2001:db8::/32"] and key["monthly_cap"] == 77
    assert key["rate_limits"] == [{"name": "minute", "limit": 5, "window_seconds": 60}]
    assert key["description"] == "Line one\nline two" and key["expires_at"] == "2099-12-31T23:59:59Z"
    # The same form again makes nothing, and shows no secret.
    again = owner.post("/admin/keys/new", {**fields, "once": form.hidden("once")}, of=form)
    assert "shown already" in again.text and secret not in again.body
    assert len(node.must("GET", f"/v1/keys?customer_id={external}")["data"]) == 2

    page = owner.get(f"/admin/keys/{key['id']}")
    for part in ('My <i>"key"</i>', "csv_export", "203.0.113.0/24", "77", "5 in 60 s", "31 Dec 2099", external,
                 "key.create"):
        assert part in page.text, part
    assert "<i>" not in page.body and secret not in page.body

    edit = owner.get(f"/admin/keys/{key['id']}/edit")
    assert 'value="2099-12-31"' in edit.body and 'value="csv_export" checked' in edit.body
    page = owner.post(f"/admin/keys/{key['id']}/edit",
                      {"title": "Renamed", "permissions[]": ["user_info"], "networks": ""}, of=edit)
    assert page.path.endswith("?done=saved") and "Saved." in page.text
    key = node.must("GET", f"/v1/keys/{key['id']}")
    assert key["title"] == "Renamed" and key["permissions"] == ["user_info"] and key["allowed_networks"] == []
    assert key["monthly_cap"] is None and key["expires_at"] is None and key["rate_limits"] == []


def test_what_is_saved_unchanged_stays(node, owner):
    """All that the API holds, also what the page has no field of its own for."""
    limits = [{"name": f"limit-{i}", "limit": 5 + i, "window_seconds": 60} for i in range(8)]
    tier = node.tier("full", rate_limits=limits[:7], permissions=["csv_export", "user_info"], monthly_quota=12345,
                     price_references=["price_1", "price_2"], requires_payment=False, on_lapse="free")
    page = owner.get("/admin/tiers/full")
    assert owner.follow(owner.send("POST", "/admin/tiers/full", page.fields)).path.endswith("done=saved")
    assert node.must("GET", "/v1/tiers/full") == tier

    made = node.signup("full", key={"title": "All", "description": "One\ntwo", "permissions": ["user_info"],
                                    "expires_at": "2099-06-01T08:00:01Z", "rate_limits": limits, "monthly_cap": 9,
                                    "allowed_networks": ["10.0.0.0/8", "2001:db8::/32"], "metadata": {"a": "b"}})
    key = node.must("GET", f"/v1/keys/{made['key']['id']}")
    path = f"/admin/keys/{key['id']}/edit"
    page = owner.get(path)
    assert owner.follow(owner.send("POST", path, page.fields)).path.endswith("done=saved")
    assert node.must("GET", f"/v1/keys/{key['id']}") == key
    # One mistake, and the page that tells of it has all of that still.
    again = owner.send("POST", path, [(name, "10.0.0.0/99" if name == "networks" else value)
                                      for name, value in page.fields])
    assert again.status == 422 and dict(again.fields) == {**dict(page.fields), "networks": "10.0.0.0/99",
                                                          "once": again.hidden("once")}
    page = owner.get(path)  # a form is of the key as it was when it was shown
    owner.send("POST", path, [(name, "2099-06-02" if name == "expires_on" else value) for name, value in page.fields])
    assert node.must("GET", f"/v1/keys/{key['id']}")["expires_at"] == "2099-06-02T23:59:59Z"


def test_what_the_api_refuses_is_told_at_the_field(owner, customer):
    external = customer["customer"]["external_id"]
    form = owner.get("/admin/keys/new")
    for fields, says in (({"customer": "nobody-there"}, "no such"),
                         ({"customer": ""}, "is needed"),
                         ({"customer": external, "networks": "everywhere"}, "A network"),
                         ({"customer": external, "permissions[]": ["fly"]}, "fly is not among"),
                         ({"customer": external, "monthly_cap": "many"}, "The cap"),
                         ({"customer": external, "limit_name_1": "minute", "limit_1": "x"}, "A limit"),
                         ({"customer": external, "expires_on": "2001-01-01"}, "The date")):
        page = owner.post("/admin/keys/new", {"title": "Kept <text>", **fields}, of=form)
        assert page.status in (404, 409, 422) and says in page.text, (fields, page)
        assert "Kept &lt;text&gt;" in page.body


def test_rotate_regenerate_and_the_rest(node, owner, customer):
    key, old = customer["key"]["id"], customer["secret"]
    of = owner.get(f"/admin/keys/{key}")
    page = owner.post(f"/admin/keys/{key}/rotate", {"grace_seconds": "3600", "deliver": "response"}, of=of)
    new = secret_of(page)
    assert works(node, old) and works(node, new) and "works until" in page.text
    shown = owner.get(f"/admin/keys/{key}")
    assert "rotating" in shown.text and old[:10] + "..." in shown.text and f"/{key}/rotate" not in shown.body
    page = owner.post(f"/admin/keys/{key}/rotate", {"grace_seconds": "0", "deliver": "response"}, of=shown)
    assert page.status == 409 and "rotat" in page.text
    owner.post(f"/admin/keys/{key}/end-overlap", of=shown)
    assert not works(node, old) and works(node, new)
    last = secret_of(owner.post(f"/admin/keys/{key}/regenerate", {"deliver": "response"}, of=shown))
    assert not works(node, new) and works(node, last)
    assert "disabled" in owner.post(f"/admin/keys/{key}/disable", of=shown).text and not works(node, last)
    assert "works again" in owner.post(f"/admin/keys/{key}/enable", of=shown).text and works(node, last)
    assert "postponed" in owner.post(f"/admin/keys/{key}/postpone", {"days": "3"}, of=shown).text
    wrong = owner.post(f"/admin/keys/{key}/revoke", {"typed": "first"}, of=shown)
    assert wrong.status == 422 and "letter by letter" in wrong.text and works(node, last)
    page = owner.post(f"/admin/keys/{key}/revoke", {"typed": "First"}, of=shown)
    assert "for good" in page.text and not works(node, last)
    rows = node.must("GET", f"/v1/audit?subject={key}")["data"]
    [mine] = {row["actor"] for row in rows if row["actor"].startswith("adm_")}
    assert {row["action"] for row in rows if row["actor"] == mine} >= {
        "key.rotate", "key.regenerate", "key.disable", "key.enable", "key.revoke"}


def test_the_audit_chain_is_verified(cluster, node, owner):
    assert "Yes." in owner.get("/admin/audit/verify").text
    rows = cluster.database.sql("SELECT sequence, detail FROM audit ORDER BY sequence DESC LIMIT 3")
    sequence, detail = rows[1]
    cluster.database.sql(f"UPDATE audit SET detail = '{{\"x\":1}}' WHERE sequence = {sequence}")
    page = owner.get("/admin/audit/verify")
    assert f"At row {int(sequence):,}: a row is not what was written" in page.text
    cluster.database.sql(f"UPDATE audit SET detail = '{detail}' WHERE sequence = {sequence}")
    assert "Yes." in owner.get("/admin/audit/verify").text
    cluster.database.sql(f"UPDATE audit SET sequence = sequence + 1000000 WHERE sequence = {sequence}")
    assert f"At row {int(sequence):,}: a row is missing" in owner.get("/admin/audit/verify").text
    cluster.database.sql(f"UPDATE audit SET sequence = {sequence} WHERE sequence = {int(sequence) + 1000000}")
    assert "Yes." in owner.get("/admin/audit/verify").text


def test_customers_tiers_and_lists(node, owner, customer):
    about = customer["customer"]
    page = owner.get(f"/admin/customers/{about['id']}")
    assert about["external_id"] in page.text and "First" in page.text and "someone@example.com" in page.text
    refused = owner.post(f"/admin/customers/{about['id']}/tier", {"tier": "pro"}, of=page)
    assert refused.status in (402, 409, 422) and "pay" in refused.text.lower(), refused
    approve = page.body.partition('id="approved_tier"')[2]
    offered = re.findall(r'<option value="(\w+)"', approve[:approve.index("</select>")])
    assert "pro" in offered and "free" not in offered
    done = owner.post(f"/admin/customers/{about['id']}/approve",
                      {"tier": "pro", "until_on": "2099-12-31", "note": "Invoice 7"}, of=page)
    assert "payment is approved" in done.text and "pro" in done.text
    assert node.must("GET", f"/v1/customers/{about['id']}")["tier"] == "pro"
    done = owner.post(f"/admin/customers/{about['id']}/edit", {"email": "new@example.com", "name": "Näme"}, of=page)
    assert "Saved." in done.text and "new@example.com" in done.text and "Näme" in done.text
    wrong = owner.post(f"/admin/customers/{about['id']}/edit", {"email": "none"}, of=page)
    assert wrong.status == 422 and "The address" in wrong.text
    assert about["external_id"] in owner.get(f"/admin/customers?external_id={about['external_id']}").text
    assert "No customer fits" in owner.get("/admin/customers?external_id=nobody-here").text

    tier = owner.get("/admin/tiers/wide")
    before = node.must("GET", "/v1/tiers/wide")
    fields = {name: "" if before[name] is None else before[name] for name in (
        "name", "overage", "label", "on_unclaimed", "on_lapse", "ack", "max_keys", "rotation_days", "notice_days",
        "grace_seconds", "hard_stop_days", "max_overlap_days")}
    fields |= {"monthly_quota": "4321", "permissions": "csv_export, user_info",
               "limit_name_1": "second", "limit_1": "1000000", "window_1": "1"}
    done = owner.post("/admin/tiers/wide", fields, of=tier)
    assert "Saved." in done.text
    after = node.must("GET", "/v1/tiers/wide")
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"monthly_quota", "updated_at"} and after["monthly_quota"] == 4321, changed
    wrong = owner.post("/admin/tiers/wide", {**fields, "max_keys": "none", "name": "Kept"}, of=tier)
    assert wrong.status == 422 and 'value="Kept"' in wrong.body and "It must" in wrong.text

    page = owner.get("/admin/audit?action=tier.update")
    assert "tier/wide" in page.text and "key.create" not in page.text
    assert owner.get("/admin/rotations?status=scheduled").status == 200
    assert "metering" in owner.get("/admin/settings").text


def test_service_tokens(node, owner):
    form = owner.get("/admin/tokens")
    page = owner.post("/admin/tokens", {"name": "gateway", "scopes[]": ["verify", "read"]}, of=form)
    token = secret_of(page)
    assert token.startswith("kmt_") and node.call("GET", "/v1/keys", token=token).status == 200
    page = owner.get("/admin/tokens")
    [ident] = re.findall(r"gateway.*?tokens/(tok_\w+)/revoke", page.body, re.S)[:1]
    assert "token is revoked" in owner.post(f"/admin/tokens/{ident}/revoke", of=page).text
    assert node.call("GET", "/v1/keys", token=token).status == 401
    other = owner.post("/admin/tokens", {"name": "other", "scopes[]": ["verify"]}, of=form)
    assert other.status == 422 and "another body" in other.text  # that form has done its work
    wrong = owner.post("/admin/tokens", {"name": "", "scopes[]": ["verify"]}, of="/admin/tokens")
    assert wrong.status == 422 and "The name must" in wrong.text, wrong.text
    wrong = owner.post("/admin/tokens", {"name": "nothing"}, of="/admin/tokens")
    assert wrong.status == 422 and "They must be" in wrong.text, wrong.text


def test_nothing_of_another_or_none(owner):
    for path in ("/admin/keys/key_0000000000000", "/admin/keys/nothing", "/admin/keys/..", "/admin/keys/x%2Fusage"):
        assert owner.get(path).status == 404, path
