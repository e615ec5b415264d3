/* Upkeep, called every minute by each node on a background thread (service/meter_upkeep.c). Lock
 * order: node (share), fold_owner, budget, lease. Always holds: the newest row of each node is
 * kept, for an incarnation's number is never used again; the journal of an incarnation that is not
 * fenced is the fold's alone; budget.leased stays the sum over leases of granted - settled, since
 * only leases where that is zero go. Units in an unfolded journal row are granted but not settled:
 * so a budget without leases has no such rows either. */
#include "store/upkeep.h"

#include "io/db.h"
#include "store/lease.h"
#include "store/node.h"

#include <stdbool.h>
#include <string.h>

#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

enum {
    PERIOD_DAYS = 31, /* the longest one, from its start */
    LEASE_DAYS = PERIOD_DAYS + 1,
    BUDGET_DAYS = PERIOD_DAYS + 62,
    OVERLAP_DAYS = 40,
    KEPT_DAYS = 90, /* what is done, sent, used, acknowledged */
};
enum { KEY_MAX = 5, ID_SIZE = 32 };

enum err upkeep_feed(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    struct db_rows rows;
    uint64_t last = 0, count = 0;
    int64_t before_ms = upkeep->now_ms - HOUR_MS;
    *deleted = 0;
    /* From the oldest on and only as long as all are old: the times come from the clocks of several
     * nodes, and a gap would hide a row from a node that has not read it yet. */
    enum err error = db_query(db,
                              "SELECT position, created_at FROM feed WHERE position < (SELECT "
                              "position FROM feed_head WHERE id = 1) ORDER BY position LIMIT 1000",
                              DB_NONE, &rows);
    if (error) return error;
    while (db_next(&rows)) {
        if (db_get_i64(&rows, 1) >= before_ms) {
            db_finish(&rows);
            break;
        }
        last = db_get_u64(&rows, 0);
    }
    if (last)
        error =
            db_execute(db, "DELETE FROM feed WHERE position <= ?", DB_VALUES(db_u64(last)), &count);
    if (!error) *deleted = count;
    return error;
}

/* ---- one transaction a step: hold the node, delete each candidate, commit ---- */

struct candidate {
    struct db_value key[KEY_MAX]; /* as the step's statements want them */
    unsigned char id[ID_SIZE];
};

struct step {
    int64_t age_ms;     /* of what goes, at least: `pick` takes now less this */
    const char *pick;   /* without locks: keys, UPKEEP_ROWS at most */
    const char *delete; /* by a key; of a hash: by it, and what pick takes */
    size_t columns;     /* of the key, whole numbers; 0: one that is a hash */
    bool lock_owner;    /* first the fold_owner of the key's node and incarnation */
    bool is_node;       /* what belongs to that incarnation goes with it */
};

static void candidate_read(const struct step *step, const struct db_rows *rows, int64_t before_ms,
                           struct candidate *out)
{
    for (size_t i = 0; i < step->columns; i++)
        out->key[i] = db_u64(db_get_u64(rows, i));
    if (step->columns) return;
    memcpy(out->id, db_get_span(rows, 0).data, ID_SIZE);
    out->key[0] = db_bytes(out->id, ID_SIZE);
    out->key[1] = db_i64(before_ms);
}

static enum err pick(struct db *db, const struct step *step, int64_t before_ms,
                     struct candidate out[UPKEEP_ROWS], size_t *count)
{
    struct db_rows rows;
    *count = 0;
    enum err error = db_query(db, step->pick, DB_VALUES(db_i64(before_ms)), &rows);
    if (error) return error;
    while (*count < UPKEEP_ROWS && db_next(&rows))
        candidate_read(step, &rows, before_ms, &out[(*count)++]);
    db_finish(&rows);
    return ERR_OK;
}

static enum err owner_lock(struct db *db, const struct candidate *candidate)
{
    struct db_rows rows;
    enum err error =
        db_query(db, "SELECT folded FROM fold_owner WHERE node = ? AND incarnation = ? FOR UPDATE",
                 candidate->key, 2, &rows);
    if (!error) db_finish(&rows);
    return error;
}

static enum err node_rows_delete(struct db *db, const struct candidate *candidate)
{
    enum err error = db_execute(db, "DELETE FROM node_heartbeat WHERE node = ? AND incarnation = ?",
                                candidate->key, 2, NULL);
    if (error) return error;
    return db_execute(db, "DELETE FROM fold_owner WHERE node = ? AND incarnation = ?",
                      candidate->key, 2, NULL);
}

static enum err candidate_delete(struct db *db, const struct step *step,
                                 const struct candidate *candidate, size_t *deleted)
{
    uint64_t affected = 0;
    enum err error = step->lock_owner ? owner_lock(db, candidate) : ERR_OK;
    if (!error)
        error = db_execute(db, step->delete, candidate->key, step->columns ? step->columns : 2,
                           &affected);
    if (!error && affected && step->is_node) error = node_rows_delete(db, candidate);
    *deleted += affected;
    return error;
}

static enum err step_run(struct db *db, const struct upkeep *upkeep, const struct step *step,
                         size_t *deleted)
{
    struct candidate candidates[UPKEEP_ROWS];
    size_t count, all = 0;
    *deleted = 0;
    enum err error = pick(db, step, upkeep->now_ms - step->age_ms, candidates, &count);
    if (error || !count) return error;
    error = db_begin(db);
    if (!error) error = node_hold(db, upkeep->node, upkeep->incarnation);
    for (size_t i = 0; i < count && !error; i++)
        error = candidate_delete(db, step, &candidates[i], &all);
    if (!error) error = db_commit(db);
    if (error)
        db_rollback(db);
    else
        *deleted = all;
    return error;
}

enum err upkeep_journal(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const struct step step = {
        .age_ms = HOUR_MS,
        .pick = "SELECT n.id, n.incarnation, f.folded FROM node n JOIN fold_owner f ON f.node = "
                "n.id AND f.incarnation = n.incarnation WHERE n.fenced = 1 AND n.fenced_at < ? AND "
                "EXISTS (SELECT 1 FROM meter_journal j WHERE j.node = n.id AND j.incarnation = "
                "n.incarnation AND j.seq <= f.folded) ORDER BY n.id, n.incarnation LIMIT 100",
        .delete = "DELETE FROM meter_journal WHERE node = ? AND incarnation = ? AND seq <= ?",
        .columns = 3,
        .lock_owner = true,
    };
    return step_run(db, upkeep, &step, deleted);
}

/* What a fenced incarnation has left can only become less: its own statements are refused, and the
 * fold writes a lease of it only from rows of its journal. So what was picked stays right. */
enum err upkeep_nodes(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const struct step step = {
        .age_ms = NODE_KEPT_MS,
        .pick =
            "SELECT n.id, n.incarnation FROM node n WHERE n.fenced = 1 AND n.fenced_at < ? AND "
            "EXISTS (SELECT 1 FROM node m WHERE m.id = n.id AND m.incarnation > n.incarnation) AND "
            "NOT EXISTS (SELECT 1 FROM meter_journal j WHERE j.node = n.id AND j.incarnation = "
            "n.incarnation) AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.node = n.id AND "
            "l.incarnation = n.incarnation) AND NOT EXISTS (SELECT 1 FROM idempotency i WHERE "
            "i.node = n.id AND i.incarnation = n.incarnation) AND NOT EXISTS (SELECT 1 FROM outbox "
            "o WHERE o.state = 'sending' AND o.node = n.id AND o.incarnation = n.incarnation) "
            "ORDER BY n.id, n.incarnation LIMIT 100",
        .delete = "DELETE FROM node WHERE id = ? AND incarnation = ? AND fenced = 1",
        .columns = 2,
        .lock_owner = true,
        .is_node = true,
    };
    return step_run(db, upkeep, &step, deleted);
}

enum err upkeep_leases(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const struct step step = {
        .age_ms = LEASE_DAYS * DAY_MS,
        .pick = "SELECT node, incarnation, kind, subject, period_start FROM lease WHERE "
                "period_start < ? AND granted = settled ORDER BY period_start LIMIT 100",
        .delete = "DELETE FROM lease WHERE node = ? AND incarnation = ? AND kind = ? AND subject = "
                  "? AND period_start = ? AND granted = settled",
        .columns = 5,
    };
    return step_run(db, upkeep, &step, deleted);
}

enum err upkeep_budgets(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const struct step step = {
        .age_ms = BUDGET_DAYS * DAY_MS,
        .pick = "SELECT kind, subject, period_start FROM budget b WHERE period_start < ? AND NOT "
                "EXISTS (SELECT 1 FROM lease l WHERE l.kind = b.kind AND l.subject = b.subject AND "
                "l.period_start = b.period_start) ORDER BY period_start LIMIT 100",
        /* A take locks the budget first: it cannot add a lease in between. */
        .delete = "DELETE FROM budget WHERE kind = ? AND subject = ? AND period_start = ? AND NOT "
                  "EXISTS (SELECT 1 FROM lease l WHERE l.kind = budget.kind AND l.subject = "
                  "budget.subject AND l.period_start = budget.period_start)",
        .columns = 3,
    };
    return step_run(db, upkeep, &step, deleted);
}

enum err upkeep_quota_told(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const struct step step = {
        .age_ms = BUDGET_DAYS * DAY_MS,
        .pick = "SELECT customer_id, period_start FROM quota_told WHERE period_start < ? ORDER BY "
                "period_start LIMIT 100",
        .delete = "DELETE FROM quota_told WHERE customer_id = ? AND period_start = ?",
        .columns = 2,
    };
    return step_run(db, upkeep, &step, deleted);
}

/* ---- rotation and its mails ---- */

enum err upkeep_rotation(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    /* Of the notice before a key's own end the row is kept: it counts that key's mails. */
    static const struct step step = {
        .age_ms = KEPT_DAYS * DAY_MS,
        .pick = "SELECT key_id, generation, step FROM rotation WHERE done_at < ? AND step <> 4 "
                "ORDER BY done_at LIMIT 100",
        .delete = "DELETE FROM rotation WHERE key_id = ? AND generation = ? AND step = ? AND "
                  "look_at IS NULL",
        .columns = 3,
    };
    return step_run(db, upkeep, &step, deleted);
}

enum err upkeep_outbox(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const struct step step = {
        .age_ms = KEPT_DAYS * DAY_MS,
        .pick = "SELECT id FROM outbox FORCE INDEX (due) WHERE state IN ('sent', 'dead') AND "
                "next_at < ? AND kind <> 'expiring' ORDER BY next_at LIMIT 100",
        .delete = "DELETE FROM outbox WHERE id = ? AND state IN ('sent', 'dead')",
        .columns = 1,
    };
    return step_run(db, upkeep, &step, deleted);
}

enum err upkeep_secret_networks(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    /* No overlap is as long, so whichever secret has such a row has ended. */
    static const struct step step = {
        .age_ms = OVERLAP_DAYS * DAY_MS,
        .pick = "SELECT DISTINCT secret_id FROM (SELECT secret_id FROM secret_network WHERE"
                " last_used_at < ? ORDER BY last_used_at LIMIT 100) old",
        .delete = "DELETE FROM secret_network WHERE secret_id = ?",
        .columns = 1,
    };
    return step_run(db, upkeep, &step, deleted);
}

enum err upkeep_alerts(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const struct step step = {
        .age_ms = KEPT_DAYS * DAY_MS,
        .pick = "SELECT id FROM alert WHERE open IS NULL AND id < ? << 21 ORDER BY id LIMIT 100",
        .delete = "DELETE FROM alert WHERE id = ? AND open IS NULL",
        .columns = 1,
    };
    return step_run(db, upkeep, &step, deleted);
}

enum err upkeep_idempotency(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const struct step step = {
        .pick = "SELECT id FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT 100",
        .delete = "DELETE FROM idempotency WHERE id = ? AND expires_at <= ?",
    };
    return step_run(db, upkeep, &step, deleted);
}

enum err upkeep_claims(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const struct step step = {
        .age_ms = KEPT_DAYS * DAY_MS,
        .pick = "SELECT hash FROM claim WHERE ended_at <= ? ORDER BY ended_at LIMIT 100",
        .delete = "DELETE FROM claim WHERE hash = ? AND ended_at <= ?",
    };
    return step_run(db, upkeep, &step, deleted);
}

/* ---- events of payment providers ---- */

enum err upkeep_provider_events(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const char sql[] = "DELETE FROM provider_event WHERE received_at < ?"
                              " ORDER BY received_at LIMIT 100";
    uint64_t all = 0;
    *deleted = 0;
    enum err error = db_begin(db);
    if (!error) error = node_hold(db, upkeep->node, upkeep->incarnation);
    if (!error)
        error = db_execute(db, sql, DB_VALUES(db_i64(upkeep->now_ms - KEPT_DAYS * DAY_MS)), &all);
    if (!error) error = db_commit(db);
    if (error)
        db_rollback(db);
    else
        *deleted = all;
    return error;
}

/* ---- visits to the portal ---- */

enum err upkeep_portal(struct db *db, const struct upkeep *upkeep, size_t *deleted)
{
    static const struct step step = {
        .age_ms = DAY_MS,
        .pick = "SELECT id FROM portal_session WHERE ends_at <= ? ORDER BY ends_at LIMIT 100",
        .delete = "DELETE s, f FROM portal_session s LEFT JOIN portal_form f ON f.session_id = s.id"
                  " WHERE s.id = ?",
        .columns = 1,
    };
    return step_run(db, upkeep, &step, deleted);
}
