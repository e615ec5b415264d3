/* The token table. Called by the token calls of api/, by service/token_cache, by the committer and
 * the command line; DB thread. What always holds: a token's row is never deleted, a revoked one
 * stays revoked, and only its keyed hash and first 10 characters are there. */
#include "store/token.h"

#include "base/buf.h"
#include "io/db.h"
#include "store/names.h"

#include <stdio.h>

static const struct {
    enum scope scope;
    const char *name;
} scopes_known[] = {
    /* sorted by name: the column's order */
    {SCOPE_ADMIN, "admin"},   {SCOPE_BILLING, "billing"}, {SCOPE_ISSUE, "issue"},
    {SCOPE_PORTAL, "portal"}, {SCOPE_READ, "read"},       {SCOPE_VERIFY, "verify"},
};

const char *scope_name(enum scope scope)
{
    for (size_t i = 0; i < COUNT_OF(scopes_known); i++)
        if (scopes_known[i].scope == scope) return scopes_known[i].name;
    return "none";
}

/* "admin" …; SCOPE_NONE: no such word. */
static enum scope scope_parse(struct span word)
{
    for (size_t i = 0; i < COUNT_OF(scopes_known); i++)
        if (span_is(word, scopes_known[i].name)) return scopes_known[i].scope;
    return SCOPE_NONE;
}

void scopes_format(unsigned scopes, char out[SCOPES_TEXT_SIZE])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(scopes_known); i++)
        if (scopes & (unsigned)scopes_known[i].scope)
            used += (size_t)snprintf(out + used, SCOPES_TEXT_SIZE - used, "%s%s", used ? " " : "",
                                     scopes_known[i].name);
}

unsigned scopes_parse(struct span text)
{
    unsigned scopes = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= text.length; i++) {
        if (i < text.length && text.data[i] != ' ' && text.data[i] != ',') continue;
        struct span word = {text.data + begin, i - begin};
        begin = i + 1;
        if (!word.length) continue;
        enum scope scope = scope_parse(word);
        if (scope == SCOPE_NONE) return 0;
        scopes |= (unsigned)scope;
    }
    return scopes;
}

#define TOKEN_COLUMNS                                                                              \
    "id, name, scopes, permissions, hash, start, created_at, expires_at, revoked_at"

static enum err row_read(const struct db_rows *rows, struct arena *arena, struct token_row *row)
{
    struct span hash = db_get_span(rows, 4);
    *row = (struct token_row){
        .id = db_get_u64(rows, 0),
        .name = db_get_text(rows, 1, arena),
        .scopes = scopes_parse(db_get_span(rows, 2)),
        .created_at = db_get_i64(rows, 6),
        .expires_at = db_get_i64(rows, 7),
        .revoked_at = db_get_i64(rows, 8),
    };
    if (!row->name) return ERR_NO_MEMORY;
    if (hash.length != sizeof row->hash) return ERR_DB;
    memcpy(row->hash, hash.data, sizeof row->hash);
    struct span start = db_get_span(rows, 5);
    snprintf(row->start, sizeof row->start, "%.*s", (int)start.length, start.data);
    if (db_is_null(rows, 3)) return ERR_OK;
    return names_from_json(db_get_span(rows, 3), arena, &row->permissions);
}

static struct db_value time_or_null(int64_t wall_ms)
{
    return wall_ms ? db_i64(wall_ms) : db_null();
}

enum err token_insert(struct db *db, const struct token_row *row)
{
    char scopes[SCOPES_TEXT_SIZE];
    scopes_format(row->scopes, scopes);
    struct buf permissions CLEANUP(buf_done) = {0};
    if (row->permissions) names_to_json(span_text(row->permissions), &permissions);
    if (permissions.failed) return ERR_NO_MEMORY;
    return db_execute(db,
                      "INSERT INTO token (" TOKEN_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      DB_VALUES(db_u64(row->id), db_text(row->name), db_text(scopes),
                                row->permissions ? db_span(buf_span(&permissions)) : db_null(),
                                db_bytes(row->hash, sizeof row->hash), db_text(row->start),
                                db_i64(row->created_at), time_or_null(row->expires_at),
                                time_or_null(row->revoked_at)),
                      NULL);
}

enum err token_revoke(struct db *db, uint64_t id, int64_t now_ms, bool *changed)
{
    struct db_rows rows;
    enum err error = db_query(db, "SELECT revoked_at FROM token WHERE id = ? FOR UPDATE",
                              DB_VALUES(db_u64(id)), &rows);
    if (error != ERR_OK) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    *changed = db_is_null(&rows, 0);
    db_finish(&rows);
    if (!*changed) return ERR_OK;
    return db_execute(db, "UPDATE token SET revoked_at = ? WHERE id = ?",
                      DB_VALUES(db_i64(now_ms), db_u64(id)), NULL);
}

/* The only row of a result that has begun. */
static enum err row_take(struct db_rows *rows, struct arena *arena, struct token_row *row)
{
    if (!db_next(rows)) return ERR_NOT_FOUND;
    enum err error = row_read(rows, arena, row);
    db_finish(rows);
    return error;
}

enum err token_find_hash(struct db *db, const unsigned char hash[32], struct arena *arena,
                         struct token_row *row)
{
    struct db_rows rows;
    enum err error = db_query(db, "SELECT " TOKEN_COLUMNS " FROM token WHERE hash = ?",
                              DB_VALUES(db_bytes(hash, 32)), &rows);
    return error == ERR_OK ? row_take(&rows, arena, row) : error;
}

enum err token_is_live(struct db *db, uint64_t id, int64_t now_ms)
{
    struct db_rows rows;
    enum err error = db_query(db,
                              "SELECT 1 FROM token WHERE id = ? AND revoked_at IS NULL AND "
                              "(expires_at IS NULL OR expires_at > ?)",
                              DB_VALUES(db_u64(id), db_i64(now_ms)), &rows);
    if (error != ERR_OK) return error;
    if (!db_next(&rows)) return ERR_DENIED;
    db_finish(&rows);
    return ERR_OK;
}

enum err token_list(struct db *db, uint64_t before, int64_t live_at, size_t limit,
                    struct arena *arena, struct token_row **out, size_t *count)
{
    *count = 0;
    struct db_rows rows;
    struct token_row *list = arena_alloc(arena, (limit ? limit : 1) * sizeof *list);
    if (!list) return ERR_NO_MEMORY;
    enum err error =
        db_query(db,
                 "SELECT " TOKEN_COLUMNS " FROM token WHERE id < ? AND (? = 0 OR (revoked_at IS "
                 "NULL AND (expires_at IS NULL OR expires_at > ?))) ORDER BY id DESC LIMIT ?",
                 DB_VALUES(db_u64(before ? before : INT64_MAX), db_i64(live_at), db_i64(live_at),
                           db_u64(limit)),
                 &rows);
    if (error != ERR_OK) return error;
    while (*count < limit && db_next(&rows)) {
        error = row_read(&rows, arena, &list[*count]);
        if (error != ERR_OK) break;
        ++*count;
    }
    db_finish(&rows);
    *out = list;
    return error;
}
