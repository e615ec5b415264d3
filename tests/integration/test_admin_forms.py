"""Forms of the dashboard: making tiers, erasing customers, links to the portal, and a form that is saved over a
newer change; with it, If-Match and ETag of the API."""

import csv
import hashlib
import hmac
import io
import json
import re
import secrets

import pytest

import portals
from daemon import request
from dashboard import joined, mailing


@pytest.fixture(scope="module")
def cluster(build_directory, tmp_path_factory):
    with mailing(build_directory, tmp_path_factory.mktemp("mail")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def node(cluster):
    return cluster.nodes[0]


@pytest.fixture(scope="module")
def admin(cluster):
    return joined(cluster, "admin")


def save(admin, path, changes, page=None):
    """What a browser sends of the page's form, with these fields changed."""
    page = page or admin.get(path)
    fields = [(name, changes.pop(name, value)) for name, value in page.fields]
    return admin.follow(admin.send("POST", path, [*fields, *changes.items()]))


# ---- versions of the API ----

def test_a_change_of_what_was_read_and_no_other(node):
    made = node.signup("free", key={"title": "watched"})
    key, customer = f"/v1/keys/{made['key']['id']}", f"/v1/customers/{made['customer']['id']}"
    tier = node.tier("watched")
    cases = [("PATCH", key, {"title": "a"}), ("PATCH", customer, {"name": "a"}), ("PUT", "/v1/tiers/watched", tier)]
    for method, path, body in cases:
        read = node.call("GET", path)
        tag = read.headers["ETag"]
        assert re.fullmatch(r'"\d+"', tag)
        done = node.call(method, path, body, **{"If-Match": f'"1", {tag}'})
        assert done.status == 200 and done.headers["ETag"] not in (tag, None), done
        late = node.call(method, path, body, **{"If-Match": tag})
        assert late.status == 412 and late.json["code"] == "precondition_failed", late
        assert node.call("GET", path).headers["ETag"] == done.headers["ETag"]
        for wish, status in ((done.headers["ETag"], 200), ("*", 200), ('W/"1"', 412), ("nonsense", 412), ("", 412)):
            assert node.call(method, path, body, **{"If-Match": wish}).status == status, wish
    assert node.call("DELETE", customer, **{"If-Match": tag}).status == 412
    assert node.call("DELETE", customer, **{"If-Match": "*"}).status == 204
    assert node.call("PATCH", customer, {"name": "a"}, **{"If-Match": "*"}).status == 404


def test_a_tier_is_made_and_none_is_replaced(node):
    tier = node.must("GET", "/v1/tiers/free")
    body = {**tier, "slug": "only-once"}
    path = "/v1/tiers/only-once"
    assert node.call("PUT", path, body, **{"If-Match": "*"}).status == 412
    assert node.call("PUT", path, body, **{"If-None-Match": "*"}).status == 201
    assert node.call("PUT", path, {**body, "max_keys": 7}, **{"If-None-Match": "*"}).status == 412
    assert node.call("PUT", path, body, **{"If-None-Match": '"1"'}).status == 422
    assert node.must("GET", path)["max_keys"] == tier["max_keys"]
    seeded = node.call("GET", "/v1/tiers/pro").headers["ETag"]
    assert node.call("PUT", "/v1/tiers/pro", node.must("GET", "/v1/tiers/pro"),
                     **{"If-Match": seeded}).status == 200


# ---- a form over a newer change ----

def test_a_form_does_not_undo_what_somebody_saved_meanwhile(node, admin):
    made = node.signup("free", key={"title": "before"})
    key, customer = made["key"]["id"], made["customer"]["id"]
    path = f"/admin/keys/{key}/edit"
    opened = admin.get(path)
    node.must("PATCH", f"/v1/keys/{key}", {"title": "theirs", "description": "new"})
    refused = save(admin, path, {"title": "mine"}, opened)
    assert refused.status == 412 and "somebody changed this since you opened it" in refused.text
    assert 'value="mine"' in refused.body  # what was typed is not lost
    assert node.must("GET", f"/v1/keys/{key}")["title"] == "theirs"
    again = save(admin, path, {}, refused)  # now knowingly
    assert "Saved." in again.text and node.must("GET", f"/v1/keys/{key}")["title"] == "mine"

    tier = node.tier("busy", max_keys=3)
    opened = admin.get("/admin/tiers/busy")
    node.must("PUT", "/v1/tiers/busy", {**tier, "max_keys": 4})
    assert save(admin, "/admin/tiers/busy", {"name": "Mine"}, opened).status == 412
    assert node.must("GET", "/v1/tiers/busy")["max_keys"] == 4
    assert "Saved." in save(admin, "/admin/tiers/busy", {"name": "Mine"}).text

    page = admin.get(f"/admin/customers/{customer}")
    version = page.hidden("version")
    node.must("PATCH", f"/v1/customers/{customer}", {"name": "Theirs"})
    fields = {"email": "new@ops.example", "name": "Mine", "version": version}
    assert admin.post(f"/admin/customers/{customer}/edit", fields, of=page).status == 412
    assert node.must("GET", f"/v1/customers/{customer}")["name"] == "Theirs"
    for wrong in ("x", '"', "1" * 60):
        assert admin.post(f"/admin/customers/{customer}/edit", {**fields, "version": wrong}, of=page).status == 412


# ---- a new tier ----

def test_a_tier_is_made_from_a_form(node, admin):
    node.tier("model", monthly_quota=777, permissions=["csv_export"])
    page = admin.get("/admin/new-tier?like=model")
    assert dict(page.fields)["monthly_quota"] == "777" and dict(page.fields)["slug"] == ""
    wrong = save(admin, "/admin/new-tier", {"slug": "Not One", "name": "Made"}, page)
    assert wrong.status == 422 and "The slug must be" in wrong.text
    made = save(admin, "/admin/new-tier", {"slug": "made-here", "name": "Made"}, page)
    assert made.path == "/admin/tiers/made-here?done=made", made
    tier = node.must("GET", "/v1/tiers/made-here")
    assert (tier["monthly_quota"], tier["name"], tier["permissions"]) == (777, "Made", ["csv_export"])
    taken = save(admin, "/admin/new-tier", {"slug": "model", "name": "Over it"}, page)
    assert taken.status == 412 and "there is one already" in taken.text
    assert node.must("GET", "/v1/tiers/model")["name"] != "Over it"
    assert node.must("GET", "/v1/audit?action=tier.create&limit=1")["data"][0]["actor"].startswith("adm_")


# ---- erasing, and the portal ----

def test_a_customer_is_erased_by_who_types_its_name(node, admin):
    made = node.signup("free", key={"title": "theirs"})
    customer, name = made["customer"]["id"], made["customer"]["external_id"]
    path = f"/admin/customers/{customer}/erase"
    assert node.gate_until(made["secret"]).status == 200
    for typed in ("", name[:-1], name.upper() + "x", customer):
        page = admin.post(path, {"typed": typed}, of=f"/admin/customers/{customer}")
        assert page.status == 422 and "letter by letter" in page.text
    assert node.gate_until(made["secret"]).status == 200
    page = admin.post(path, {"typed": name}, of=f"/admin/customers/{customer}")
    assert page.path == "/admin/customers?done=erased" and "erased" in page.text
    assert node.gate_until(made["secret"]).status == 401
    assert admin.get(f"/admin/customers/{customer}").status == 404
    assert node.must("GET", "/v1/audit?action=customer.delete&limit=1")["data"][0]["subject"] == customer


def test_a_link_to_the_portal(node, admin):
    made = node.signup("free", key={"title": "shown there"})
    customer = made["customer"]["id"]
    page = admin.post(f"/admin/customers/{customer}/portal-link", of=f"/admin/customers/{customer}")
    link = re.search(r"http://[^/]*(/portal/open/km_portal_\w+)", page.body)[1]
    assert "only time it is shown" in page.text and page.headers["Cache-Control"] == "no-store"
    opened = request(node.api, "GET", link, headers=portals.BROWSER).body.decode()
    visit = portals.Visit.__new__(portals.Visit)
    visit.node, visit.address, visit.cookie = node, node.api, None
    assert visit.post("/portal/open", token=portals.hidden(opened, "token")).status == 303
    assert b"shown there" in visit.get("/portal").body
    assert link[len("/portal/open/km_portal_"):] not in node.log()


# ---- import ----

def hashed(text):
    return hashlib.sha256(text.encode()).hexdigest()


def lines_of(customer, texts):
    return "\r\n".join(f"{customer}, {hashed(text)}, {text[:6]}, Old, one {n}" for n, text in enumerate(texts))


def test_keys_are_imported_by_lines(node, admin):
    node.tier("roomy", max_keys=1000)
    name = node.signup("roomy")["customer"]["external_id"]
    texts = [f"old-{secrets.token_hex(8)}" for _ in range(3)]
    wrong = "\r\n\r\nno such line\r\nnobody, " + hashed("x") + ", x\r\n" + f"{name}, nonsense, x"
    page = admin.post("/admin/keys/import", {"algorithm": "sha256", "lines": lines_of(name, texts) + wrong},
                      of="/admin/keys/import")
    assert "3 imported, 3 refused" in page.text, page
    assert "wants customer, hash and start" in page.text and "64 hex digits" in page.text
    for text in texts:
        assert node.gate_until(text).status == 200
    keys = node.must("GET", f"/v1/keys?customer_id={name}")["data"]
    assert sorted(key["title"] for key in keys) == ["", "Old, one 0", "Old, one 1", "Old, one 2"]
    again = admin.post("/admin/keys/import", {"algorithm": "sha256", "lines": lines_of(name, texts)},
                       of="/admin/keys/import")
    assert "0 imported, 3 refused" in again.text, again
    key = b"secret of the old system"
    text = f"old-{secrets.token_hex(8)}"
    digest = hmac.new(key, text.encode(), "sha256").hexdigest()
    page = admin.post("/admin/keys/import", {
        "algorithm": "hmac-sha256", "hmac_key": key.decode(), "hmac_key_encoding": "text",
        "lines": f"{name},{digest},{text[:6]}"}, of="/admin/keys/import")
    assert "All 1 are imported" in page.text and key.decode() not in page.body
    assert node.gate_until(text).status == 200 and key.decode() not in node.log()


def test_a_long_list_goes_in_pieces_with_progress(browser, node, admin):
    name = node.signup("roomy")["customer"]["external_id"]
    texts = [f"old-{secrets.token_hex(8)}" for _ in range(60)]
    lines = lines_of(name, texts).replace("\r\n", "\n") + "\nnot a line\n"
    with browser.page() as page:
        [(cookie, value)] = admin.cookies.items()
        page.call("Network.setCookie", name=cookie, value=value, url=f"http://{node.api}/", httpOnly=True)
        page.open(f"http://{node.api}/admin/keys/import")
        page.value(f"document.getElementById('lines').value = {json.dumps(lines)}")
        page.value("window.seen = []; new MutationObserver(() => seen.push(document.getElementById('progress').value))"
                   ".observe(document.querySelector('form progress'), {attributes: true})")
        page.click(".formed button")
        page.until("document.querySelector('[data-told]').textContent.startsWith('Done')")
        assert page.value("document.querySelector('[data-told]').textContent") == "Done: 61 lines, 1 refused."
        assert page.value("seen.filter(one => one > 0 && one < 61).length") > 0
        assert page.value("[...document.querySelectorAll('[data-lines] tr')].map(r => +r.cells[0].textContent)") == list(
            range(1, 62))
        assert page.value("document.getElementById('lines').value") == "" and page.console == []
    assert node.gate_until(texts[0]).status == 200 and node.gate_until(texts[-1]).status == 200


# ---- previews, and the audit log as a file ----

def test_mails_are_previewed(node, admin):
    page = admin.get("/admin/mail-preview")
    assert "key_issued" in page.text and "nothing is sent" in page.text
    page = admin.get("/admin/mail-preview?kind=rotated&with=secret&format=html&language=en")
    assert page.status == 200 and "&lt;" in page.body and 'value="rotated" selected' in page.body
    assert admin.get("/admin/mail-preview?kind=nonsense").status == 404
    assert admin.get("/admin/mail-preview?language=no,no").status == 422
    assert admin.get("/admin/mail-preview?with=money").status == 422


def test_the_audit_log_is_saved_as_a_file(node, admin):
    made = node.signup("free", key={"title": "exported"})
    key = made["key"]["id"]
    for title in ("=1+1", "two"):
        node.must("PATCH", f"/v1/keys/{key}", {"title": title})
    rows = node.must("GET", f"/v1/audit?subject={key}")["data"]
    page = admin.get(f"/admin/audit/export?format=jsonl&subject={key}")
    assert [json.loads(line) for line in page.body.splitlines()] == rows
    name = f"audit-{rows[-1]['sequence']}-{rows[0]['sequence']}"
    assert page.headers["Content-Disposition"] == f'attachment; filename="{name}.jsonl"'
    assert page.headers["Content-Type"] == "application/jsonl" and "sandbox" in page.headers["Content-Security-Policy"]
    page = admin.get(f"/admin/audit/export?subject={key}")
    table = list(csv.DictReader(io.StringIO(page.body)))
    assert page.headers["Content-Type"].startswith("text/csv")
    assert [{**row, "sequence": int(row["sequence"]), "detail": json.loads(row["detail"])} for row in table] == [
        {name: value if value is not None else "" for name, value in row.items()} for row in rows]
    older = admin.get(f"/admin/audit/export?format=jsonl&subject={key}&before={rows[0]['sequence']}")
    assert [json.loads(line) for line in older.body.splitlines()] == rows[1:]
    for wrong in ("before=0", "before=x", "format=xml", "customer_id=a%20b"):
        assert admin.get(f"/admin/audit/export?{wrong}").status == 422, wrong
    everything = admin.get("/admin/audit/export?format=jsonl").body.splitlines()
    assert len(everything) >= int(rows[0]["sequence"])  # beyond one page of 200


def test_the_second_factor_can_be_scanned(node, cluster):
    page = joined(cluster).get("/admin/account")
    secret = re.search(r'name="totp_secret"[^>]*value="([A-Z2-7]{32})"', page.body)[1]
    picture = re.search(r'<svg class="qr" viewBox="0 0 (\d+) \1"[^>]*><path d="((?:M\d+ \d+h\d+v1h-\d+z)+)"/></svg>', page.body)
    assert picture and int(picture[1]) > 40 and secret in page.body


# ---- order ----

def all_of(node, path):
    """All pages of a list, three at a time."""
    rows, cursor = [], ""
    while True:
        page = node.must("GET", f"{path}&limit=3{cursor}")
        rows += [row["id"] for row in page["data"]]
        if not page["next_cursor"]:
            return rows
        cursor = f"&cursor={page['next_cursor']}"


def test_lists_stand_the_other_way_round(node, admin):
    node.tier("ordered", max_keys=100)
    made = [node.signup("ordered", key={"title": f"sorted batch {n}"}) for n in range(4)]
    name = made[0]["customer"]["external_id"]
    keys = [node.must("POST", "/v1/keys", {"customer_id": name, "title": f"sorted lot {n}"})["id"] for n in range(7)]
    for key in keys[::2]:
        node.must("POST", f"/v1/keys/{key}/disable")
    node.must("POST", f"/v1/keys/{keys[1]}/rotate", {})
    for query in ("tier=ordered", f"customer_id={name}", "q=sorted", "q=sorted+lot", "status=disabled",
                  "tier=ordered&status=active", "status=rotating", "unused_since=2100-01-01T00:00:00Z"):
        newest = all_of(node, f"/v1/keys?{query}")
        assert newest and all_of(node, f"/v1/keys?{query}&order=oldest") == newest[::-1], query
        assert all_of(node, f"/v1/keys?{query}&order=newest") == newest
    for query in ("tier=ordered", "limit=3"):
        newest = all_of(node, f"/v1/customers?{query}".replace("limit=3", "order=newest"))
        oldest = all_of(node, f"/v1/customers?{query}&order=oldest".replace("limit=3&", ""))
        assert newest and oldest == newest[::-1], query
    assert node.call("GET", "/v1/keys?order=title").status == 422
    page = admin.get("/admin/keys?q=sorted&order=oldest")
    shown = re.findall(r"admin/keys/(key_\w{13})\"", page.body)
    assert shown == all_of(node, "/v1/keys?q=sorted&order=oldest")
    turned = re.search(r'class="sort" href="[./]*(admin/keys\?[^"]*)"', page.body)[1].replace("&amp;", "&")
    assert turned == "admin/keys?q=sorted&order=newest"
    assert re.findall(r"admin/keys/(key_\w{13})\"", admin.get("/" + turned).body) == shown[::-1]
