/* Reading the audit log. Called by the audit call of api/ from a job of service->readers; DB
 * thread. What always holds: rows come in the order of the chain, newest first, as they were
 * written. */
#include "store/audit.h"

#include "io/db.h"

#define AUDIT_COLUMNS                                                                              \
    "SELECT a.sequence, a.id, a.customer_id, a.at, a.actor, a.action, a.subject, a.address, "      \
    "a.request_id, a.detail FROM audit a "
#define AUDIT_TAIL "a.sequence < ? AND (? = '' OR a.action = ?) ORDER BY a.sequence DESC LIMIT ?"

static enum err row_read(const struct db_rows *rows, struct arena *arena,
                         struct audit_entry_row *row)
{
    *row = (struct audit_entry_row){
        .sequence = db_get_u64(rows, 0),
        .id = db_get_u64(rows, 1),
        .customer_id = db_get_u64(rows, 2),
        .at = db_get_i64(rows, 3),
        .actor = db_get_text(rows, 4, arena),
        .action = db_get_text(rows, 5, arena),
        .subject = db_get_text(rows, 6, arena),
        .address = db_get_text(rows, 7, arena),
        .request_id = db_get_text(rows, 8, arena),
        .detail = db_get_text(rows, 9, arena),
    };
    return row->actor && row->action && row->subject && row->address && row->request_id &&
                   row->detail
               ? ERR_OK
               : ERR_NO_MEMORY;
}

enum err audit_list(struct db *db, const struct audit_filter *filter, struct arena *arena,
                    struct audit_entry_row **out, size_t *count)
{
    struct db_rows rows;
    struct db_value before = db_u64(filter->before ? filter->before : INT64_MAX),
                    action = db_span(filter->action.length ? filter->action : SPAN("")),
                    limit = db_u64(filter->limit);
    *count = 0;
    struct audit_entry_row *list = arena_alloc(arena, (filter->limit + 1) * sizeof *list);
    if (!list) return ERR_NO_MEMORY;
    enum err error;
    if (filter->subject.length)
        error = db_query(db, AUDIT_COLUMNS "WHERE a.subject = ? AND " AUDIT_TAIL,
                         DB_VALUES(db_span(filter->subject), before, action, action, limit), &rows);
    else if (filter->customer_id)
        error =
            db_query(db, AUDIT_COLUMNS "WHERE a.customer_id = ? AND " AUDIT_TAIL,
                     DB_VALUES(db_u64(filter->customer_id), before, action, action, limit), &rows);
    else if (filter->external_id.length)
        error =
            db_query(db,
                     AUDIT_COLUMNS "JOIN customer c ON c.id = a.customer_id WHERE "
                                   "c.external_id = ? AND " AUDIT_TAIL,
                     DB_VALUES(db_span(filter->external_id), before, action, action, limit), &rows);
    else if (filter->action.length)
        error = db_query(db,
                         AUDIT_COLUMNS "WHERE a.action = ? AND a.sequence < ?"
                                       " ORDER BY a.sequence DESC LIMIT ?",
                         DB_VALUES(action, before, limit), &rows);
    else
        error = db_query(db, AUDIT_COLUMNS "WHERE a.sequence < ? ORDER BY a.sequence DESC LIMIT ?",
                         DB_VALUES(before, limit), &rows);
    if (error != ERR_OK) return error;
    while (error == ERR_OK && *count < filter->limit && db_next(&rows))
        error = row_read(&rows, arena, &list[(*count)++]);
    db_finish(&rows);
    *out = list;
    return error;
}
