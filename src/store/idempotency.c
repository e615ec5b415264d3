/* SQL of the idempotency table. Reserving and releasing run on a reader's thread, finishing on the
 * committer's. What always holds: a row is done only in a commit that holds the work; of several
 * that reserve one id, the primary key lets one in, and a take-over changes the claim, which the
 * finish of the former holder then misses. Lock order: node (share), then the work's own locks,
 * then idempotency. */
#include "store/idempotency.h"

#include "io/db.h"
#include "store/node.h"

#include <stdbool.h>

enum { ATTEMPTS = 5 };

struct standing {
    bool there, same_body, done, dead, expired;
    int64_t claim;
};

static struct db_value id_value(const struct idempotency_claim *claim)
{
    return db_bytes(claim->id, sizeof claim->id);
}

/* ERR_EXISTS: another was faster. */
static enum err reserve_new(struct db *db, const struct idempotency_claim *claim, int64_t now_ms)
{
    uint64_t inserted = 0;
    enum err error = db_execute(
        db,
        "INSERT INTO idempotency (id, fingerprint, node, incarnation, claim, reserved_at, "
        "expires_at) SELECT ?, ?, id, incarnation, ?, ?, ? FROM node WHERE id = ? AND incarnation "
        "= ? AND fenced = 0 LOCK IN SHARE MODE",
        DB_VALUES(id_value(claim), db_bytes(claim->fingerprint, sizeof claim->fingerprint),
                  db_i64(claim->claim), db_i64(now_ms), db_i64(now_ms + claim->kept_ms),
                  db_u64(claim->node), db_u64(claim->incarnation)),
        &inserted);
    if (error) return error;
    return inserted == 1 ? ERR_OK : ERR_FENCED;
}

/* The claim of a dead attempt, or of an answer that has expired, becomes ours: ERR_NOT_FOUND when
 * it is not what was seen any more. */
static enum err reserve_over(struct db *db, const struct idempotency_claim *claim,
                             const struct standing *seen, int64_t now_ms)
{
    uint64_t changed = 0;
    enum err error = db_begin(db);
    if (!error) error = node_hold(db, claim->node, claim->incarnation);
    if (!error)
        error = db_execute(
            db,
            "UPDATE idempotency SET fingerprint = ?, node = ?, incarnation = ?, claim = ?, done = "
            "0, status = 0, answer = NULL, replays = 0, reserved_at = ?, expires_at = ? WHERE id = "
            "? AND claim = ? AND done = ?",
            DB_VALUES(db_bytes(claim->fingerprint, sizeof claim->fingerprint), db_u64(claim->node),
                      db_u64(claim->incarnation), db_i64(claim->claim), db_i64(now_ms),
                      db_i64(now_ms + claim->kept_ms), id_value(claim), db_i64(seen->claim),
                      db_i64(seen->done)),
            &changed);
    if (!error && !changed) error = ERR_NOT_FOUND;
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}

static enum err look(struct db *db, const struct idempotency_claim *claim, int64_t now_ms,
                     struct arena *arena, struct standing *seen, struct idempotency_found *found)
{
    struct db_rows rows;
    *seen = (struct standing){0};
    enum err error = db_query(
        db,
        "SELECT i.fingerprint, i.claim, i.done, i.status, i.answer, i.reserved_at, i.expires_at, "
        "n.fenced FROM idempotency i LEFT JOIN node n ON n.id = i.node AND n.incarnation = "
        "i.incarnation WHERE i.id = ?",
        DB_VALUES(id_value(claim)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_OK;
    struct span own = {(const char *)claim->fingerprint, sizeof claim->fingerprint};
    *seen = (struct standing){
        .there = true,
        .same_body = span_equal(db_get_span(&rows, 0), own),
        .claim = db_get_i64(&rows, 1),
        .done = db_get_i64(&rows, 2) != 0,
        .expired = db_get_i64(&rows, 6) <= now_ms,
        .dead = db_is_null(&rows, 7) || db_get_i64(&rows, 7) != 0 ||
                now_ms - db_get_i64(&rows, 5) > IDEMPOTENCY_RESERVED_MS,
    };
    found->status = (int)db_get_i64(&rows, 3);
    found->answer = db_get_span(&rows, 4);
    if (seen->done) {
        found->answer.data = arena_copy(arena, found->answer);
        if (!found->answer.data) error = ERR_NO_MEMORY;
    }
    db_finish(&rows);
    return error;
}

/* What this connection saw of another's commit need not be durable yet; it is behind this one. */
static enum err replay_note(struct db *db, const struct idempotency_claim *claim,
                            const struct standing *seen)
{
    uint64_t changed = 0;
    enum err error =
        db_execute(db,
                   "UPDATE idempotency SET replays = replays + 1 WHERE id = ? AND claim = ? AND "
                   "done = 1",
                   DB_VALUES(id_value(claim), db_i64(seen->claim)), &changed);
    if (error) return error;
    return changed ? ERR_OK : ERR_NOT_FOUND;
}

static enum err reserve_once(struct db *db, const struct idempotency_claim *claim, int64_t now_ms,
                             struct arena *arena, struct idempotency_found *found)
{
    struct standing seen;
    enum err error = look(db, claim, now_ms, arena, &seen, found);
    if (error) return error;
    if (!seen.there) {
        found->state = IDEMPOTENCY_RESERVED;
        return reserve_new(db, claim, now_ms);
    }
    if (seen.expired || (!seen.done && seen.same_body && seen.dead)) {
        found->state = IDEMPOTENCY_RESERVED;
        return reserve_over(db, claim, &seen, now_ms);
    }
    if (!seen.same_body)
        found->state = IDEMPOTENCY_MISMATCH;
    else if (!seen.done)
        found->state = IDEMPOTENCY_IN_FLIGHT;
    else
        found->state = IDEMPOTENCY_KEPT;
    return found->state == IDEMPOTENCY_KEPT ? replay_note(db, claim, &seen) : ERR_OK;
}

enum err idempotency_reserve(struct db *db, const struct idempotency_claim *claim, int64_t now_ms,
                             struct arena *arena, struct idempotency_found *found)
{
    enum err error = ERR_NOT_FOUND;
    *found = (struct idempotency_found){0};
    for (int i = 0; i < ATTEMPTS; i++) {
        error = reserve_once(db, claim, now_ms, arena, found);
        if (error != ERR_EXISTS && error != ERR_NOT_FOUND && error != ERR_DB_RETRY) return error;
        if (error == ERR_DB_RETRY) db_rollback(db);
    }
    return ERR_DB_RETRY;
}

enum err idempotency_finish(struct db *db, const struct idempotency_claim *claim, int64_t now_ms,
                            int status, struct span sealed)
{
    uint64_t changed = 0;
    enum err error =
        db_execute(db,
                   "UPDATE idempotency SET done = 1, status = ?, answer = ?, expires_at = ? WHERE "
                   "id = ? AND claim = ? AND done = 0",
                   DB_VALUES(db_i64(status), db_span(sealed), db_i64(now_ms + claim->kept_ms),
                             id_value(claim), db_i64(claim->claim)),
                   &changed);
    if (error) return error;
    return changed == 1 ? ERR_OK : ERR_NOT_FOUND;
}

enum err idempotency_release(struct db *db, const struct idempotency_claim *claim)
{
    return db_execute(db, "DELETE FROM idempotency WHERE id = ? AND claim = ? AND done = 0",
                      DB_VALUES(id_value(claim), db_i64(claim->claim)), NULL);
}
