/* The tables admin and admin_invite. Called by the service's sign-in and admin operations and by
 * the tools, on a DB thread. What always holds: an address has one admin, an invitation is used
 * once, and the text of a link is nowhere. */
#include "store/admin.h"

#include "io/db.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS                                                                                    \
    "SELECT id, email, name, role, password, totp_sealed, totp_step, disabled_at, signed_in_at,"   \
    " created_at, updated_at FROM admin WHERE "

enum { INVITES_LISTED = 100 };
static const int64_t INVITE_KEPT_MS = INT64_C(90) * 86400 * 1000;

static struct db_value time_or_null(int64_t time)
{
    return time ? db_i64(time) : db_null();
}

static struct db_value sealed(const struct admin_row *row)
{
    return row->totp_length ? db_bytes(row->totp_sealed, row->totp_length) : db_null();
}

enum err admin_insert(struct db *db, const struct admin_row *row)
{
    static const char sql[] = "INSERT INTO admin (id, email, name, role, password, signed_in_at,"
                              " created_at, updated_at) VALUES (?,?,?,?,?,?,?,?)";
    return db_execute(db, sql,
                      DB_VALUES(db_u64(row->id), db_text(row->email), db_text(row->name),
                                db_text(admin_role_name(row->role)), db_text(row->password),
                                time_or_null(row->signed_in_at), db_i64(row->created_at),
                                db_i64(row->updated_at)),
                      NULL);
}

static enum err row_take(const struct db_rows *rows, struct arena *arena, struct admin_row *row)
{
    struct span totp = db_get_span(rows, 5);
    struct span password = db_get_span(rows, 4);
    *row = (struct admin_row){
        .id = db_get_u64(rows, 0),
        .email = db_get_text(rows, 1, arena),
        .name = db_get_text(rows, 2, arena),
        .totp_step = db_get_i64(rows, 6),
        .disabled_at = db_get_i64(rows, 7),
        .signed_in_at = db_get_i64(rows, 8),
        .created_at = db_get_i64(rows, 9),
        .updated_at = db_get_i64(rows, 10),
    };
    if (!row->email || !row->name) return ERR_NO_MEMORY;
    if (!admin_role_parse(db_get_span(rows, 3), &row->role)) return ERR_DB;
    if (totp.length > sizeof row->totp_sealed || password.length >= sizeof row->password)
        return ERR_DB;
    memcpy(row->password, password.data, password.length);
    if (totp.length) memcpy(row->totp_sealed, totp.data, totp.length);
    row->totp_length = totp.length;
    return ERR_OK;
}

static enum err take_only(struct db_rows *rows, struct arena *arena, struct admin_row *row)
{
    if (!db_next(rows)) return ERR_NOT_FOUND;
    enum err error = row_take(rows, arena, row);
    db_finish(rows);
    return error;
}

enum err admin_find(struct db *db, uint64_t id, struct arena *arena, struct admin_row *row)
{
    struct db_rows rows;
    enum err error = db_query(db, COLUMNS "id = ?", DB_VALUES(db_u64(id)), &rows);
    return error ? error : take_only(&rows, arena, row);
}

enum err admin_lock(struct db *db, uint64_t id, struct arena *arena, struct admin_row *row)
{
    struct db_rows rows;
    enum err error = db_query(db, COLUMNS "id = ? FOR UPDATE", DB_VALUES(db_u64(id)), &rows);
    return error ? error : take_only(&rows, arena, row);
}

enum err admin_find_email(struct db *db, struct span email, struct arena *arena,
                          struct admin_row *row)
{
    struct db_rows rows;
    enum err error = db_query(db, COLUMNS "email = ?", DB_VALUES(db_span(email)), &rows);
    return error ? error : take_only(&rows, arena, row);
}

enum err admin_update(struct db *db, const struct admin_row *row)
{
    static const char sql[] =
        "UPDATE admin SET email = ?, name = ?, role = ?, password = ?, totp_sealed = ?,"
        " totp_step = ?, disabled_at = ?, signed_in_at = ?, updated_at = ? WHERE id = ?";
    return db_execute(db, sql,
                      DB_VALUES(db_text(row->email), db_text(row->name),
                                db_text(admin_role_name(row->role)), db_text(row->password),
                                sealed(row), db_i64(row->totp_step), time_or_null(row->disabled_at),
                                time_or_null(row->signed_in_at), db_i64(row->updated_at),
                                db_u64(row->id)),
                      NULL);
}

enum err admin_owners(struct db *db, uint64_t *count)
{
    static const char sql[] =
        "SELECT disabled_at FROM admin WHERE role = 'owner' ORDER BY id FOR UPDATE";
    struct db_rows rows;
    *count = 0;
    enum err error = db_query(db, sql, DB_NONE, &rows);
    while (!error && db_next(&rows))
        *count += db_is_null(&rows, 0);
    return error;
}

enum err admin_list(struct db *db, struct arena *arena, struct admin_row **out, size_t *count)
{
    struct db_rows rows;
    struct admin_row *list = arena_alloc(arena, ADMINS_LISTED * sizeof *list);
    *count = 0;
    *out = list;
    if (!list) return ERR_NO_MEMORY;
    enum err error =
        db_query(db, COLUMNS "id > 0 ORDER BY id LIMIT ?", DB_VALUES(db_u64(ADMINS_LISTED)), &rows);
    if (error) return error;
    while (!error && *count < ADMINS_LISTED && db_next(&rows)) {
        error = row_take(&rows, arena, &list[*count]);
        ++*count;
    }
    db_finish(&rows);
    return error;
}

/* ---- invitations ---- */

#define INVITES                                                                                    \
    "SELECT id, hash, role, created_by, created_at, expires_at, admin_id FROM admin_invite"        \
    " WHERE used_at IS NULL AND expires_at > ?"

enum err admin_invite_insert(struct db *db, const struct admin_invite_row *row)
{
    static const char forget[] = "DELETE FROM admin_invite WHERE expires_at < ?";
    static const char sql[] = "INSERT INTO admin_invite (id, hash, role, created_by, created_at,"
                              " expires_at, admin_id) VALUES (?,?,?,?,?,?,?)";
    enum err error =
        db_execute(db, forget, DB_VALUES(db_i64(row->created_at - INVITE_KEPT_MS)), NULL);
    if (error) return error;
    return db_execute(db, sql,
                      DB_VALUES(db_u64(row->id), db_bytes(row->hash, sizeof row->hash),
                                db_text(admin_role_name(row->role)), db_text(row->created_by),
                                db_i64(row->created_at), db_i64(row->expires_at),
                                row->admin_id ? db_u64(row->admin_id) : db_null()),
                      NULL);
}

static enum err invite_take(const struct db_rows *rows, struct admin_invite_row *row)
{
    struct span hash = db_get_span(rows, 1), by = db_get_span(rows, 3);
    *row = (struct admin_invite_row){.id = db_get_u64(rows, 0),
                                     .created_at = db_get_i64(rows, 4),
                                     .expires_at = db_get_i64(rows, 5),
                                     .admin_id = db_get_u64(rows, 6)};
    if (hash.length != sizeof row->hash || !admin_role_parse(db_get_span(rows, 2), &row->role))
        return ERR_DB;
    memcpy(row->hash, hash.data, hash.length);
    snprintf(row->created_by, sizeof row->created_by, "%.*s", (int)by.length, by.data);
    return ERR_OK;
}

enum err admin_invite_find(struct db *db, const unsigned char hash[32], int64_t now_ms,
                           struct admin_invite_row *row)
{
    struct db_rows rows;
    enum err error =
        db_query(db, INVITES " AND hash = ?", DB_VALUES(db_i64(now_ms), db_bytes(hash, 32)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    error = invite_take(&rows, row);
    db_finish(&rows);
    return error;
}

enum err admin_invite_use(struct db *db, uint64_t id, int64_t now_ms)
{
    static const char sql[] = "UPDATE admin_invite SET used_at = ? WHERE id = ? AND used_at IS NULL"
                              " AND expires_at > ?";
    uint64_t changed = 0;
    enum err error =
        db_execute(db, sql, DB_VALUES(db_i64(now_ms), db_u64(id), db_i64(now_ms)), &changed);
    if (error) return error;
    return changed ? ERR_OK : ERR_NOT_FOUND;
}

enum err admin_invite_end_by(struct db *db, const char *created_by, int64_t now_ms)
{
    static const char sql[] =
        "UPDATE admin_invite SET used_at = ? WHERE created_by = ? AND used_at IS NULL";
    return db_execute(db, sql, DB_VALUES(db_i64(now_ms), db_text(created_by)), NULL);
}

enum err admin_invite_end_for(struct db *db, uint64_t admin_id, int64_t now_ms)
{
    static const char sql[] =
        "UPDATE admin_invite SET used_at = ? WHERE admin_id = ? AND used_at IS NULL";
    return db_execute(db, sql, DB_VALUES(db_i64(now_ms), db_u64(admin_id)), NULL);
}

enum err admin_invite_list(struct db *db, int64_t now_ms, struct arena *arena,
                           struct admin_invite_row **out, size_t *count)
{
    struct db_rows rows;
    struct admin_invite_row *list = arena_alloc(arena, INVITES_LISTED * sizeof *list);
    *count = 0;
    *out = list;
    if (!list) return ERR_NO_MEMORY;
    enum err error = db_query(db, INVITES " ORDER BY id DESC LIMIT ?",
                              DB_VALUES(db_i64(now_ms), db_u64(INVITES_LISTED)), &rows);
    if (error) return error;
    while (!error && *count < INVITES_LISTED && db_next(&rows)) {
        error = invite_take(&rows, &list[*count]);
        ++*count;
    }
    db_finish(&rows);
    return error;
}
