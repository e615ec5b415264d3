/* The entitlement table. Called from service/ on a DB thread. What always holds: the unique key
 * over (provider, resolved_reference) lets one payment pay for one customer, whoever came first;
 * and api_key.tier and held, by which lists are filtered, say what the entitlement says. */
#include "store/entitlement.h"

#include "io/db.h"
#include "store/ids.h"

static struct db_value optional_time(int64_t wall_ms)
{
    return wall_ms ? db_i64(wall_ms) : db_null();
}

enum err entitlement_insert(struct db *db, const struct entitlement_row *row)
{
    static const char sql[] =
        "INSERT INTO entitlement (customer_id, tier, provider, reference, resolved_reference,"
        " status, period_start, period_end, grace_until, anchor, kept_start, kept_until, "
        "updated_at)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)";
    return db_execute(db, sql,
                      DB_VALUES(db_u64(row->customer_id), db_text(row->tier),
                                db_text(row->provider), db_text(row->reference),
                                db_text(row->resolved_reference), db_text(row->status),
                                optional_time(row->period_start), optional_time(row->period_end),
                                optional_time(row->grace_until), db_i64(row->months.anchor_ms),
                                db_i64(row->months.kept_start_ms),
                                db_i64(row->months.kept_until_ms), db_i64(row->updated_at)),
                      NULL);
}

enum err entitlement_update(struct db *db, const struct entitlement_row *row)
{
    static const char sql[] =
        "UPDATE entitlement SET tier = ?, provider = ?, reference = ?, resolved_reference = ?,"
        " status = ?, period_start = ?, period_end = ?, grace_until = ?, anchor = ?,"
        " kept_start = ?, kept_until = ?, updated_at = ?"
        " WHERE customer_id = ?";
    static const char keys[] = "UPDATE api_key SET tier = ?, held = ? WHERE customer_id = ?";
    enum err error =
        db_execute(db, sql,
                   DB_VALUES(db_text(row->tier), db_text(row->provider), db_text(row->reference),
                             db_text(row->resolved_reference), db_text(row->status),
                             optional_time(row->period_start), optional_time(row->period_end),
                             optional_time(row->grace_until), db_i64(row->months.anchor_ms),
                             db_i64(row->months.kept_start_ms), db_i64(row->months.kept_until_ms),
                             db_i64(row->updated_at), db_u64(row->customer_id)),
                   NULL);
    if (error) return error;
    bool held = span_is(span_text(row->status), "suspended");
    return db_execute(db, keys,
                      DB_VALUES(db_text(row->tier), db_i64(held), db_u64(row->customer_id)), NULL);
}

#define FIND_SQL                                                                                   \
    "SELECT tier, provider, reference, resolved_reference, status, period_start, period_end,"      \
    " grace_until, updated_at, anchor, kept_start, kept_until, customer_id FROM entitlement"       \
    " WHERE customer_id "

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
    };
    return row->tier && row->provider && row->status ? ERR_OK : ERR_NO_MEMORY;
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

bool entitlement_lapsed(const struct entitlement_row *row, int64_t now_ms)
{
    if (span_is(span_text(row->status), "suspended")) return true;
    return span_is(span_text(row->status), "past_due") && now_ms >= row->grace_until;
}
