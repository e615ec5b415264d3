/* The entitlement table. Called from service/ on a DB thread. What always holds: the unique key
 * over (provider, resolved_reference) lets one payment pay for one customer, whoever came first;
 * and api_key.tier and held, by which lists are filtered, say what the entitlement says. */
#include "store/entitlement.h"

#include "io/db.h"
#include "store/ids.h"

#include <stdio.h>

static struct db_value optional_time(int64_t wall_ms)
{
    return wall_ms ? db_i64(wall_ms) : db_null();
}

static struct db_value text_or_empty(const char *text)
{
    return db_text(text ? text : "");
}

enum err entitlement_open(const struct entitlement_row *row, struct entitlement *out)
{
    *out = (struct entitlement){
        .later_at = row->later_at,
        .period_start = row->period_start,
        .period_end = row->period_end,
        .paid_until = row->paid_until,
        .ends_at = row->grace_until,
        .refunded_at = row->refunded_at,
        .lapses = row->lapses,
        .reminded = row->reminded,
    };
    snprintf(out->tier, sizeof out->tier, "%s", row->tier);
    snprintf(out->paid_tier, sizeof out->paid_tier, "%s", row->paid_tier ? row->paid_tier : "");
    snprintf(out->later_tier, sizeof out->later_tier, "%s", row->later_tier ? row->later_tier : "");
    if (!entitlement_state_parse(span_text(row->status), &out->state)) return ERR_DB;
    if (!row->payment_status) return ERR_OK;
    return pay_status_parse(span_text(row->payment_status), &out->payment) ? ERR_OK : ERR_DB;
}

void entitlement_close(struct entitlement_row *row, const struct entitlement *from)
{
    row->tier = from->tier;
    row->status = entitlement_state_name(from->state);
    row->payment_status = pay_status_name(from->payment);
    row->paid_tier = from->paid_tier;
    row->later_tier = from->later_tier;
    row->later_at = from->later_at;
    row->period_start = from->period_start;
    row->period_end = from->period_end;
    row->paid_until = from->paid_until;
    row->grace_until = from->ends_at;
    row->refunded_at = from->refunded_at;
    row->lapses = from->lapses;
    row->reminded = from->reminded;
    row->look_at = entitlement_look_at(from);
}

enum { WRITTEN = 20 };

/* What both statements write, in the order of their columns. */
static void values_fill(const struct entitlement_row *row, struct db_value out[WRITTEN])
{
    const struct db_value values[WRITTEN] = {
        db_text(row->tier),
        db_text(row->provider),
        db_text(row->reference),
        db_text(row->resolved_reference),
        db_text(row->status),
        optional_time(row->period_start),
        optional_time(row->period_end),
        optional_time(row->grace_until),
        db_i64(row->months.anchor_ms),
        db_i64(row->months.kept_start_ms),
        db_i64(row->months.kept_until_ms),
        db_i64(row->updated_at),
        db_text(row->payment_status),
        text_or_empty(row->paid_tier),
        text_or_empty(row->later_tier),
        optional_time(row->later_at),
        optional_time(row->paid_until),
        optional_time(row->refunded_at),
        db_u64(row->lapses),
        db_u64(row->reminded),
    };
    memcpy(out, values, sizeof values);
}

enum err entitlement_insert(struct db *db, const struct entitlement_row *row)
{
    static const char sql[] =
        "INSERT INTO entitlement (tier, provider, reference, resolved_reference, status,"
        " period_start, period_end, grace_until, anchor, kept_start, kept_until, updated_at,"
        " payment_status, paid_tier, later_tier, later_at, paid_until, refunded_at, lapses,"
        " reminded, look_at, customer_id) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
    struct db_value values[WRITTEN + 2];
    values_fill(row, values);
    values[WRITTEN] = optional_time(row->look_at);
    values[WRITTEN + 1] = db_u64(row->customer_id);
    return db_execute(db, sql, values, COUNT_OF(values), NULL);
}

enum err entitlement_update(struct db *db, const struct entitlement_row *row)
{
    static const char sql[] =
        "UPDATE entitlement SET tier = ?, provider = ?, reference = ?, resolved_reference = ?,"
        " status = ?, period_start = ?, period_end = ?, grace_until = ?, anchor = ?,"
        " kept_start = ?, kept_until = ?, updated_at = ?, payment_status = ?, paid_tier = ?,"
        " later_tier = ?, later_at = ?, paid_until = ?, refunded_at = ?, lapses = ?, reminded = ?,"
        " look_at = ? WHERE customer_id = ?";
    static const char keys[] = "UPDATE api_key SET tier = ?, held = ? WHERE customer_id = ?";
    struct db_value values[WRITTEN + 2];
    values_fill(row, values);
    values[WRITTEN] = optional_time(row->look_at);
    values[WRITTEN + 1] = db_u64(row->customer_id);
    enum err error = db_execute(db, sql, values, COUNT_OF(values), NULL);
    if (error) return error;
    bool held = span_is(span_text(row->status), "suspended");
    return db_execute(db, keys,
                      DB_VALUES(db_text(row->tier), db_i64(held), db_u64(row->customer_id)), NULL);
}

#define FIND_SQL                                                                                   \
    "SELECT tier, provider, reference, resolved_reference, status, period_start, period_end,"      \
    " grace_until, updated_at, anchor, kept_start, kept_until, customer_id, payment_status,"       \
    " paid_tier, later_tier, later_at, paid_until, refunded_at, lapses, reminded, look_at"         \
    " FROM entitlement WHERE customer_id "

static enum err row_take(const struct db_rows *rows, struct arena *arena,
                         struct entitlement_row *row)
{
    *row = (struct entitlement_row){
        .customer_id = db_get_u64(rows, 12),
        .tier = db_get_text(rows, 0, arena),
        .provider = db_get_text(rows, 1, arena),
        .reference = db_get_text(rows, 2, arena),
        .resolved_reference = db_get_text(rows, 3, arena),
        .status = db_get_text(rows, 4, arena),
        .period_start = db_get_i64(rows, 5),
        .period_end = db_get_i64(rows, 6),
        .grace_until = db_get_i64(rows, 7),
        .updated_at = db_get_i64(rows, 8),
        .months = {db_get_i64(rows, 9), db_get_i64(rows, 10), db_get_i64(rows, 11)},
        .payment_status = db_get_text(rows, 13, arena),
        .paid_tier = db_get_text(rows, 14, arena),
        .later_tier = db_get_text(rows, 15, arena),
        .later_at = db_get_i64(rows, 16),
        .paid_until = db_get_i64(rows, 17),
        .refunded_at = db_get_i64(rows, 18),
        .lapses = (uint32_t)db_get_u64(rows, 19),
        .reminded = (uint32_t)db_get_u64(rows, 20),
        .look_at = db_get_i64(rows, 21),
    };
    return row->tier && row->provider && row->status && row->paid_tier && row->later_tier
               ? ERR_OK
               : ERR_NO_MEMORY;
}

enum err entitlement_is_used(struct db *db, const char *provider, const char *reference, bool *used)
{
    static const char sql[] =
        "SELECT 1 FROM entitlement WHERE provider = ? AND resolved_reference = ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_text(provider), db_text(reference)), &rows);
    if (error) return error;
    *used = db_next(&rows);
    if (*used) db_finish(&rows);
    return ERR_OK;
}

enum err entitlement_find(struct db *db, uint64_t customer_id, struct arena *arena,
                          struct entitlement_row *row)
{
    static const char sql[] = FIND_SQL "= ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(customer_id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    error = row_take(&rows, arena, row);
    db_finish(&rows);
    return error;
}

struct found {
    struct arena *arena;
    struct entitlement_row *rows;
    size_t *count;
};

static enum err found_add(const struct db_rows *rows, void *context)
{
    struct found *found = context;
    return row_take(rows, found->arena, &found->rows[(*found->count)++]);
}

enum err entitlement_find_each(struct db *db, const uint64_t *customer_ids, size_t count,
                               struct arena *arena, struct entitlement_row *rows, size_t *found)
{
    static const char sql[] = FIND_SQL "IN " THESE_IDS;
    struct found context = {arena, rows, found};
    *found = 0;
    return ids_query(db, sql, customer_ids, count, found_add, &context);
}

enum err entitlement_pick(struct db *db, int64_t now_ms, uint64_t *customers, size_t limit,
                          size_t *count)
{
    static const char sql[] = "SELECT customer_id FROM entitlement WHERE look_at <= ?"
                              " ORDER BY look_at LIMIT ?";
    struct db_rows rows;
    *count = 0;
    enum err error = db_query(db, sql, DB_VALUES(db_i64(now_ms), db_u64(limit)), &rows);
    if (error) return error;
    while (*count < limit && db_next(&rows))
        customers[(*count)++] = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

/* The id of the newest key that stays; 0: there are no more than max_keys. */
static enum err newest_kept(struct db *db, uint64_t customer_id, uint32_t max_keys, uint64_t *id)
{
    static const char sql[] = "SELECT id FROM api_key WHERE customer_id = ? AND revoked_at IS NULL"
                              " ORDER BY id LIMIT 1 OFFSET ?";
    struct db_rows rows;
    *id = 0;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(customer_id), db_u64(max_keys - 1)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_OK;
    *id = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

/* Lets go of the keys that stay. *last: the newest of them, or beyond all when all do. */
static enum err keys_keep(struct db *db, uint64_t customer_id, uint32_t max_keys, int64_t now_ms,
                          uint64_t *last, uint64_t *restored)
{
    static const char restore[] = "UPDATE api_key SET suspended = 0, updated_at = ?"
                                  " WHERE customer_id = ? AND id <= ? AND suspended <> 0";
    uint64_t kept = 0;
    enum err error = max_keys ? newest_kept(db, customer_id, max_keys, &kept) : ERR_OK;
    *last = max_keys && !kept ? INT64_MAX : kept;
    if (error) return error;
    return db_execute(db, restore, DB_VALUES(db_i64(now_ms), db_u64(customer_id), db_u64(*last)),
                      restored);
}

enum err entitlement_restore_keys(struct db *db, uint64_t customer_id, uint32_t max_keys,
                                  int64_t now_ms, uint64_t *restored)
{
    static const char sql[] = "SELECT 1 FROM api_key WHERE customer_id = ? AND suspended <> 0"
                              " AND revoked_at IS NULL LIMIT 1";
    struct db_rows rows;
    uint64_t last;
    *restored = 0;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(customer_id)), &rows);
    if (error || !db_next(&rows)) return error;
    db_finish(&rows);
    return keys_keep(db, customer_id, max_keys, now_ms, &last, restored);
}

enum err entitlement_fit_keys(struct db *db, uint64_t customer_id, uint32_t max_keys,
                              int64_t now_ms, struct arena *arena, struct suspended_key *names,
                              size_t limit, size_t *count)
{
    static const char pick[] = "SELECT id, title FROM api_key WHERE customer_id = ? AND id > ?"
                               " AND revoked_at IS NULL AND suspended = 0 ORDER BY id FOR UPDATE";
    static const char suspend[] = "UPDATE api_key SET suspended = 1, updated_at = ?"
                                  " WHERE customer_id = ? AND id > ? AND revoked_at IS NULL"
                                  " AND suspended = 0";
    struct db_rows rows;
    uint64_t kept;
    *count = 0;
    enum err error = keys_keep(db, customer_id, max_keys, now_ms, &kept, NULL);
    if (error || kept == INT64_MAX) return error;
    struct db_value last = db_u64(kept), customer = db_u64(customer_id);
    error = db_query(db, pick, DB_VALUES(customer, last), &rows);
    if (error) return error;
    while (!error && db_next(&rows)) {
        if (*count < limit) {
            names[*count] =
                (struct suspended_key){db_get_u64(&rows, 0), db_get_text(&rows, 1, arena)};
            if (!names[*count].title) error = ERR_NO_MEMORY;
        }
        ++*count;
    }
    db_finish(&rows);
    if (error || !*count) return error;
    return db_execute(db, suspend, DB_VALUES(db_i64(now_ms), customer, last), NULL);
}

bool entitlement_lapsed(const struct entitlement_row *row, int64_t now_ms)
{
    if (span_is(span_text(row->status), "suspended")) return true;
    bool downgraded = span_is(span_text(row->status), "downgraded");
    return !downgraded && row->grace_until && now_ms >= row->grace_until;
}
