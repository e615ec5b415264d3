"""What a mailer does with the outbox, and looks into the tables of rotation."""

import claims


def accept(cluster, now_ms, kinds=""):
    """A relay takes all mails that wait; how many. As store/outbox.c has it."""
    rows = cluster.database.sql("SELECT id, key_id FROM outbox WHERE state IN ('queued', 'retry')" +
                                (f" AND kind IN ({kinds})" if kinds else ""))
    for mail, key in rows:
        cluster.database.sql(
            f"UPDATE rotation SET waited_at = GREATEST({now_ms}, created_at),"
            f" look_at = LEAST(look_at, {now_ms}) WHERE key_id = {key} AND waits_for = {mail}"
            " AND waited_at IS NULL AND look_at IS NOT NULL;"
            f"UPDATE outbox SET state = 'sent', accepted_at = {now_ms}, recipient_sealed = NULL,"
            f" context = NULL, body = NULL WHERE id = {mail}")
    return len(rows)


def link(cluster, key_id, generation):
    """The token of a further link to the secret that waits."""
    text = claims.token()
    digest = claims.hash_of(text, cluster.folder / "pepper.key")
    cluster.database.sql("INSERT INTO claim (hash, key_id, generation, issued_at) VALUES"
                         f" (X'{digest}', {claims.number_of(key_id)}, {generation}, 1)")
    return text


def mails(cluster):
    """{kind: how many}"""
    return {kind: int(count) for kind, count in
            cluster.database.sql("SELECT kind, COUNT(*) FROM outbox GROUP BY kind")}


def run(node):
    answer = node.call("POST", "/v1/rotations/run")
    assert answer.status == 200, answer
    return answer.json


def signup(node, **more):
    if node.call("GET", "/v1/tiers/wide").status == 404:
        node.tier("wide", monthly_quota=None)
    made = node.signup("wide", key={"title": "walked"}, **more)
    return made["key"]["id"], made["secret"]


def make_due(cluster, key_id):
    """Whatever is pending of the key is due now, and its notice was accepted long ago."""
    number = claims.number_of(key_id)
    cluster.database.sql(
        f"UPDATE rotation SET look_at = 1, due_at = 1, waited_at = IF(step > 1, 1, NULL)"
        f" WHERE key_id = {number} AND look_at IS NOT NULL AND step IN (1, 2, 3);"
        f"UPDATE api_key SET rotates_at = 1 WHERE id = {number} AND rotates_at IS NOT NULL;"
        f"UPDATE key_secret SET created_at = 1 WHERE key_id = {number}")
