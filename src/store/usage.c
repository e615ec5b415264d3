/* Usage over time. Called by the usage calls of api/ from a job of service->readers; DB thread,
 * within one snapshot. What always holds: a call is in exactly one bucket, whether it was folded or
 * not. */
#include "store/usage.h"

#include "io/db.h"

static struct usage_counts *bucket_of(struct usage_series *series, int64_t hour)
{
    if (!series->count || hour < series->starts[0] || hour >= series->end) return NULL;
    size_t low = 0, high = series->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (series->starts[middle] <= hour)
            low = middle;
        else
            high = middle;
    }
    return &series->counts[low];
}

static void entry_add(const struct journal_entry *entry, void *context)
{
    struct usage_series *series = context;
    uint64_t subject = series->kind == USAGE_KEY ? entry->key_id : entry->customer_id;
    struct usage_counts *bucket =
        subject == series->subject ? bucket_of(series, entry->hour) : NULL;
    if (!bucket) return;
    /* Unsigned, so that what is taken back before what it is taken from comes out right. */
    uint64_t sign = entry->flags & JOURNAL_TAKEN_BACK ? UINT64_MAX : 1;
    bucket->allowed += sign * entry->allowed;
    bucket->denied_quota += sign * entry->denied_quota;
    bucket->denied_rate += sign * entry->denied_rate;
    bucket->denied_other += sign * entry->denied_other;
}

#define USAGE_SUMS                                                                                 \
    "SELECT hour, CAST(SUM(allowed) AS SIGNED), CAST(SUM(denied_quota) AS SIGNED), "               \
    "CAST(SUM(denied_rate) AS SIGNED), CAST(SUM(denied_other) AS SIGNED) FROM usage_hour WHERE "

static enum err folded_add(struct db *db, struct usage_series *series)
{
    struct db_rows rows;
    const char *sql = series->kind == USAGE_KEY
                          ? USAGE_SUMS "key_id = ? AND hour >= ? AND hour < ? GROUP BY hour"
                          : USAGE_SUMS "customer_id = ? AND hour >= ? AND hour < ? GROUP BY hour";
    enum err error = db_query(
        db, sql, DB_VALUES(db_u64(series->subject), db_i64(series->starts[0]), db_i64(series->end)),
        &rows);
    if (error != ERR_OK) return error;
    while (db_next(&rows)) {
        struct usage_counts *bucket = bucket_of(series, db_get_i64(&rows, 0));
        if (!bucket) continue;
        bucket->allowed += db_get_u64(&rows, 1);
        bucket->denied_quota += db_get_u64(&rows, 2);
        bucket->denied_rate += db_get_u64(&rows, 3);
        bucket->denied_other += db_get_u64(&rows, 4);
    }
    return ERR_OK;
}

enum err usage_series_read(struct db *db, struct usage_series *series)
{
    if (!series->count) return ERR_OK;
    enum err error = folded_add(db, series);
    return error == ERR_OK ? usage_unfolded_each(db, entry_add, series) : error;
}

#define OWNER_SELECT                                                                               \
    "SELECT c.id, t.monthly_quota, e.anchor, e.kept_start, e.kept_until FROM customer c JOIN "     \
    "entitlement e ON e.customer_id = c.id JOIN tier t ON t.slug = e.tier "

enum err usage_owner_find(struct db *db, struct usage_owner *owner)
{
    struct db_rows rows;
    enum err error;
    if (owner->key_id)
        error = db_query(db, OWNER_SELECT "JOIN api_key k ON k.customer_id = c.id WHERE k.id = ?",
                         DB_VALUES(db_u64(owner->key_id)), &rows);
    else if (owner->customer_id)
        error = db_query(db, OWNER_SELECT "WHERE c.id = ? AND c.deleted_at IS NULL",
                         DB_VALUES(db_u64(owner->customer_id)), &rows);
    else
        error = db_query(db, OWNER_SELECT "WHERE c.external_id = ? AND c.deleted_at IS NULL",
                         DB_VALUES(db_span(owner->external_id)), &rows);
    if (error != ERR_OK) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    owner->customer_id = db_get_u64(&rows, 0);
    owner->has_quota = !db_is_null(&rows, 1);
    owner->quota = db_get_u64(&rows, 1);
    owner->months =
        (struct period_rule){db_get_i64(&rows, 2), db_get_i64(&rows, 3), db_get_i64(&rows, 4)};
    db_finish(&rows);
    return ERR_OK;
}
