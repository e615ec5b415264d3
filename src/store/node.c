/* The rows of nodes: joining, heartbeats, holding, fencing. Called by the engine's jobs on a DB
 * thread. Always holds: a fenced incarnation is never unfenced, an incarnation's number is never
 * used again (so the newest row of each node is kept), and each fence has its row in the change
 * feed. */
#include "store/node.h"

#include "base/span.h"
#include "io/db.h"
#include "store/feed.h"

#include <string.h>

enum { ATTEMPTS = 8, JOIN_ATTEMPTS = 2, FENCES_AT_ONCE = 16, NAME_MAX_LENGTH = 64 };

static const char find_name_sql[] = "SELECT id FROM node_name WHERE name = ? FOR UPDATE";
static const char add_name_sql[] =
    "INSERT INTO node_name (name, id) SELECT ?, COALESCE(MAX(id), 0) + 1 FROM node_name";
static const char find_unused_sql[] =
    "SELECT id FROM node_name m WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.id = m.id AND "
    "(n.fenced = 0 OR n.fenced_at >= ?)) ORDER BY id LIMIT 1";
static const char is_used_sql[] =
    "SELECT 1 FROM node WHERE id = ? AND (fenced = 0 OR fenced_at >= ?) LIMIT 1";
static const char rename_sql[] = "UPDATE node_name SET name = ? WHERE id = ?";
static const char newest_sql[] = "SELECT COALESCE(MAX(incarnation), 0), COALESCE(MAX(IF(tag = ?, "
                                 "incarnation, 0)), 0) FROM node WHERE id = ?";
static const char add_node_sql[] =
    "INSERT INTO node (id, incarnation, tag, started_at) VALUES (?, ?, ?, ?)";
static const char add_heartbeat_sql[] =
    "INSERT INTO node_heartbeat (node, incarnation, connection, sent_at) VALUES (?, ?, "
    "CONNECTION_ID(), ?)";
static const char add_fold_owner_sql[] = "INSERT INTO fold_owner (node, incarnation) VALUES (?, ?)";
static const char former_sql[] =
    "SELECT incarnation FROM node WHERE id = ? AND incarnation < ? AND "
    "fenced = 0 ORDER BY incarnation LIMIT 16";
/* The uptime has whole seconds, rounded down. */
static const char find_former_sql[] =
    "SELECT n.id, n.incarnation, n.tag, COALESCE(h.heartbeat, 0), EXISTS (SELECT 1 FROM "
    "information_schema.PROCESSLIST p JOIN information_schema.GLOBAL_STATUS s WHERE p.ID = "
    "h.connection AND s.VARIABLE_NAME = 'UPTIME' AND (CAST(s.VARIABLE_VALUE AS SIGNED) + 1) * 1000 "
    "> ? - h.sent_at) FROM node_name m JOIN node n ON "
    "n.id = m.id LEFT JOIN node_heartbeat h ON h.node = n.id AND h.incarnation = n.incarnation "
    "WHERE m.name = ? AND n.fenced = 0 ORDER BY n.incarnation DESC LIMIT 1";
static const char fence_sql[] = "UPDATE node SET fenced = 1, fenced_at = ? WHERE id = ? AND "
                                "incarnation = ? AND fenced = 0";
static const char fence_silent_sql[] =
    "UPDATE node SET fenced = 1, fenced_at = ? WHERE id = ? AND incarnation = ? AND fenced = 0 AND "
    "COALESCE((SELECT heartbeat FROM node_heartbeat WHERE node = ? AND incarnation = ?), 0) = ?";
/* Reads the node's row without a lock: it neither waits for those who hold it nor they for it. */
static const char heartbeat_sql[] =
    "UPDATE node_heartbeat SET heartbeat = heartbeat + 1, connection = CONNECTION_ID(), sent_at "
    "= ? WHERE node = ? AND incarnation = ? AND EXISTS (SELECT 1 FROM node WHERE id = ? AND "
    "incarnation = ? AND "
    "fenced = 0)";
static const char hold_sql[] = "SELECT 1 FROM node WHERE id = ? AND incarnation = ? AND fenced = 0 "
                               "LOCK IN SHARE MODE";
static const char list_sql[] =
    "SELECT n.id, n.incarnation, n.fenced, COALESCE(h.heartbeat, 0), n.started_at FROM node n LEFT "
    "JOIN node_heartbeat h ON h.node = n.id AND h.incarnation = n.incarnation ORDER BY n.fenced, "
    "n.started_at DESC, n.id, n.incarnation DESC LIMIT ?";

static struct feed_row fence_row(unsigned id, unsigned incarnation)
{
    return (struct feed_row){.kind = FEED_FENCE, .subject = (uint64_t)id << 32 | incarnation};
}

/* ---- joining ---- */

static enum err find_id(struct db *db, const char *sql, const struct db_value *values, size_t count,
                        unsigned *id)
{
    struct db_rows rows;
    enum err error = db_query(db, sql, values, count, &rows);
    if (error) return error;
    bool found = db_next(&rows);
    if (found) *id = (unsigned)db_get_u64(&rows, 0);
    db_finish(&rows);
    return found ? ERR_OK : ERR_NOT_FOUND;
}

/* The ids are used up: that of a node that nobody has been for long, whose name it loses. Who joins
 * under that name locks its row first, so what holds behind the lock holds up to the commit. */
static enum err take_unused(struct db *db, const char *name, int64_t now_ms, unsigned *id)
{
    struct db_value before = db_i64(now_ms - NODE_KEPT_MS);
    enum err error =
        db_execute(db, "DELETE FROM node_name WHERE name = ?", DB_VALUES(db_text(name)), NULL);
    if (!error) error = find_id(db, find_unused_sql, DB_VALUES(before), id);
    if (error) return error == ERR_NOT_FOUND ? ERR_FULL : error;
    error = db_execute(db, rename_sql, DB_VALUES(db_text(name), db_u64(*id)), NULL);
    if (error) return error;
    error = find_id(db, is_used_sql, DB_VALUES(db_u64(*id), before), &(unsigned){0});
    if (!error) return ERR_DB_RETRY;
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

/* ERR_DENIED: the name of one that joins again is gone. */
static enum err take_id(struct db *db, const char *name, bool again, int64_t now_ms, unsigned *id)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        enum err error = find_id(db, find_name_sql, DB_VALUES(db_text(name)), id);
        if (!error && *id > NODE_ID_MAX) return take_unused(db, name, now_ms, id);
        if (error != ERR_NOT_FOUND) return error;
        if (again) return ERR_DENIED;
        error = db_execute(db, add_name_sql, DB_VALUES(db_text(name)), NULL);
        /* Another new node took the number in this moment. */
        if (error) return error == ERR_EXISTS ? ERR_DB_RETRY : error;
    }
    return ERR_DB;
}

/* The number after the newest one. ERR_DENIED: the process of `tag` had joined, and another since,
 * or its row is gone, which the newest one's never is; the lock on the name's row keeps others out
 * until this is committed. */
static enum err next_incarnation(struct db *db, unsigned id, uint64_t tag, bool again,
                                 unsigned *incarnation)
{
    struct db_rows rows;
    enum err error = db_query(db, newest_sql, DB_VALUES(db_u64(tag), db_u64(id)), &rows);
    if (error) return error;
    bool found = db_next(&rows);
    uint64_t newest = found ? db_get_u64(&rows, 0) : 0, own = found ? db_get_u64(&rows, 1) : 0;
    db_finish(&rows);
    if (own ? own != newest : again) return ERR_DENIED;
    *incarnation = (unsigned)newest + 1;
    return ERR_OK;
}

static enum err add_incarnation(struct db *db, uint64_t tag, int64_t now_ms,
                                const struct node_joined *joined)
{
    struct db_value id = db_u64(joined->id), incarnation = db_u64(joined->incarnation);
    enum err error =
        db_execute(db, add_node_sql, DB_VALUES(id, incarnation, db_u64(tag), db_i64(now_ms)), NULL);
    if (!error)
        error = db_execute(db, add_heartbeat_sql, DB_VALUES(id, incarnation, db_i64(now_ms)), NULL);
    if (!error) error = db_execute(db, add_fold_owner_sql, DB_VALUES(id, incarnation), NULL);
    return error;
}

/* The unfenced ones before `incarnation`, a handful at a time; in practice at most one. */
static enum err fence_some_former(struct db *db, unsigned id, unsigned incarnation, int64_t now_ms,
                                  size_t *count)
{
    struct feed_row feed[FENCES_AT_ONCE];
    struct db_rows rows;
    *count = 0;
    enum err error = db_query(db, former_sql, DB_VALUES(db_u64(id), db_u64(incarnation)), &rows);
    if (error) return error;
    while (*count < FENCES_AT_ONCE && db_next(&rows)) {
        feed[(*count)++] = fence_row(id, (unsigned)db_get_u64(&rows, 0));
    }
    db_finish(&rows);
    for (size_t i = 0; i < *count; i++) {
        uint64_t former = feed[i].subject & UINT32_MAX;
        error =
            db_execute(db, fence_sql, DB_VALUES(db_i64(now_ms), db_u64(id), db_u64(former)), NULL);
        if (error) return error;
    }
    return *count ? feed_append(db, now_ms, feed, *count, NULL, 0, NULL, NULL) : ERR_OK;
}

static enum err join_once(struct db *db, const char *name, uint64_t tag, bool again, int64_t now_ms,
                          struct node_joined *out)
{
    size_t fenced = FENCES_AT_ONCE;
    *out = (struct node_joined){0};
    enum err error = db_begin(db);
    if (!error) error = take_id(db, name, again, now_ms, &out->id);
    if (!error) error = next_incarnation(db, out->id, tag, again, &out->incarnation);
    if (!error) error = add_incarnation(db, tag, now_ms, out);
    while (!error && fenced == FENCES_AT_ONCE) {
        error = fence_some_former(db, out->id, out->incarnation, now_ms, &fenced);
        out->fenced += (unsigned)fenced;
    }
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}

static bool is_name(const char *name)
{
    size_t length = name ? strlen(name) : 0;
    for (size_t i = 0; i < length; i++) {
        if (name[i] <= ' ' || name[i] > '~') return false;
    }
    return length > 0 && length <= NAME_MAX_LENGTH;
}

static enum err join(struct db *db, const char *name, uint64_t tag, bool again, int64_t now_ms,
                     struct node_joined *out)
{
    enum err error = ERR_DB_RETRY;
    if (!is_name(name) || !tag) return ERR_INVALID;
    /* Few: each may wait a second for a lock, and the caller comes again. */
    for (int attempt = 0; error == ERR_DB_RETRY && attempt < JOIN_ATTEMPTS; attempt++) {
        error = join_once(db, name, tag, again, now_ms, out);
    }
    return error;
}

enum err node_join(struct db *db, const char *name, uint64_t tag, int64_t now_ms,
                   struct node_joined *out)
{
    return join(db, name, tag, false, now_ms, out);
}

enum err node_join_again(struct db *db, const char *name, uint64_t tag, int64_t now_ms,
                         struct node_joined *out)
{
    return join(db, name, tag, true, now_ms, out);
}

enum err node_find_former(struct db *db, const char *name, int64_t now_ms, struct node_former *out)
{
    struct db_rows rows;
    enum err error = db_query(db, find_former_sql, DB_VALUES(db_i64(now_ms), db_text(name)), &rows);
    if (error) return error;
    bool found = db_next(&rows);
    if (found) {
        *out = (struct node_former){
            .id = (unsigned)db_get_u64(&rows, 0),
            .incarnation = (unsigned)db_get_u64(&rows, 1),
            .tag = db_get_u64(&rows, 2),
            .heartbeat = db_get_i64(&rows, 3),
            .connected = db_get_i64(&rows, 4) != 0,
        };
    }
    db_finish(&rows);
    return found ? ERR_OK : ERR_NOT_FOUND;
}

/* ---- alive ---- */

enum err node_heartbeat(struct db *db, unsigned id, unsigned incarnation, int64_t now_ms)
{
    uint64_t affected;
    struct db_value node = db_u64(id), number = db_u64(incarnation);
    enum err error = db_execute(db, heartbeat_sql,
                                DB_VALUES(db_i64(now_ms), node, number, node, number), &affected);
    if (error) return error;
    return affected == 1 ? ERR_OK : ERR_FENCED;
}

enum err node_hold(struct db *db, unsigned id, unsigned incarnation)
{
    struct db_rows rows;
    enum err error = db_query(db, hold_sql, DB_VALUES(db_u64(id), db_u64(incarnation)), &rows);
    if (error) return error;
    bool held = db_next(&rows);
    db_finish(&rows);
    return held ? ERR_OK : ERR_FENCED;
}

enum err node_list(struct db *db, struct node_row *out, size_t capacity, size_t *count)
{
    struct db_rows rows;
    *count = 0;
    enum err error = db_query(db, list_sql, DB_VALUES(db_u64(capacity)), &rows);
    if (error) return error;
    while (*count < capacity && db_next(&rows)) {
        out[(*count)++] = (struct node_row){
            .id = (unsigned)db_get_u64(&rows, 0),
            .incarnation = (unsigned)db_get_u64(&rows, 1),
            .fenced = db_get_i64(&rows, 2) != 0,
            .heartbeat = db_get_i64(&rows, 3),
            .started_at = db_get_i64(&rows, 4),
        };
    }
    db_finish(&rows);
    return ERR_OK;
}

/* ---- fencing ---- */

/* Runs the update and, when it changed the row, appends the feed row, in one transaction. */
static enum err fence_once(struct db *db, int64_t now_ms, unsigned id, unsigned incarnation,
                           const int64_t *heartbeat_seen)
{
    uint64_t affected = 0;
    struct feed_row feed = fence_row(id, incarnation);
    struct db_value node = db_u64(id), number = db_u64(incarnation);
    enum err error = db_begin(db);
    if (!error && heartbeat_seen) {
        error = db_execute(
            db, fence_silent_sql,
            DB_VALUES(db_i64(now_ms), node, number, node, number, db_i64(*heartbeat_seen)),
            &affected);
    } else if (!error) {
        error = db_execute(db, fence_sql, DB_VALUES(db_i64(now_ms), node, number), &affected);
    }
    if (!error && affected == 0) error = ERR_NOT_FOUND;
    if (!error) error = feed_append(db, now_ms, &feed, 1, NULL, 0, NULL, NULL);
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}

enum err node_fence(struct db *db, int64_t now_ms, unsigned id, unsigned incarnation,
                    int64_t heartbeat_seen)
{
    enum err error = ERR_DB_RETRY;
    for (int attempt = 0; error == ERR_DB_RETRY && attempt < ATTEMPTS; attempt++) {
        error = fence_once(db, now_ms, id, incarnation, &heartbeat_seen);
    }
    return error;
}

enum err node_leave(struct db *db, int64_t now_ms, unsigned id, unsigned incarnation)
{
    enum err error = ERR_DB_RETRY;
    for (int attempt = 0; error == ERR_DB_RETRY && attempt < ATTEMPTS; attempt++) {
        error = fence_once(db, now_ms, id, incarnation, NULL);
    }
    return error == ERR_NOT_FOUND ? ERR_FENCED : error;
}
