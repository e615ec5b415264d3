/* The tables of quota notices. The mark is written by the fold on the background thread, the rest
 * by operations on the committer's. What always holds: a mark is committed with the use that it is
 * about, so whoever sees the mark sees the use; and a mark is a row of its own, so a fold never
 * waits for the telling. */
#include "store/quota_notice.h"

#include "io/db.h"

enum { MARKS = 32 };

#define REACHED                                                                                    \
    "SELECT STRAIGHT_JOIN b.subject, b.period_start FROM budget b FORCE INDEX (PRIMARY) JOIN "     \
    "entitlement e ON e.customer_id = b.subject JOIN tier t ON t.slug = e.tier LEFT JOIN "         \
    "quota_told q ON q.customer_id = b.subject AND q.period_start = b.period_start WHERE "         \
    "((b.used >= t.monthly_quota AND COALESCE(q.told_100, 0) < t.monthly_quota) OR (b.used >= "    \
    "t.monthly_quota - t.monthly_quota DIV 5 AND COALESCE(q.told_80, 0) < t.monthly_quota)) AND "
#define KEY_IS  "(b.kind = ? AND b.subject = ? AND b.period_start = ?)"
#define OR_8(x) x " OR " x " OR " x " OR " x " OR " x " OR " x " OR " x " OR " x

static enum err marks_insert(struct db *db, const struct budget_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum err error =
            db_execute(db, "INSERT INTO quota_due (customer_id, period_start) VALUES (?, ?)",
                       DB_VALUES(db_u64(keys[i].subject), db_i64(keys[i].period_start)), NULL);
        if (error) return error;
    }
    return ERR_OK;
}

/* The last key fills the places left. */
static enum err page_mark(struct db *db, const struct budget_key *keys, size_t count, size_t places)
{
    struct db_value values[MARKS * 3];
    struct budget_key reached[MARKS];
    size_t found = 0;
    for (size_t i = 0; i < places; i++) {
        const struct budget_key *key = &keys[i < count ? i : count - 1];
        values[i * 3] = db_i64(key->kind);
        values[i * 3 + 1] = db_u64(key->subject);
        values[i * 3 + 2] = db_i64(key->period_start);
    }
    struct db_rows rows;
    enum err error = db_query(db,
                              places == 1 ? REACHED KEY_IS
                                          : REACHED "(" OR_8(KEY_IS) " OR " OR_8(
                                                KEY_IS) " OR " OR_8(KEY_IS) " OR " OR_8(KEY_IS) ")",
                              values, places * 3, &rows);
    if (error) return error;
    while (found < COUNT_OF(reached) && db_next(&rows))
        reached[found++] =
            (struct budget_key){BUDGET_CUSTOMER, db_get_u64(&rows, 0), db_get_i64(&rows, 1)};
    db_finish(&rows);
    return marks_insert(db, reached, found);
}

enum err quota_due_mark(struct db *db, const struct budget_key *keys, size_t count)
{
    enum err error = ERR_OK;
    for (size_t from = 0; from < count && !error; from += MARKS) {
        size_t page = count - from < MARKS ? count - from : MARKS;
        error = page_mark(db, keys + from, page, page == 1 ? 1 : MARKS);
    }
    return error;
}

enum err quota_due_pick(struct db *db, struct quota_due *out, size_t limit, size_t *count)
{
    struct db_rows rows;
    *count = 0;
    enum err error =
        db_query(db, "SELECT id, customer_id, period_start FROM quota_due ORDER BY id LIMIT ?",
                 DB_VALUES(db_u64(limit)), &rows);
    if (error) return error;
    while (*count < limit && db_next(&rows))
        out[(*count)++] =
            (struct quota_due){db_get_u64(&rows, 0), db_get_u64(&rows, 1), db_get_i64(&rows, 2)};
    db_finish(&rows);
    return ERR_OK;
}

enum err quota_due_lock(struct db *db, uint64_t id)
{
    struct db_rows rows;
    enum err error = db_query(db, "SELECT 1 FROM quota_due WHERE id = ? FOR UPDATE SKIP LOCKED",
                              DB_VALUES(db_u64(id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    db_finish(&rows);
    return ERR_OK;
}

enum err quota_due_remove(struct db *db, uint64_t id)
{
    return db_execute(db, "DELETE FROM quota_due WHERE id = ?", DB_VALUES(db_u64(id)), NULL);
}

enum err quota_told_lock(struct db *db, const struct quota_due *due, uint64_t *used,
                         struct quota_told *told)
{
    static const char make[] = "INSERT INTO quota_told (customer_id, period_start) VALUES (?, ?) "
                               "ON DUPLICATE KEY UPDATE told_80 = told_80";
    static const char find[] =
        "SELECT q.told_80, q.told_100, (SELECT b.used FROM budget b WHERE b.kind = ? AND b.subject "
        "= q.customer_id AND b.period_start = q.period_start) FROM quota_told q WHERE "
        "q.customer_id = ? AND q.period_start = ?";
    struct db_rows rows;
    enum err error =
        db_execute(db, make, DB_VALUES(db_u64(due->customer_id), db_i64(due->period_start)), NULL);
    if (!error)
        error = db_query(
            db, find,
            DB_VALUES(db_i64(BUDGET_CUSTOMER), db_u64(due->customer_id), db_i64(due->period_start)),
            &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    *told = (struct quota_told){db_get_u64(&rows, 0), db_get_u64(&rows, 1)};
    int64_t folded = db_is_null(&rows, 2) ? 0 : db_get_i64(&rows, 2);
    *used = folded > 0 ? (uint64_t)folded : 0;
    db_finish(&rows);
    return ERR_OK;
}

enum err quota_told_write(struct db *db, const struct quota_due *due, const struct quota_told *told)
{
    return db_execute(db,
                      "UPDATE quota_told SET told_80 = ?, told_100 = ? WHERE customer_id = ? AND "
                      "period_start = ?",
                      DB_VALUES(db_u64(told->at_80), db_u64(told->at_100), db_u64(due->customer_id),
                                db_i64(due->period_start)),
                      NULL);
}
