/* Settling the leases of a fenced incarnation. Called by the fold on a DB thread, inside a
 * transaction that holds the incarnation's fold_owner row. Nobody else writes those leases any
 * more: takes of a fenced node are refused, folds wait for that row. */
#include "store/lease.h"

struct settle {
    struct budget_key key;
    int64_t units;
};

/* *cleared: a verdict was kept on this budget, and the feed has to say that units came back. */
static enum err settle_one(struct db *db, const struct settle *settle, bool *cleared)
{
    const struct budget_key *key = &settle->key;
    struct db_rows rows;
    enum err error = db_query(
        db,
        "SELECT exhausted FROM budget WHERE kind = ? AND subject = ? AND period_start = ? FOR "
        "UPDATE",
        DB_VALUES(db_i64(key->kind), db_u64(key->subject), db_i64(key->period_start)), &rows);
    if (error) return error;
    *cleared = db_next(&rows) && db_get_i64(&rows, 0) && settle->units > 0;
    db_finish(&rows);
    return db_execute(db,
                      "UPDATE budget SET leased = leased - ?, exhausted = 0 WHERE kind = ? AND "
                      "subject = ? AND period_start = ?",
                      DB_VALUES(db_i64(settle->units), db_i64(key->kind), db_u64(key->subject),
                                db_i64(key->period_start)),
                      NULL);
}

static enum err settle_list(struct db *db, unsigned node, unsigned incarnation,
                            struct settle list[LEASE_TAKES_MAX], size_t *count)
{
    struct db_rows rows;
    enum err error = db_query(
        db,
        "SELECT kind, subject, period_start, granted - settled FROM lease WHERE node = ? AND "
        "incarnation = ? ORDER BY kind, subject, period_start LIMIT 128",
        DB_VALUES(db_u64(node), db_u64(incarnation)), &rows);
    if (error) return error;
    *count = 0;
    while (*count < LEASE_TAKES_MAX && db_next(&rows)) {
        list[*count].key = (struct budget_key){(enum budget_kind)db_get_i64(&rows, 0),
                                               db_get_u64(&rows, 1), db_get_i64(&rows, 2)};
        list[(*count)++].units = db_get_i64(&rows, 3);
    }
    db_finish(&rows);
    return ERR_OK;
}

enum err lease_settle_fenced(struct db *db, unsigned node, unsigned incarnation, int64_t now_ms,
                             size_t *settled)
{
    struct settle list[LEASE_TAKES_MAX];
    struct feed_row feed[LEASE_TAKES_MAX];
    size_t count = 0, feed_count = 0;
    enum err error = settle_list(db, node, incarnation, list, &count);
    *settled = count;
    for (size_t i = 0; i < count && !error; i++) {
        bool cleared = false;
        error = settle_one(db, &list[i], &cleared);
        if (cleared) feed[feed_count++] = budget_feed(FEED_CLEAR, &list[i].key);
    }
    for (size_t i = 0; i < count && !error; i++)
        error = db_execute(db,
                           "DELETE FROM lease WHERE node = ? AND incarnation = ? AND kind = ? AND "
                           "subject = ? AND period_start = ?",
                           DB_VALUES(db_u64(node), db_u64(incarnation), db_i64(list[i].key.kind),
                                     db_u64(list[i].key.subject), db_i64(list[i].key.period_start)),
                           NULL);
    if (!error && feed_count)
        error = feed_append(db, now_ms, feed, feed_count, NULL, 0, NULL, NULL);
    return error;
}
