/* The tables portal_session and portal_form. Called by the portal's operations on the committer's
 * thread, and by its pages on a reader's. What always holds: a link is opened once, and neither its
 * text nor the cookie's stands here. */
#include "store/portal.h"

#include "base/buf.h"
#include "base/span.h"
#include "io/db.h"
#include "store/names.h"

#include <string.h>

const char *const portal_may_names[PORTAL_MAY_COUNT + 1] = {
    "create_keys", "rotate_keys", "disable_keys", "revoke_keys", "edit_encryption",
    "edit_keys",   NULL};

static unsigned may_of(struct span word)
{
    for (unsigned i = 0; i < PORTAL_MAY_COUNT; i++)
        if (span_is(word, portal_may_names[i])) return 1U << i;
    return 0;
}

bool portal_may_parse(const char *joined, unsigned *may)
{
    *may = 0;
    while (*joined) {
        size_t length = strcspn(joined, ",");
        unsigned one = may_of(span_of(joined, length));
        if (!one) return false;
        *may |= one;
        joined += length + (joined[length] == ',');
    }
    return true;
}

enum err portal_insert(struct db *db, const struct portal_session *row)
{
    static const char sql[] =
        "INSERT INTO portal_session (id, customer_id, link_hash, may, within, created_by,"
        " created_at, ends_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    struct buf within CLEANUP(buf_done) = {0};
    if (row->within) names_to_json(span_text(row->within), &within);
    if (within.failed) return ERR_NO_MEMORY;
    return db_execute(db, sql,
                      DB_VALUES(db_u64(row->id), db_u64(row->customer_id),
                                db_bytes(row->link_hash, sizeof row->link_hash), db_u64(row->may),
                                row->within ? db_span(buf_span(&within)) : db_null(),
                                db_text(row->created_by), db_i64(row->created_at),
                                db_i64(row->ends_at)),
                      NULL);
}

enum err portal_find_link(struct db *db, const unsigned char link_hash[32],
                          struct portal_session *row)
{
    static const char sql[] = "SELECT id, customer_id, opened_at, ends_at FROM portal_session"
                              " WHERE link_hash = ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_bytes(link_hash, 32)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    *row = (struct portal_session){.id = db_get_u64(&rows, 0),
                                   .customer_id = db_get_u64(&rows, 1),
                                   .opened_at = db_get_i64(&rows, 2),
                                   .ends_at = db_get_i64(&rows, 3)};
    db_finish(&rows);
    return ERR_OK;
}

enum err portal_open(struct db *db, const unsigned char link_hash[32], const unsigned char hash[32],
                     int64_t now_ms, int64_t ends_at)
{
    static const char sql[] = "UPDATE portal_session SET hash = ?, opened_at = ?, ends_at = ?"
                              " WHERE link_hash = ? AND opened_at IS NULL AND ends_at > ?";
    uint64_t changed = 0;
    enum err error = db_execute(db, sql,
                                DB_VALUES(db_bytes(hash, 32), db_i64(now_ms), db_i64(ends_at),
                                          db_bytes(link_hash, 32), db_i64(now_ms)),
                                &changed);
    if (error) return error;
    return changed == 1 ? ERR_OK : ERR_NOT_FOUND;
}

enum err portal_note_first(struct db *db, uint64_t customer_id, int64_t now_ms, bool *first)
{
    static const char sql[] =
        "UPDATE customer SET portal_opened_at = ? WHERE id = ? AND portal_opened_at IS NULL";
    uint64_t changed = 0;
    enum err error = db_execute(db, sql, DB_VALUES(db_i64(now_ms), db_u64(customer_id)), &changed);
    *first = changed == 1;
    return error;
}

#define FIND                                                                                       \
    "SELECT s.id, s.customer_id, s.may, s.within, s.opened_at, s.ends_at FROM portal_session s"    \
    " JOIN customer c ON c.id = s.customer_id"                                                     \
    " WHERE s.hash = ? AND s.ends_at > ? AND c.deleted_at IS NULL"

enum err portal_find(struct db *db, const unsigned char hash[32], int64_t now_ms, bool lock,
                     struct arena *arena, struct portal_session *row)
{
    struct db_rows rows;
    enum err error = db_query(db, lock ? FIND " LOCK IN SHARE MODE" : FIND,
                              DB_VALUES(db_bytes(hash, 32), db_i64(now_ms)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    *row = (struct portal_session){.id = db_get_u64(&rows, 0),
                                   .customer_id = db_get_u64(&rows, 1),
                                   .may = (unsigned)db_get_u64(&rows, 2),
                                   .opened_at = db_get_i64(&rows, 4),
                                   .ends_at = db_get_i64(&rows, 5)};
    if (!db_is_null(&rows, 3)) error = names_from_json(db_get_span(&rows, 3), arena, &row->within);
    db_finish(&rows);
    return error;
}

enum err portal_end(struct db *db, uint64_t id, int64_t now_ms)
{
    return db_execute(db, "UPDATE portal_session SET ends_at = ? WHERE id = ? AND ends_at > ?",
                      DB_VALUES(db_i64(now_ms), db_u64(id), db_i64(now_ms)), NULL);
}

enum err portal_end_all(struct db *db, uint64_t customer_id, int64_t now_ms)
{
    return db_execute(db,
                      "UPDATE portal_session SET ends_at = ? WHERE customer_id = ? AND ends_at > ?",
                      DB_VALUES(db_i64(now_ms), db_u64(customer_id), db_i64(now_ms)), NULL);
}

enum err portal_form_once(struct db *db, uint64_t session_id,
                          const unsigned char form[PORTAL_FORM_SIZE])
{
    return db_execute(db, "INSERT INTO portal_form (session_id, form) VALUES (?, ?)",
                      DB_VALUES(db_u64(session_id), db_bytes(form, PORTAL_FORM_SIZE)), NULL);
}

enum err portal_key_hash(struct db *db, uint64_t key_id, const char *algorithm,
                         const char *pepper_id, unsigned char hash[32])
{
    static const char sql[] =
        "SELECT h.hash FROM key_secret s JOIN key_hash h ON h.secret_id = s.id"
        " WHERE s.key_id = ? AND h.algorithm = ? AND h.pepper_id = ? ORDER BY s.version DESC"
        " LIMIT 1";
    struct db_rows rows;
    enum err error =
        db_query(db, sql, DB_VALUES(db_u64(key_id), db_text(algorithm), db_text(pepper_id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    struct span found = db_get_span(&rows, 0);
    error = found.length == 32 ? ERR_OK : ERR_DB;
    if (!error) memcpy(hash, found.data, 32);
    db_finish(&rows);
    return error;
}
