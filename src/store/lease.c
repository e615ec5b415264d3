/* Taking and handing back units of a budget, and settling the leases of a fenced node. Every public
 * function runs on a DB thread; what it reads in order to write is locked first. */
#include "store/lease.h"

#include "store/feed.h"
#include "store/node.h"

#include <stdio.h>

int budget_key_compare(const struct budget_key *a, const struct budget_key *b)
{
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->subject != b->subject) return a->subject < b->subject ? -1 : 1;
    return (a->period_start > b->period_start) - (a->period_start < b->period_start);
}

struct budget_row {
    int64_t used, leased;
    bool exhausted;
};

static enum err budget_lock(struct db *db, const struct budget_key *key, struct budget_row *row)
{
    for (int round = 0;; round++) {
        struct db_rows rows;
        enum err error = db_query(
            db,
            "SELECT used, leased, exhausted FROM budget WHERE kind = ? AND "
            "subject = ? AND period_start = ? FOR UPDATE",
            DB_VALUES(db_i64(key->kind), db_u64(key->subject), db_i64(key->period_start)), &rows);
        if (error) return error;
        bool found = db_next(&rows);
        if (found)
            *row = (struct budget_row){db_get_i64(&rows, 0), db_get_i64(&rows, 1),
                                       db_get_i64(&rows, 2) != 0};
        db_finish(&rows);
        if (found) return ERR_OK;
        if (round) return ERR_DB_RETRY;
        error = db_execute(
            db, "INSERT IGNORE INTO budget (kind, subject, period_start) VALUES (?, ?, ?)",
            DB_VALUES(db_i64(key->kind), db_u64(key->subject), db_i64(key->period_start)), NULL);
        if (error) return error;
    }
}

/* The limit comes from the tier each time, never from a copy. */
static enum err limit_read(struct db *db, struct lease_take *take)
{
    struct db_rows rows;
    enum err error = db_query(db,
                              "SELECT t.monthly_quota, t.overage FROM entitlement e JOIN tier t ON "
                              "t.slug = e.tier WHERE e.customer_id = ?",
                              DB_VALUES(db_u64(take->key.subject)), &rows);
    if (error) return error;
    if (db_next(&rows)) {
        take->limited = !db_is_null(&rows, 0) && !span_is(db_get_span(&rows, 1), "allow");
        take->limit = db_get_u64(&rows, 0);
    } else {
        take->limited = true; /* no entitlement: nothing to give */
        take->limit = 0;
    }
    db_finish(&rows);
    return ERR_OK;
}

static enum err lease_read(struct db *db, unsigned node, unsigned incarnation,
                           const struct budget_key *key, uint64_t *granted)
{
    struct db_rows rows;
    enum err error =
        db_query(db,
                 "SELECT granted FROM lease WHERE node = ? AND incarnation = ? AND kind = ? AND "
                 "subject = ? AND period_start = ? FOR UPDATE",
                 DB_VALUES(db_u64(node), db_u64(incarnation), db_i64(key->kind),
                           db_u64(key->subject), db_i64(key->period_start)),
                 &rows);
    if (error) return error;
    *granted = db_next(&rows) ? db_get_u64(&rows, 0) : 0;
    db_finish(&rows);
    return ERR_OK;
}

/* Other incarnations whose lease may hold unspent units: outstanding and not reported as zero. */
static enum err holders_count(struct db *db, unsigned node, unsigned incarnation,
                              const struct budget_key *key, uint64_t *holders)
{
    struct db_rows rows;
    enum err error = db_query(
        db,
        "SELECT COUNT(*) FROM lease WHERE kind = ? AND subject = ? AND period_start = ? AND "
        "granted > settled AND zero_at = 0 AND NOT (node = ? AND incarnation = ?)",
        DB_VALUES(db_i64(key->kind), db_u64(key->subject), db_i64(key->period_start), db_u64(node),
                  db_u64(incarnation)),
        &rows);
    if (error) return error;
    *holders = db_next(&rows) ? db_get_u64(&rows, 0) : 0;
    db_finish(&rows);
    return ERR_OK;
}

static struct feed_row budget_feed(enum feed_kind kind, const struct budget_key *key)
{
    struct feed_row row = {.kind = kind, .subject = key->subject};
    snprintf(row.slug, sizeof row.slug, "%d:%lld", (int)key->kind, (long long)key->period_start);
    return row;
}

static enum err take_write(struct db *db, unsigned node, unsigned incarnation,
                           const struct lease_take *take, int64_t leased, bool exhausted)
{
    const struct budget_key *key = &take->key;
    enum err error =
        db_execute(db,
                   "UPDATE budget SET leased = ?, exhausted = ? WHERE kind = ? AND subject = ? AND "
                   "period_start = ?",
                   DB_VALUES(db_i64(leased), db_i64(exhausted), db_i64(key->kind),
                             db_u64(key->subject), db_i64(key->period_start)),
                   NULL);
    if (error) return error;
    bool zero = take->hand_back && take->verdict != TAKE_GRANTED;
    if (take->hand_back && !take->want) zero = true;
    return db_execute(
        db,
        "INSERT INTO lease (node, incarnation, kind, subject, period_start, granted, zero_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE granted = VALUES(granted), zero_at = "
        "VALUES(zero_at)",
        DB_VALUES(db_u64(node), db_u64(incarnation), db_i64(key->kind), db_u64(key->subject),
                  db_i64(key->period_start), db_u64(take->granted), db_i64(zero)),
        NULL);
}

/* Decides one take from what is locked. Handing back comes first, so that a call never holds units
 * while it waits: two nodes with half each of what two calls need would otherwise wait for ever. */
static enum err take_decide(struct db *db, unsigned node, unsigned incarnation,
                            struct lease_take *take, int64_t *leased, int64_t used)
{
    if (take->hand_back && take->granted > take->spent) {
        *leased -= (int64_t)(take->granted - take->spent);
        take->granted = take->spent;
    }
    int64_t available = take->limited ? (int64_t)take->limit - used - *leased : INT64_MAX / 2;
    take->verdict = TAKE_GRANTED;
    if (available >= (int64_t)take->need) {
        uint64_t units = take->want < (uint64_t)(available < 0 ? 0 : available)
                             ? take->want
                             : (uint64_t)(available < 0 ? 0 : available);
        take->granted += units;
        *leased += (int64_t)units;
        take->available = available - (int64_t)units;
        return ERR_OK;
    }
    take->available = available;
    uint64_t holders;
    enum err error = holders_count(db, node, incarnation, &take->key, &holders);
    if (error) return error;
    take->verdict = holders ? TAKE_WAIT : TAKE_EXCEEDED;
    if (holders && !take->asked) take->feed = FEED_ASK;
    return ERR_OK;
}

static enum err take_one(struct db *db, unsigned node, unsigned incarnation,
                         struct lease_take *take)
{
    struct budget_row row = {0};
    uint64_t before;
    enum err error = budget_lock(db, &take->key, &row);
    if (!error) error = limit_read(db, take);
    if (!error) error = lease_read(db, node, incarnation, &take->key, &before);
    if (error) return error;
    take->granted = before;
    take->feed = FEED_START;
    if (take->fresh) take->spent = before;
    int64_t leased = row.leased;
    error = take_decide(db, node, incarnation, take, &leased, row.used);
    if (error) return error;
    take->claimed = row.used + leased;
    bool exhausted = row.exhausted || take->verdict == TAKE_EXCEEDED;
    bool cleared = row.exhausted && leased < row.leased && take->feed != FEED_ASK;
    if (cleared) { /* units came back: verdicts that other nodes keep are void */
        exhausted = take->verdict == TAKE_EXCEEDED;
        take->feed = FEED_CLEAR;
    }
    return take_write(db, node, incarnation, take, leased, exhausted);
}

/* The feed's lock is the last of all, so the rows of every take are appended together. */
static enum err takes_feed(struct db *db, int64_t now_ms, struct lease_take *takes, size_t count)
{
    struct feed_row rows[LEASE_TAKES_MAX];
    struct lease_take *from[LEASE_TAKES_MAX];
    size_t row_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (takes[i].feed == FEED_START) continue;
        from[row_count] = &takes[i];
        rows[row_count++] = budget_feed(takes[i].feed, &takes[i].key);
    }
    if (!row_count) return ERR_OK;
    uint64_t first, tag;
    enum err error = feed_append(db, now_ms, rows, row_count, NULL, 0, &first, &tag);
    for (size_t i = 0; i < row_count && !error; i++)
        if (from[i]->feed == FEED_ASK) from[i]->asked = first + i;
    return error;
}

enum err lease_take(struct db *db, unsigned node, unsigned incarnation, int64_t now_ms,
                    struct lease_take *takes, size_t count)
{
    if (count > LEASE_TAKES_MAX) return ERR_INVALID;
    enum err error = db_begin(db);
    if (!error) error = node_hold(db, node, incarnation);
    for (size_t i = 0; i < count && !error; i++)
        error = take_one(db, node, incarnation, &takes[i]);
    if (!error) error = takes_feed(db, now_ms, takes, count);
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}

struct settle {
    struct budget_key key;
    int64_t units;
};

/* *cleared: a verdict was kept on this budget, and the feed has to say that units came back. */
static enum err settle_one(struct db *db, const struct settle *settle, bool *cleared)
{
    const struct budget_key *key = &settle->key;
    struct budget_row row = {0};
    enum err error = budget_lock(db, key, &row);
    if (error) return error;
    *cleared = row.exhausted && settle->units > 0;
    return db_execute(db,
                      "UPDATE budget SET leased = leased - ?, exhausted = 0 WHERE kind = ? AND "
                      "subject = ? AND period_start = ?",
                      DB_VALUES(db_i64(settle->units), db_i64(key->kind), db_u64(key->subject),
                                db_i64(key->period_start)),
                      NULL);
}

static enum err settle_list(struct db *db, unsigned node, unsigned incarnation,
                            struct settle list[LEASE_TAKES_MAX], size_t *count)
{
    struct db_rows rows;
    enum err error = db_query(
        db,
        "SELECT kind, subject, period_start, granted - settled FROM lease WHERE node = ? AND "
        "incarnation = ? ORDER BY kind, subject, period_start LIMIT 128",
        DB_VALUES(db_u64(node), db_u64(incarnation)), &rows);
    if (error) return error;
    *count = 0;
    while (*count < LEASE_TAKES_MAX && db_next(&rows)) {
        list[*count].key = (struct budget_key){(enum budget_kind)db_get_i64(&rows, 0),
                                               db_get_u64(&rows, 1), db_get_i64(&rows, 2)};
        list[(*count)++].units = db_get_i64(&rows, 3);
    }
    db_finish(&rows);
    return ERR_OK;
}

enum err lease_settle_fenced(struct db *db, unsigned node, unsigned incarnation, int64_t now_ms,
                             size_t *settled)
{
    struct settle list[LEASE_TAKES_MAX];
    struct feed_row feed[LEASE_TAKES_MAX];
    size_t count = 0, feed_count = 0;
    enum err error = settle_list(db, node, incarnation, list, &count);
    *settled = count;
    for (size_t i = 0; i < count && !error; i++) {
        bool cleared = false;
        error = settle_one(db, &list[i], &cleared);
        if (cleared) feed[feed_count++] = budget_feed(FEED_CLEAR, &list[i].key);
    }
    for (size_t i = 0; i < count && !error; i++)
        error = db_execute(db,
                           "DELETE FROM lease WHERE node = ? AND incarnation = ? AND kind = ? AND "
                           "subject = ? AND period_start = ?",
                           DB_VALUES(db_u64(node), db_u64(incarnation), db_i64(list[i].key.kind),
                                     db_u64(list[i].key.subject), db_i64(list[i].key.period_start)),
                           NULL);
    if (!error && feed_count)
        error = feed_append(db, now_ms, feed, feed_count, NULL, 0, NULL, NULL);
    return error;
}
