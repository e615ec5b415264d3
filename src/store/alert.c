/* The alert table. Called by operations and jobs on DB threads. What always holds: at most one open
 * row a kind and subject, so that one alert neither hides another nor comes a hundred times. */
#include "store/alert.h"

#include "base/codec.h"
#include "io/db.h"

#define COLUMNS                                                                                    \
    "SELECT id, customer_id, kind, subject, detail, times, created_at, last_at, acknowledged_at,"  \
    " acknowledged_by FROM alert WHERE "

enum err alert_raise(struct db *db, const char *kind, const char *subject, uint64_t customer_id,
                     const char *detail, int64_t now_ms)
{
    static const char sql[] =
        "INSERT INTO alert (id, kind, subject, open, customer_id, detail, created_at, last_at)"
        " VALUES (?,?,?,1,?,?,?,?) ON DUPLICATE KEY UPDATE times = times + 1,"
        " detail = VALUES(detail), last_at = VALUES(last_at)";
    return db_execute(db, sql,
                      DB_VALUES(db_u64(id_new()), db_text(kind), db_text(subject),
                                customer_id ? db_u64(customer_id) : db_null(),
                                db_text(detail ? detail : "{}"), db_i64(now_ms), db_i64(now_ms)),
                      NULL);
}

enum err alert_settle(struct db *db, const char *kind, const char *subject, const char *by,
                      int64_t now_ms)
{
    static const char sql[] = "UPDATE alert SET open = NULL, acknowledged_at = ?,"
                              " acknowledged_by = ? WHERE kind = ? AND subject = ? AND open = 1";
    return db_execute(
        db, sql, DB_VALUES(db_i64(now_ms), db_text(by), db_text(kind), db_text(subject)), NULL);
}

enum err alert_is_open(struct db *db, const char *kind, const char *subject, bool *open)
{
    static const char sql[] = "SELECT 1 FROM alert WHERE kind = ? AND subject = ? AND open = 1";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_text(kind), db_text(subject)), &rows);
    if (error) return error;
    *open = db_next(&rows);
    if (*open) db_finish(&rows);
    return ERR_OK;
}

enum err alert_acknowledge(struct db *db, uint64_t id, const char *by, int64_t now_ms,
                           bool *changed)
{
    static const char sql[] = "UPDATE alert SET open = NULL, acknowledged_at = ?,"
                              " acknowledged_by = ? WHERE id = ? AND open = 1";
    static const char find[] = "SELECT 1 FROM alert WHERE id = ?";
    struct db_rows rows;
    uint64_t count = 0;
    enum err error =
        db_execute(db, sql, DB_VALUES(db_i64(now_ms), db_text(by), db_u64(id)), &count);
    *changed = count != 0;
    if (error || *changed) return error;
    error = db_query(db, find, DB_VALUES(db_u64(id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    db_finish(&rows);
    return ERR_OK;
}

static enum err row_read(const struct db_rows *rows, struct arena *arena, struct alert_row *row)
{
    *row = (struct alert_row){
        .id = db_get_u64(rows, 0),
        .customer_id = db_get_u64(rows, 1),
        .kind = db_get_text(rows, 2, arena),
        .subject = db_get_text(rows, 3, arena),
        .detail = db_get_text(rows, 4, arena),
        .times = (uint32_t)db_get_u64(rows, 5),
        .created_at = db_get_i64(rows, 6),
        .last_at = db_get_i64(rows, 7),
        .acknowledged_at = db_get_i64(rows, 8),
        .acknowledged_by = db_get_text(rows, 9, arena),
    };
    return row->kind && row->subject && row->detail ? ERR_OK : ERR_NO_MEMORY;
}

enum err alert_find(struct db *db, uint64_t id, struct arena *arena, struct alert_row *row)
{
    static const char sql[] = COLUMNS "id = ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    error = row_read(&rows, arena, row);
    db_finish(&rows);
    return error;
}

enum err alert_list(struct db *db, enum alert_which which, uint64_t before, size_t limit,
                    struct arena *arena, struct alert_row **out, size_t *count)
{
    static const char any[] = COLUMNS "id < ? ORDER BY id DESC LIMIT ?";
    static const char open[] = COLUMNS "open = 1 AND id < ? ORDER BY id DESC LIMIT ?";
    static const char closed[] = COLUMNS "open IS NULL AND id < ? ORDER BY id DESC LIMIT ?";
    struct db_rows rows;
    const char *sql = which == ALERT_OPEN ? open : which == ALERT_ACKNOWLEDGED ? closed : any;
    *count = 0;
    *out = arena_alloc(arena, (limit + 1) * sizeof **out);
    if (!*out) return ERR_NO_MEMORY;
    enum err error =
        db_query(db, sql, DB_VALUES(db_u64(before ? before : INT64_MAX), db_u64(limit)), &rows);
    if (error) return error;
    while (!error && *count < limit && db_next(&rows))
        error = row_read(&rows, arena, &(*out)[(*count)++]);
    db_finish(&rows);
    return error;
}
