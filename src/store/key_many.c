/* Many keys at once. Called by the pages of rotations on the committer's thread. What always holds:
 * the keys go to the server as one JSON value, so a statement is the same for one and for hundreds;
 * and it is they that are walked, each by an index, never the table. */
#include "store/key_many.h"

#include "base/buf.h"
#include "io/db.h"

#define STEPS                                                                                      \
    "JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', version INT PATH '$[1]',"                \
    " rotates_at BIGINT PATH '$[2]', updated_at BIGINT PATH '$[3]')) d STRAIGHT_JOIN "

static void steps_write(const struct key_step *steps, size_t count, struct buf *out)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s[%llu,%u,%lld,%lld]", i ? "," : "", (unsigned long long)steps[i].key_id,
                   steps[i].version, (long long)steps[i].rotates_at,
                   (long long)steps[i].updated_at);
    buf_add_char(out, ']');
}

enum err key_many_update(struct db *db, const struct key_step *steps, size_t count)
{
    static const char sql[] = "UPDATE " STEPS "api_key k ON k.id = d.id"
                              " SET k.rotates_at = NULLIF(d.rotates_at, 0),"
                              " k.secret_version = d.version, k.updated_at = d.updated_at";
    struct buf list CLEANUP(buf_done) = {0};
    if (!count) return ERR_OK;
    steps_write(steps, count, &list);
    return list.failed ? ERR_NO_MEMORY
                       : db_execute(db, sql, DB_VALUES(db_span(buf_span(&list))), NULL);
}

enum err key_many_end(struct db *db, const struct key_step *steps, size_t count, int64_t now_ms)
{
    static const char hashes[] =
        "DELETE h FROM " STEPS "key_secret s ON s.key_id = d.id AND s.version < d.version"
        " STRAIGHT_JOIN key_hash h ON h.secret_id = s.id";
    static const char secrets[] =
        "DELETE s FROM " STEPS "key_secret s ON s.key_id = d.id AND s.version < d.version";
    static const char reminders[] = "DELETE r FROM " STEPS "rotation r ON r.key_id = d.id"
                                    " WHERE r.look_at IS NOT NULL AND r.step >= 100";
    static const char links[] = "UPDATE " STEPS "claim c ON c.key_id = d.id"
                                " SET c.ended_at = ? WHERE c.ended_at IS NULL";
    struct buf list CLEANUP(buf_done) = {0};
    if (!count) return ERR_OK;
    steps_write(steps, count, &list);
    if (list.failed) return ERR_NO_MEMORY;
    struct db_value these = db_span(buf_span(&list));
    enum err error = db_execute(db, hashes, &these, 1, NULL);
    if (!error) error = db_execute(db, secrets, &these, 1, NULL);
    if (!error) error = db_execute(db, reminders, &these, 1, NULL);
    return error ? error : db_execute(db, links, DB_VALUES(these, db_i64(now_ms)), NULL);
}
