"""The customer portal as HTTP sees it: links, sessions, what may be seen and done, and what may not."""

import re
import secrets
from urllib.parse import urljoin

import pytest

import portals
from daemon import request
from nodes import Cluster
from portals import Visit, secret_of

SETTINGS = ["product.name=Acme <Maps>", "product.support=help@acme.example",
            "product.endpoint=https://api.acme.example/v1", "node.trust_clock=yes"]


@pytest.fixture(scope="module")
def cluster(build_directory):
    with Cluster(build_directory, "one", more=SETTINGS) as cluster:
        cluster.nodes[0].tier("wide", monthly_quota=1000)
        yield cluster


@pytest.fixture
def node(cluster):
    return cluster.nodes[0]


def signup(node, title="production"):
    made = node.signup("wide", key={"title": title})
    return made["customer"]["id"], made["key"]["id"], made["secret"]


def test_a_link_opens_once_by_its_button(cluster, node):
    customer, key, secret = signup(node)
    made = node.call("POST", "/v1/portal-sessions", {"customer_id": customer})
    assert made.status == 201 and set(made.json) == {"url", "expires_at"}
    token = made.json["url"].rsplit("/", 1)[1]
    assert made.json["url"].startswith(f"http://{node.api}/portal/open/km_portal_")
    for _ in range(3):  # a mail scanner looks
        page = request(node.api, "GET", f"/portal/open/{token}", headers=portals.BROWSER)
        assert page.status == 200 and "Set-Cookie" not in page.headers
    visit = Visit(node, customer)
    assert visit.opened.status == 303 and visit.opened.headers["Location"] == "../portal/welcome"
    cookie = visit.opened.headers["Set-Cookie"]
    assert re.fullmatch(r"km_portal=[0-9A-Za-z]{43}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax", cookie)
    page = visit.get("/portal").body.decode()
    assert "production" in page and secret[:10] in page and secret not in page and key in page
    again = request(node.api, "GET", visit.path, headers=portals.BROWSER)
    assert again.status == 409 and b"opened before" in again.body
    other = request(node.api, "POST", "/portal/open", f"token={visit.path.rsplit('/', 1)[1]}".encode(),
                    {**portals.BROWSER, "Content-Type": "application/x-www-form-urlencoded"})
    assert other.status == 409 and "Set-Cookie" not in other.headers
    # For the second visit the greeting is over; the database has neither link nor cookie.
    assert Visit(node, customer).opened.headers["Location"] == "../portal"
    dump = str(cluster.database.sql("SELECT * FROM portal_session"))
    assert visit.cookie.split("=")[1] not in dump and token not in dump
    assert token[10:] not in node.log() and visit.cookie.split("=")[1] not in node.log()


def test_what_opens_nothing(cluster, node):
    customer, _, _ = signup(node)
    assert node.call("POST", "/v1/portal-sessions", {"customer_id": "cus_0000000000000"}).status in (404, 422)
    assert node.call("POST", "/v1/portal-sessions", {"customer_id": customer, "permissions": ["fly"]}).status == 422
    reader = node.must("POST", "/v1/tokens", {"name": "r", "scopes": ["read"]})["secret"]
    opener = node.must("POST", "/v1/tokens", {"name": "p", "scopes": ["portal"]})["secret"]
    assert node.call("POST", "/v1/portal-sessions", {"customer_id": customer}, token=reader).status == 403
    assert node.call("POST", "/v1/portal-sessions", {"customer_id": customer}, token=opener).status == 201
    path = portals.link(node, customer)
    for wrong in (path[:-1], path + "0", "/portal/open/x"):
        assert request(node.api, "GET", wrong, headers=portals.BROWSER).status == 404
    body = f"token={path.rsplit('/', 1)[1]}".encode()
    form = {**portals.BROWSER, "Content-Type": "application/x-www-form-urlencoded"}
    for site in ("cross-site", "same-site"):  # nobody is signed in as somebody else from elsewhere
        assert request(node.api, "POST", "/portal/open", body, {**form, "Sec-Fetch-Site": site}).status == 403
    cluster.database.sql("UPDATE portal_session SET ends_at = 1 WHERE opened_at IS NULL")
    assert b"expired" in request(node.api, "POST", "/portal/open", body, form).body


def test_a_session_ends(cluster, node):
    customer, _, _ = signup(node)
    visit = Visit(node, customer)
    stolen = visit.cookie
    form = visit.form("/portal/new-key")
    assert visit.post("/portal/sign-out", csrf="0" * 32).status == 403
    assert visit.post("/portal/sign-out", csrf=form["csrf"]).status == 303 and visit.cookie is None
    visit.cookie = stolen
    gone = visit.get("/portal")
    assert gone.status == 401 and b"Your visit has ended" in gone.body
    visit.cookie = stolen
    assert visit.post("/portal/new-key", title="late", **form).status == 401
    assert len(node.must("GET", f"/v1/keys?customer_id={customer}")["data"]) == 1
    visit = Visit(node, customer)
    kept = visit.cookie
    cluster.database.sql("UPDATE portal_session SET ends_at = 1")
    assert visit.get("/portal").status == 401
    visit = Visit(node, customer)
    kept = visit.cookie
    node.must("DELETE", f"/v1/customers/{customer}")
    visit.cookie = kept
    assert visit.get("/portal").status == 401


def test_signing_out_everywhere(node):
    customer, _, _ = signup(node)
    here, there, stranger = Visit(node, customer), Visit(node, customer), Visit(node, signup(node)[0])
    waiting = portals.link(node, customer)
    assert "everywhere" in here.get("/portal").body.decode()
    csrf = here.form("/portal/new-key")["csrf"]
    assert here.post("/portal/sign-out", csrf=csrf, everywhere="yes").status == 303
    assert there.get("/portal").status == 401 and stranger.get("/portal").status == 200
    assert b"expired" in request(node.api, "POST", "/portal/open", f"token={waiting.rsplit('/', 1)[1]}".encode(),
                                 {**portals.BROWSER, "Content-Type": "application/x-www-form-urlencoded"}).body
    row = next(row for row in node.must("GET", f"/v1/audit?customer_id={customer}")["data"]
               if row["action"] == "portal.sign_out")
    assert row["detail"] == {"everywhere": True}


def test_a_session_is_never_one_that_was_brought(node):
    customer, _, _ = signup(node)
    brought = "A" * 43
    visit = Visit.__new__(Visit)
    visit.node, visit.address, visit.cookie = node, node.api, f"km_portal={brought}"
    visit.path = portals.link(node, customer)
    assert visit.get("/portal").status == 401
    visit.cookie = f"km_portal={brought}"
    page = visit.get(visit.path).body.decode()
    visit.post("/portal/open", token=portals.hidden(page, "token"))
    assert brought not in visit.cookie
    assert request(node.api, "GET", "/portal", headers={"Cookie": f"km_portal={brought}"}).status == 401


def test_regenerate_shows_the_secret_once(node):
    customer, key, old = signup(node)
    visit = Visit(node, customer)
    assert node.gate_until(old).status == 200
    path = f"/portal/keys/{key}/regenerate"
    form = visit.form(path)
    answer = visit.post(path, **form)
    new = secret_of(answer)
    assert answer.status == 200 and len(new) == 57 and answer.headers["Cache-Control"] == "no-store"
    assert node.gate_until(new).status == 200 and node.gate_until(old).status == 401
    for sample in ("curl -H &quot;X-API-Key: ", "urllib.request", "fetch(", "http.NewRequest", "curl_init"):
        assert sample.replace("&quot;", '"') in answer.body.decode(), sample
    assert answer.body.decode().count(new) == 6 and b"https://api.acme.example/v1" in answer.body
    again = visit.post(path, **form)  # a reload
    assert again.status == 409 and b"done already" in again.body and new.encode() not in again.body
    assert node.gate_until(new).status == 200
    for page in ("/portal", f"/portal/keys/{key}", path):
        assert new.encode() not in visit.get(page).body
    row = next(row for row in node.must("GET", "/v1/audit")["data"] if row["action"] == "key.regenerate")
    assert row["actor"] == "portal"


def test_rotate_with_overlap_and_its_end(node):
    customer, key, old = signup(node)
    visit = Visit(node, customer)
    answer = visit.act(f"/portal/keys/{key}/rotate", hours="168")
    new = secret_of(answer)
    assert node.gate_until(new).status == 200 and node.gate_until(old).status == 200
    page = visit.get(f"/portal/keys/{key}").body.decode()
    assert "Two secrets work" in page and old[:10] in page
    refused = visit.act(f"/portal/keys/{key}/rotate")
    assert refused.status == 409 and "could not be done" in refused.body.decode()
    done = visit.act(f"/portal/keys/{key}/end-overlap")
    assert done.status == 303 and done.headers["Location"].endswith(f"portal/keys/{key}?done=end-overlap")
    assert node.gate_until(old).status == 401 and node.gate_until(new).status == 200


def test_disable_enable_revoke(node):
    customer, key, secret = signup(node)
    visit = Visit(node, customer)
    for action, status in (("disable", 403), ("enable", 200), ("revoke", 401)):
        assert visit.act(f"/portal/keys/{key}/{action}").status == 303
        assert node.gate_until(secret).status == status
    assert b"is revoked and will not work again" in visit.get(f"/portal/keys/{key}?done=revoke").body
    assert visit.act(f"/portal/keys/{key}/enable").status == 409


def test_another_key(node):
    customer, _, _ = signup(node)
    visit = Visit(node, customer)
    form = visit.form("/portal/new-key", title="second & last", environment="test", permissions__=["csv_export"])
    answer = visit.post("/portal/new-key", **form)
    assert answer.status == 200 and secret_of(answer).startswith("km_test_")
    assert node.gate_until(secret_of(answer)).status == 200
    assert visit.post("/portal/new-key", **form).status == 409
    made = node.must("GET", f"/v1/keys?customer_id={customer}")["data"]
    assert sorted(key["title"] for key in made) == ["production", "second & last"]
    assert made[0]["permissions"] == ["csv_export"] and made[0]["environment"] == "test"
    wrong = visit.act("/portal/new-key", title="", expires_at="2020-01-01", permissions__=["root"])
    page = wrong.body.decode()
    assert wrong.status == 422 and "must be in the future" in page
    assert visit.act("/portal/new-key", title="t", permissions__=["root"]).status == 422
    node.must("PUT", "/v1/tiers/narrow", {**node.must("GET", "/v1/tiers/wide"), "slug": "narrow", "max_keys": 1})
    made = node.signup("narrow", key={"title": "only"})
    full = Visit(node, made["customer"]["id"])
    assert b"portal/new-key" not in full.get("/portal").body
    assert full.act("/portal/new-key", title="more").status == 403


def test_networks_and_limits_within_the_tier(node):
    node.tier("limited", permissions=["csv_export"], rate_limits=[
        {"name": "minute", "limit": 600, "window_seconds": 60}, {"name": "second", "limit": 50, "window_seconds": 1}])
    made = node.signup("limited", key={"title": "first"})
    visit = Visit(node, made["customer"]["id"])
    page = visit.get("/portal/new-key").body.decode()
    assert 'name="limit_minute"' in page and 'placeholder="600"' in page
    refused = visit.act("/portal/new-key", title="wide", networks="300.1.1.1\n", limit_minute="many")
    assert refused.status == 422 and refused.body.count(b'class="wrong"') == 2 and b"300.1.1.1" in refused.body
    refused = visit.act("/portal/new-key", title="wide", limit_minute="601")
    assert refused.status == 422 and b"may only be tighter" in refused.body
    answer = visit.act("/portal/new-key", title="narrow", networks="192.0.2.0/24, 127.0.0.1", limit_minute="2")
    assert answer.status == 200, answer
    secret = secret_of(answer)
    key = next(one for one in node.must("GET", f"/v1/keys?customer_id={made['customer']['id']}")["data"]
               if one["title"] == "narrow")
    assert key["allowed_networks"] == ["192.0.2.0/24", "127.0.0.1/32"]
    assert key["rate_limits"] == [{"name": "minute", "limit": 2, "window_seconds": 60}]
    assert node.must("POST", "/v1/verify", {"key": secret, "ip": "203.0.113.9"})["code"] == "IP_NOT_ALLOWED"

    path = f"/portal/keys/{key['id']}/edit"
    page = visit.get(path).body.decode()
    assert 'value="2"' in page and "192.0.2.0/24\n127.0.0.1/32" in page and 'value="narrow"' in page
    form = visit.form(path, title="renamed", networks="", limit_second="5", version=portals.hidden(page, "version"))
    saved = visit.post(path, **form)
    assert saved.status == 303 and b"Saved" in visit.get(saved.headers["Location"].replace("../../..", "")).body
    key = node.must("GET", f"/v1/keys/{key['id']}")
    assert (key["title"], key["allowed_networks"]) == ("renamed", [])
    assert key["rate_limits"] == [{"name": "second", "limit": 5, "window_seconds": 1}]
    assert node.must("POST", "/v1/verify", {"key": secret, "ip": "203.0.113.9"})["code"] == "VALID"
    # Somebody else was quicker.
    page = visit.get(path).body.decode()
    node.must("PATCH", f"/v1/keys/{key['id']}", {"title": "theirs"})
    late = visit.post(path, **visit.form(path, title="mine", version=portals.hidden(page, "version")))
    assert late.status == 412 and b"was changed since you opened the form" in late.body and b'value="mine"' in late.body
    assert node.must("GET", f"/v1/keys/{key['id']}")["title"] == "theirs"
    # What an operator set, also wider, stays as long as nobody touches it.
    wide = [{"name": "minute", "limit": 9999, "window_seconds": 60}, {"name": "own", "limit": 3, "window_seconds": 9}]
    node.must("PATCH", f"/v1/keys/{key['id']}", {"rate_limits": wide})
    page = visit.get(path).body.decode()
    fields = {"title": "kept", "limit_minute": "9999", "version": portals.hidden(page, "version")}
    assert visit.post(path, **visit.form(path, **fields)).status == 303
    assert node.must("GET", f"/v1/keys/{key['id']}")["rate_limits"] == wide


def test_what_the_link_allows(node):
    customer, key, secret = signup(node)
    visit = Visit(node, customer, permissions=["disable_keys"])
    page = visit.get(f"/portal/keys/{key}").body.decode()
    assert f"{key}/disable" in page and f"{key}/regenerate" not in page and f"{key}/revoke" not in page
    for action in ("regenerate", "rotate", "end-overlap", "revoke"):
        assert visit.act(f"/portal/keys/{key}/{action}").status == 403
    assert visit.act("/portal/new-key", title="x").status == 403
    assert f"{key}/edit" not in page and visit.act(f"/portal/keys/{key}/edit", title="x", version="1").status == 403
    form = visit.form("/portal/new-key")
    assert visit.post("/portal/encryption", **form, openpgp_key="x").status in (403, 422)
    assert node.gate_until(secret).status == 200
    assert visit.act(f"/portal/keys/{key}/disable").status == 303
    # A token that is held to some permissions opens a portal that is, too.
    token = node.must("POST", "/v1/tokens", {"name": "held", "scopes": ["portal"], "permissions": ["user_info"]})
    path = node.call("POST", "/v1/portal-sessions", {"customer_id": customer}, token=token["secret"]).json["url"]
    held = Visit.__new__(Visit)
    held.node, held.address, held.cookie = node, node.api, None
    held.post("/portal/open", token=path.rsplit("/", 1)[1])
    page = held.get("/portal/new-key").body.decode()
    assert "user_info" in page and "csv_export" not in page
    assert held.act("/portal/new-key", title="x", permissions__=["csv_export"]).status == 422


def test_anothers_ids_are_not_there(node):
    mine, own, _ = signup(node, "own")
    theirs, key, secret = signup(node, "theirs only")
    visit = Visit(node, mine)
    form = visit.form("/portal/new-key")
    actions = ("edit", "regenerate", "rotate", "end-overlap", "resend-claim", "disable", "enable", "revoke")
    paths = [f"/portal/keys/{key}", *(f"/portal/keys/{key}/{action}" for action in actions)]
    for path in paths:
        answer = visit.get(path)
        assert answer.status == 404 and b"theirs only" not in answer.body, path
    for path in paths[1:]:
        assert visit.post(path, **{**form, "form": secrets.token_hex(16)}).status == 404, path
    assert node.gate_until(secret).status == 200
    for path in ("/portal/keys/key_x", f"/portal/keys/{own}/fly", "/portal/keys/", f"/portal/keys/{theirs}"):
        assert visit.get(path).status == 404, path


def test_who_is_lost_finds_back(node):
    visit = Visit(node, signup(node)[0])
    for path in ("/portal/nowhere", "/portal/keys/key_x", "/portal/keys/key_0000000000000/edit"):
        page = visit.get(path)
        way = re.search(r'href="([^"]*)">To your API keys</a>', page.body.decode())
        assert page.status == 404 and visit.get(urljoin(path, way[1])).status == 200, path


def test_forms_of_others_do_nothing(node):
    customer, key, secret = signup(node)
    visit, other = Visit(node, customer), Visit(node, customer)
    path = f"/portal/keys/{key}/revoke"
    form = visit.form(path)
    foreign = other.form(path)
    assert visit.post(path, **{**form, "csrf": foreign["csrf"]}).status == 403
    assert visit.post(path, form=form["form"]).status == 403
    assert visit.post(path, headers={"Sec-Fetch-Site": "cross-site"}, **form).status == 403
    assert visit.post(path, headers={"Content-Type": "text/plain"}, **form).status == 415
    assert visit.post(path, csrf=form["csrf"], form="x").status == 400
    assert visit.call("PUT", path, b"").status == 405
    assert request(node.api, "POST", path, b"csrf=" + form["csrf"].encode(),
                   {"Content-Type": "application/x-www-form-urlencoded"}).status == 401
    assert node.gate_until(secret).status == 200


def test_no_redirect_leads_away(node):
    customer, key, _ = signup(node)
    visit = Visit(node, customer)
    for path in (f"/portal/keys/{key}/disable?next=https://evil.example", f"/portal/keys/{key}/enable"):
        answer = visit.post(path, **visit.form(path.split("?")[0]),
                            headers={"Host": "evil.example", "Referer": "https://evil.example/",
                                     "X-Forwarded-Host": "evil.example"})
        assert answer.status == 303 and "evil" not in str(answer.headers)
        assert re.fullmatch(rf"(\.\./)+portal/keys/{key}\?done=\w+", answer.headers["Location"])


def test_over_tls_the_cookie_is_the_hosts_own(build_directory):
    with Cluster(build_directory, "tls", more=[*SETTINGS, "portal.base_url=https://keys.acme.example"]) as cluster:
        node = cluster.nodes[0]
        made = node.signup("free", key={"title": "t"})
        visit = Visit(node, made["customer"]["id"])
        cookie = visit.opened.headers["Set-Cookie"]
        assert cookie.startswith("__Host-km_portal=") and cookie.endswith("; Path=/; Max-Age=3600; HttpOnly; "
                                                                          "SameSite=Lax; Secure")
        assert visit.get("/portal").status == 200
        value = visit.cookie.split("=")[1]
        visit.cookie = f"km_portal={value}"  # one that a neighbour under the same domain could set
        assert visit.get("/portal").status == 401
