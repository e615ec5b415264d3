/* The table admin_session. Called by the sign-in, by each request of a page, and by operations on
 * admins, on a DB thread. What always holds: a session whose row is gone, has ended or rested for
 * too long is found by no later statement. */
#include "store/admin_session.h"

#include "io/db.h"

#include <stdio.h>
#include <string.h>

enum { SESSIONS_LISTED = 100 };
static const int64_t IDLE_MS = INT64_C(12) * 3600 * 1000;

#define COLUMNS                                                                                    \
    "SELECT id, admin_id, hash, waiting, address, agent, created_at, seen_at, ends_at"             \
    " FROM admin_session WHERE ends_at > ? AND seen_at > ?"

enum err admin_session_insert(struct db *db, const struct admin_session_row *row)
{
    static const char forget[] = "DELETE FROM admin_session WHERE ends_at <= ?";
    static const char sql[] = "INSERT INTO admin_session (id, hash, admin_id, waiting, address,"
                              " agent, created_at, seen_at, ends_at) VALUES (?,?,?,?,?,?,?,?,?)";
    enum err error = db_execute(db, forget, DB_VALUES(db_i64(row->created_at)), NULL);
    if (error) return error;
    return db_execute(db, sql,
                      DB_VALUES(db_u64(row->id), db_bytes(row->hash, sizeof row->hash),
                                db_u64(row->admin_id), db_u64(row->waiting), db_text(row->address),
                                db_text(row->agent), db_i64(row->created_at), db_i64(row->seen_at),
                                db_i64(row->ends_at)),
                      NULL);
}

static void text_take(char *out, size_t size, struct span text)
{
    snprintf(out, size, "%.*s", (int)text.length, text.length ? text.data : "");
}

static enum err row_take(const struct db_rows *rows, struct admin_session_row *row)
{
    struct span hash = db_get_span(rows, 2);
    *row = (struct admin_session_row){
        .id = db_get_u64(rows, 0),
        .admin_id = db_get_u64(rows, 1),
        .waiting = db_get_i64(rows, 3) != 0,
        .created_at = db_get_i64(rows, 6),
        .seen_at = db_get_i64(rows, 7),
        .ends_at = db_get_i64(rows, 8),
    };
    if (hash.length != sizeof row->hash) return ERR_DB;
    memcpy(row->hash, hash.data, hash.length);
    text_take(row->address, sizeof row->address, db_get_span(rows, 4));
    text_take(row->agent, sizeof row->agent, db_get_span(rows, 5));
    return ERR_OK;
}

enum err admin_session_find(struct db *db, const unsigned char hash[32], int64_t now_ms,
                            struct arena *arena, struct admin_session_row *session,
                            struct admin_row *admin)
{
    struct db_rows rows;
    enum err error =
        db_query(db, COLUMNS " AND hash = ?",
                 DB_VALUES(db_i64(now_ms), db_i64(now_ms - IDLE_MS), db_bytes(hash, 32)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    error = row_take(&rows, session);
    db_finish(&rows);
    if (!error) error = admin_find(db, session->admin_id, arena, admin);
    if (!error && admin->disabled_at) error = ERR_NOT_FOUND;
    return error;
}

enum err admin_session_role(struct db *db, uint64_t admin_id, uint64_t id, int64_t now_ms,
                            enum admin_role *role)
{
    static const char sql[] =
        "SELECT a.role FROM admin_session s JOIN admin a ON a.id = s.admin_id WHERE s.id = ?"
        " AND s.admin_id = ? AND s.ends_at > ? AND a.disabled_at IS NULL LOCK IN SHARE MODE";
    struct db_rows rows;
    enum err error =
        db_query(db, sql, DB_VALUES(db_u64(id), db_u64(admin_id), db_i64(now_ms)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    error = admin_role_parse(db_get_span(&rows, 0), role) ? ERR_OK : ERR_DB;
    db_finish(&rows);
    return error;
}

enum err admin_session_touch(struct db *db, uint64_t id, int64_t now_ms)
{
    return db_execute(db, "UPDATE admin_session SET seen_at = ? WHERE id = ?",
                      DB_VALUES(db_i64(now_ms), db_u64(id)), NULL);
}

enum err admin_session_delete(struct db *db, uint64_t admin_id, uint64_t id)
{
    uint64_t changed = 0;
    enum err error = db_execute(db, "DELETE FROM admin_session WHERE id = ? AND admin_id = ?",
                                DB_VALUES(db_u64(id), db_u64(admin_id)), &changed);
    if (error) return error;
    return changed ? ERR_OK : ERR_NOT_FOUND;
}

enum err admin_session_delete_all(struct db *db, uint64_t admin_id, uint64_t but)
{
    return db_execute(db, "DELETE FROM admin_session WHERE admin_id = ? AND id <> ?",
                      DB_VALUES(db_u64(admin_id), db_u64(but)), NULL);
}

enum err admin_session_list(struct db *db, uint64_t admin_id, int64_t now_ms, struct arena *arena,
                            struct admin_session_row **out, size_t *count)
{
    struct db_rows rows;
    struct admin_session_row *list = arena_alloc(arena, SESSIONS_LISTED * sizeof *list);
    *count = 0;
    *out = list;
    if (!list) return ERR_NO_MEMORY;
    enum err error = db_query(
        db, COLUMNS " AND admin_id = ? AND waiting = 0 ORDER BY seen_at DESC, id DESC LIMIT ?",
        DB_VALUES(db_i64(now_ms), db_i64(now_ms - IDLE_MS), db_u64(admin_id),
                  db_u64(SESSIONS_LISTED)),
        &rows);
    if (error) return error;
    while (!error && *count < SESSIONS_LISTED && db_next(&rows)) {
        error = row_take(&rows, &list[*count]);
        ++*count;
    }
    db_finish(&rows);
    return error;
}
