/* Verifying the audit chain. Called by the dashboard and by GET /v1/audit/verify, from a
 * job of the readers. What always holds:
 * a row that was changed, put in or taken out, also the newest, is told by its sequence. */
#include "store/audit_verify.h"

#include "crypto/audit_chain.h"
#include "io/db.h"

#include <string.h>

enum { PIECE = 500 };

struct chain {
    unsigned char hash[AUDIT_HASH_SIZE]; /* of the row `at` */
    uint64_t at;
    struct audit_verdict *verdict;
};

static bool broken(struct chain *chain, uint64_t at, const char *by)
{
    chain->verdict->broken_at = at;
    chain->verdict->broken_by = by;
    return false;
}

static bool row_fits(struct chain *chain, const struct db_rows *rows)
{
    unsigned char hash[AUDIT_HASH_SIZE];
    struct audit_entry entry = {
        .sequence = db_get_u64(rows, 0),
        .id = db_get_u64(rows, 1),
        .at = db_get_i64(rows, 2),
        .actor = db_get_span(rows, 3),
        .action = db_get_span(rows, 4),
        .subject = db_get_span(rows, 5),
        .customer_id = db_get_u64(rows, 6),
        .address = db_get_span(rows, 7),
        .request_id = db_get_span(rows, 8),
        .detail = db_get_span(rows, 9),
    };
    struct span kept = db_get_span(rows, 10);
    if (entry.sequence != chain->at + 1) return broken(chain, chain->at + 1, "a row is missing");
    audit_chain_next(chain->hash, &entry, hash);
    if (kept.length != sizeof hash || memcmp(kept.data, hash, sizeof hash) != 0)
        return broken(chain, entry.sequence, "a row is not what was written");
    memcpy(chain->hash, hash, sizeof hash);
    chain->at = entry.sequence;
    return true;
}

/* Rows behind chain->at, to `last` at most. */
static enum err piece_read(struct db *db, struct chain *chain, uint64_t last)
{
    static const char sql[] =
        "SELECT sequence, id, at, actor, action, subject, customer_id, address, request_id, detail,"
        " hash FROM audit WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?";
    struct db_rows rows;
    uint64_t before = chain->at;
    enum err error =
        db_query(db, sql, DB_VALUES(db_u64(chain->at), db_u64(last), db_u64(PIECE)), &rows);
    if (error) return error;
    while (!chain->verdict->broken_at && db_next(&rows))
        if (!row_fits(chain, &rows)) break;
    db_finish(&rows);
    if (chain->at == before && !chain->verdict->broken_at)
        broken(chain, chain->at + 1, "a row is missing");
    return ERR_OK;
}

/* The hash before the first row that is looked at. */
static enum err start_read(struct db *db, struct chain *chain)
{
    struct db_rows rows;
    if (!chain->at) return ERR_OK;
    enum err error = db_query(db, "SELECT hash FROM audit WHERE sequence = ?",
                              DB_VALUES(db_u64(chain->at)), &rows);
    if (error) return error;
    if (!db_next(&rows)) {
        broken(chain, chain->at, "a row is missing");
        return ERR_OK;
    }
    struct span hash = db_get_span(&rows, 0);
    if (hash.length == sizeof chain->hash) memcpy(chain->hash, hash.data, hash.length);
    db_finish(&rows);
    return ERR_OK;
}

enum err audit_verify(struct db *db, uint64_t most, struct audit_verdict *verdict)
{
    unsigned char head[AUDIT_HASH_SIZE] = {0};
    struct chain chain = {.verdict = verdict};
    struct db_rows rows;
    *verdict = (struct audit_verdict){0};
    enum err error = db_query(db, "SELECT audit_sequence, audit_hash FROM feed_head WHERE id = 1",
                              DB_NONE, &rows);
    if (error || !db_next(&rows)) return error ? error : ERR_DB;
    verdict->last = db_get_u64(&rows, 0);
    struct span hash = db_get_span(&rows, 1);
    if (hash.length == sizeof head) memcpy(head, hash.data, hash.length);
    db_finish(&rows);
    if (most && verdict->last > most) chain.at = verdict->last - most;
    verdict->first = chain.at + 1;
    error = start_read(db, &chain);
    while (!error && !verdict->broken_at && chain.at < verdict->last)
        error = piece_read(db, &chain, verdict->last);
    if (!error && !verdict->broken_at && memcmp(head, chain.hash, sizeof head) != 0)
        broken(&chain, verdict->last, "the newest row is not the head's");
    return error;
}
