/* The outbox as people see it: lists, one row, and sending again. Called by the notification calls
 * of api/ from jobs of the readers, outbox_retry from an operation. What always holds: neither an
 * address nor what a mail says is read here. */
#include "store/outbox.h"

#include "io/db.h"

#define COLUMNS                                                                                    \
    "SELECT o.id, o.customer_id, o.key_id, o.kind, o.state, o.error, o.generation, o.attempts,"    \
    " o.next_at, o.first_queued_at, o.accepted_at FROM outbox o "
#define TAIL "o.id < ? ORDER BY o.id DESC LIMIT ?"

static enum err row_read(const struct db_rows *rows, struct arena *arena, struct outbox_view *view)
{
    *view = (struct outbox_view){
        .id = db_get_u64(rows, 0),
        .customer_id = db_get_u64(rows, 1),
        .key_id = db_get_u64(rows, 2),
        .kind = db_get_text(rows, 3, arena),
        .state = db_get_text(rows, 4, arena),
        .error = db_get_text(rows, 5, arena),
        .generation = (uint32_t)db_get_u64(rows, 6),
        .attempts = (uint32_t)db_get_u64(rows, 7),
        .next_at = db_get_i64(rows, 8),
        .queued_at = db_get_i64(rows, 9),
        .accepted_at = db_get_i64(rows, 10),
    };
    return view->kind && view->state ? ERR_OK : ERR_NO_MEMORY;
}

enum err outbox_list(struct db *db, const struct outbox_filter *filter, struct arena *arena,
                     struct outbox_view **out, size_t *count)
{
    static const char all[] = COLUMNS "WHERE " TAIL;
    static const char by_key[] = COLUMNS "WHERE o.key_id = ? AND " TAIL;
    static const char by_customer[] = COLUMNS "WHERE o.customer_id = ? AND " TAIL;
    static const char by_external[] =
        COLUMNS "JOIN customer c ON c.id = o.customer_id WHERE c.external_id = ? AND " TAIL;
    struct db_rows rows;
    struct db_value before = db_u64(filter->before ? filter->before : INT64_MAX);
    struct db_value limit = db_u64(filter->limit);
    *count = 0;
    *out = arena_alloc(arena, (filter->limit + 1) * sizeof **out);
    if (!*out) return ERR_NO_MEMORY;
    enum err error;
    if (filter->key_id)
        error = db_query(db, by_key, DB_VALUES(db_u64(filter->key_id), before, limit), &rows);
    else if (filter->customer_id)
        error =
            db_query(db, by_customer, DB_VALUES(db_u64(filter->customer_id), before, limit), &rows);
    else if (filter->external_id.length)
        error = db_query(db, by_external, DB_VALUES(db_span(filter->external_id), before, limit),
                         &rows);
    else
        error = db_query(db, all, DB_VALUES(before, limit), &rows);
    if (error) return error;
    while (!error && *count < filter->limit && db_next(&rows))
        error = row_read(&rows, arena, &(*out)[(*count)++]);
    db_finish(&rows);
    return error;
}

enum err outbox_find(struct db *db, uint64_t id, struct arena *arena, struct outbox_view *view)
{
    struct db_rows rows;
    enum err error = db_query(db, COLUMNS "WHERE o.id = ?", DB_VALUES(db_u64(id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    error = row_read(&rows, arena, view);
    db_finish(&rows);
    return error;
}

enum err outbox_retry(struct db *db, uint64_t id, int64_t now_ms, bool *changed)
{
    static const char sql[] = "UPDATE outbox SET state = 'retry', next_at = ?, first_queued_at = ?,"
                              " attempts = 0 WHERE id = ? AND state IN ('dead', 'retry')";
    static const char find[] = "SELECT 1 FROM outbox WHERE id = ?";
    struct db_rows rows;
    uint64_t count = 0;
    enum err error =
        db_execute(db, sql, DB_VALUES(db_i64(now_ms), db_i64(now_ms), db_u64(id)), &count);
    *changed = count != 0;
    if (error || *changed) return error;
    error = db_query(db, find, DB_VALUES(db_u64(id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    db_finish(&rows);
    return ERR_OK;
}
