/* Reads over all rows of small or indexed tables. Called by the dashboard's overview from jobs of
 * the readers. What always holds: nothing here locks, and no table that grows with the calls is
 * read: usage_total has one row an hour. */
#include "store/overview.h"

#include "io/db.h"

static const int64_t DAY = INT64_C(86400) * 1000;

static enum err keys_count(struct db *db, struct overview_counts *counts)
{
    struct db_rows rows;
    uint64_t states[4] = {0};
    enum err error =
        db_query(db, "SELECT state, COUNT(*) FROM api_key GROUP BY state", DB_NONE, &rows);
    while (!error && db_next(&rows))
        if (db_get_u64(&rows, 0) < 4) states[db_get_u64(&rows, 0)] = db_get_u64(&rows, 1);
    counts->keys_active = states[0];
    counts->keys_disabled = states[1];
    counts->keys_suspended = states[2];
    counts->keys_revoked = states[3];
    return error;
}

static enum err mails_count(struct db *db, int64_t now_ms, struct overview_counts *counts)
{
    static const char sql[] =
        "SELECT (SELECT COUNT(*) FROM outbox WHERE state IN ('queued', 'sending', 'retry')),"
        " (SELECT COUNT(*) FROM outbox WHERE state = 'dead'),"
        " (SELECT COUNT(*) FROM outbox WHERE state = 'sent' AND accepted_at >= ?)";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_i64(now_ms - DAY)), &rows);
    if (error || !db_next(&rows)) return error ? error : ERR_DB;
    counts->mails_waiting = db_get_u64(&rows, 0);
    counts->mails_dead = db_get_u64(&rows, 1);
    counts->mails_sent = db_get_u64(&rows, 2);
    db_finish(&rows);
    return ERR_OK;
}

static enum err payments_count(struct db *db, struct overview_counts *counts)
{
    struct db_rows rows;
    enum err error =
        db_query(db, "SELECT status, COUNT(*) FROM entitlement GROUP BY status", DB_NONE, &rows);
    while (!error && db_next(&rows)) {
        struct span status = db_get_span(&rows, 0);
        if (span_is(status, "past_due")) counts->past_due = db_get_u64(&rows, 1);
        if (span_is(status, "suspended")) counts->suspended = db_get_u64(&rows, 1);
    }
    return error;
}

static enum err rest_count(struct db *db, int64_t now_ms, struct overview_counts *counts)
{
    static const char sql[] = "SELECT (SELECT COUNT(*) FROM customer WHERE deleted_at IS NULL),"
                              " (SELECT COUNT(*) FROM payment_read WHERE failures > 0),"
                              " (SELECT COUNT(*) FROM alert WHERE open = 1),"
                              " (SELECT COUNT(*) FROM rotation WHERE look_at <= ?)";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_i64(now_ms + 7 * DAY)), &rows);
    if (error || !db_next(&rows)) return error ? error : ERR_DB;
    counts->customers = db_get_u64(&rows, 0);
    counts->readings_failing = db_get_u64(&rows, 1);
    counts->alerts_open = db_get_u64(&rows, 2);
    counts->rotations_due = db_get_u64(&rows, 3);
    db_finish(&rows);
    return ERR_OK;
}

enum err overview_count(struct db *db, int64_t now_ms, struct overview_counts *counts)
{
    *counts = (struct overview_counts){0};
    enum err error = keys_count(db, counts);
    if (!error) error = mails_count(db, now_ms, counts);
    if (!error) error = payments_count(db, counts);
    if (!error) error = rest_count(db, now_ms, counts);
    return error;
}

enum err overview_usage(struct db *db, const int64_t *starts, size_t count, int64_t end,
                        struct usage_counts *counts)
{
    static const char sql[] = "SELECT hour, allowed, denied_quota, denied_rate, denied_other"
                              " FROM usage_total WHERE hour >= ? AND hour < ? ORDER BY hour";
    struct db_rows rows;
    size_t at = 0;
    if (!count) return ERR_OK;
    enum err error = db_query(db, sql, DB_VALUES(db_i64(starts[0]), db_i64(end)), &rows);
    while (!error && db_next(&rows)) {
        while (at + 1 < count && db_get_i64(&rows, 0) >= starts[at + 1])
            at++;
        counts[at].allowed += db_get_u64(&rows, 1);
        counts[at].denied_quota += db_get_u64(&rows, 2);
        counts[at].denied_rate += db_get_u64(&rows, 3);
        counts[at].denied_other += db_get_u64(&rows, 4);
    }
    return error;
}

enum err overview_top(struct db *db, int64_t now_ms, struct arena *arena,
                      struct overview_customer rows[OVERVIEW_TOP], size_t *count)
{
    static const char sql[] =
        "SELECT b.subject, b.used, c.external_id, e.tier, t.monthly_quota FROM budget b"
        " JOIN customer c ON c.id = b.subject JOIN entitlement e ON e.customer_id = b.subject"
        " JOIN tier t ON t.slug = e.tier WHERE b.kind = 1 AND b.period_start > ? AND b.used > 0"
        " ORDER BY b.used DESC LIMIT ?";
    struct db_rows found;
    *count = 0;
    enum err error =
        db_query(db, sql, DB_VALUES(db_i64(now_ms - 31 * DAY), db_u64(OVERVIEW_TOP)), &found);
    while (!error && *count < OVERVIEW_TOP && db_next(&found)) {
        rows[*count] = (struct overview_customer){
            .id = db_get_u64(&found, 0),
            .used = db_get_u64(&found, 1),
            .external_id = db_get_text(&found, 2, arena),
            .tier = db_get_text(&found, 3, arena),
            .has_quota = !db_is_null(&found, 4),
            .quota = db_get_u64(&found, 4),
        };
        if (!rows[*count].tier) error = ERR_NO_MEMORY;
        ++*count;
    }
    db_finish(&found);
    return error;
}

enum err overview_tier(struct db *db, const char *slug, uint64_t *customers)
{
    struct db_rows rows;
    static const char sql[] =
        "SELECT COUNT(*) FROM (SELECT 1 FROM entitlement WHERE tier = ? LIMIT ?) n";
    enum err error = db_query(db, sql, DB_VALUES(db_text(slug), db_u64(OVERVIEW_MANY + 1)), &rows);
    if (error || !db_next(&rows)) return error ? error : ERR_DB;
    *customers = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

enum err customer_names(struct db *db, const uint64_t *ids, size_t count, struct arena *arena,
                        const char **names)
{
    struct db_rows rows;
    for (size_t i = 0; i < count; i++) {
        names[i] = "";
        enum err error = db_query(db, "SELECT external_id FROM customer WHERE id = ?",
                                  DB_VALUES(db_u64(ids[i])), &rows);
        if (error) return error;
        if (!db_next(&rows)) continue;
        const char *name = db_get_text(&rows, 0, arena);
        if (name) names[i] = name;
        db_finish(&rows);
    }
    return ERR_OK;
}
