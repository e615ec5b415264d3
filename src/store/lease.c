/* Taking and handing back units of budgets: up to 128 takes in one transaction of a handful of
 * statements, since a cold start asks for a thousand at once. On the leaser's thread. A budget's
 * row is locked before anything of it or of its leases is read. */
#include "store/lease.h"

#include "store/feed.h"
#include "store/node.h"
#include "store/upsert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int budget_key_compare(const struct budget_key *a, const struct budget_key *b)
{
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->subject != b->subject) return a->subject < b->subject ? -1 : 1;
    return (a->period_start > b->period_start) - (a->period_start < b->period_start);
}

struct feed_row budget_feed(enum feed_kind kind, const struct budget_key *key)
{
    struct feed_row row = {.kind = kind, .subject = key->subject};
    snprintf(row.slug, sizeof row.slug, "%d:%lld", (int)key->kind, (long long)key->period_start);
    return row;
}

/* ---- a take, with what the database says of its budget ---- */
struct taking {
    struct lease_take *take;
    bool found, was_exhausted, exhausted;
    bool holders; /* another incarnation may hold unspent units */
    int64_t used, leased_before, leased;
};

/* A transaction's takes, sorted by their keys. */
struct takings {
    struct db *db;
    unsigned node, incarnation;
    size_t count;
    struct taking list[LEASE_TAKES_MAX];
};

static int key_compare(const void *key, const void *taking)
{
    return budget_key_compare(key, &((const struct taking *)taking)->take->key);
}

/* The one that a row's first three columns name; NULL: none. */
static struct taking *taking_of(struct takings *takings, const struct db_rows *rows)
{
    struct budget_key key = {(enum budget_kind)db_get_i64(rows, 0), db_get_u64(rows, 1),
                             db_get_i64(rows, 2)};
    return bsearch(&key, takings->list, takings->count, sizeof takings->list[0], key_compare);
}

/* A SELECT over the budgets' keys, 32 at a time (or one): `row` is called for each. The last key
 * fills the places left. */
enum { KEYS_A_SELECT = 32 };
#define KEY_IS "(kind = ? AND subject = ? AND period_start = ?)"
#define OR_8(term)                                                                                 \
    term " OR " term " OR " term " OR " term " OR " term " OR " term " OR " term " OR " term
#define OR_32(term) OR_8(term) " OR " OR_8(term) " OR " OR_8(term) " OR " OR_8(term)

static enum err keys_select(struct takings *takings, const char *sql_one, const char *sql_many,
                            void (*row)(struct takings *, struct taking *, const struct db_rows *))
{
    struct db_value values[KEYS_A_SELECT * 3];
    for (size_t from = 0; from < takings->count; from += KEYS_A_SELECT) {
        size_t places = takings->count == 1 ? 1 : KEYS_A_SELECT;
        for (size_t i = 0; i < places; i++) {
            size_t at = from + i < takings->count ? from + i : takings->count - 1;
            const struct budget_key *key = &takings->list[at].take->key;
            values[i * 3] = db_i64(key->kind);
            values[i * 3 + 1] = db_u64(key->subject);
            values[i * 3 + 2] = db_i64(key->period_start);
        }
        struct db_rows rows;
        enum err error =
            db_query(takings->db, places == 1 ? sql_one : sql_many, values, places * 3, &rows);
        if (error) return error;
        while (db_next(&rows)) {
            struct taking *taking = taking_of(takings, &rows);
            if (taking) row(takings, taking, &rows);
        }
    }
    return ERR_OK;
}

static void budget_row(struct takings *takings, struct taking *taking, const struct db_rows *rows)
{
    (void)takings;
    taking->found = true;
    taking->used = db_get_i64(rows, 3);
    taking->leased_before = taking->leased = db_get_i64(rows, 4);
    taking->was_exhausted = taking->exhausted = db_get_i64(rows, 5) != 0;
}

/* The index is named because of what is locked beside the rows that match: nothing, as long as no
 * plan reads the whole table. */
#define BUDGETS                                                                                    \
    "SELECT kind, subject, period_start, used, leased, exhausted FROM budget FORCE INDEX "         \
    "(PRIMARY) WHERE "
static enum err budgets_lock(struct takings *takings)
{
    for (int round = 0;; round++) {
        enum err error = keys_select(takings, BUDGETS KEY_IS " FOR UPDATE",
                                     BUDGETS OR_32(KEY_IS) " FOR UPDATE", budget_row);
        if (error) return error;
        /* An upsert locks a row that is there for writing at once; IGNORE would lock it for
         * reading first, and two nodes would wait for each other. */
        struct upsert missing = {.db = takings->db,
                                 .width = 3,
                                 UPSERT("INSERT INTO budget (kind, subject, period_start)",
                                        "(?, ?, ?)", "leased = leased")};
        size_t added = 0;
        for (size_t i = 0; i < takings->count && !error; i++) {
            if (takings->list[i].found) continue;
            const struct budget_key *key = &takings->list[i].take->key;
            added++;
            error =
                upsert_add(&missing, (struct db_value[]){db_i64(key->kind), db_u64(key->subject),
                                                         db_i64(key->period_start)});
        }
        if (!error) error = upsert_flush(&missing);
        if (error || !added) return error;
        if (round) return ERR_DB_RETRY;
    }
}

/* The takes of one kind, by their subjects: 32 at a time, or one. */
static enum err limits_of(struct takings *takings, enum budget_kind kind, const char *sql_one,
                          const char *sql_many)
{
    struct db_value values[KEYS_A_SELECT];
    size_t from = 0, end = 0;
    while (from < takings->count && takings->list[from].take->key.kind != kind)
        from++;
    for (end = from; end < takings->count && takings->list[end].take->key.kind == kind;)
        end++;
    size_t places = end - from == 1 ? 1 : KEYS_A_SELECT;
    for (; from < end; from += KEYS_A_SELECT) {
        for (size_t i = 0; i < places; i++)
            values[i] =
                db_u64(takings->list[from + i < end ? from + i : end - 1].take->key.subject);
        struct db_rows rows;
        enum err error =
            db_query(takings->db, places == 1 ? sql_one : sql_many, values, places, &rows);
        if (error) return error;
        while (db_next(&rows)) {
            uint64_t subject = db_get_u64(&rows, 0);
            for (size_t i = 0; i < takings->count; i++) {
                struct lease_take *take = takings->list[i].take;
                if (take->key.kind != kind || take->key.subject != subject) continue;
                take->has_limit = !db_is_null(&rows, 1);
                take->limited = take->has_limit && !span_is(db_get_span(&rows, 2), "allow");
                take->limit = db_get_u64(&rows, 1);
            }
        }
    }
    return ERR_OK;
}

/* Limits come from tiers and keys each time, never from a copy. Without an entitlement there is
 * nothing to give. */
#define QUOTAS                                                                                     \
    "SELECT e.customer_id, t.monthly_quota, t.overage FROM entitlement e JOIN tier t ON t.slug = " \
    "e.tier WHERE e.customer_id IN "
#define CAPS "SELECT id, monthly_cap, 'block' FROM api_key WHERE id IN "
static enum err limits_read(struct takings *takings)
{
    for (size_t i = 0; i < takings->count; i++) {
        takings->list[i].take->limited = takings->list[i].take->has_limit = true;
        takings->list[i].take->limit = 0;
    }
    enum err error =
        limits_of(takings, BUDGET_CUSTOMER, QUOTAS "(?)", QUOTAS "(" TIMES_32("?") ")");
    if (error) return error;
    return limits_of(takings, BUDGET_KEY, CAPS "(?)", CAPS "(" TIMES_32("?") ")");
}

static void lease_row(struct takings *takings, struct taking *taking, const struct db_rows *rows)
{
    bool own = db_get_u64(rows, 3) == takings->node && db_get_u64(rows, 4) == takings->incarnation;
    if (own)
        taking->take->granted = db_get_u64(rows, 5);
    else if (db_get_i64(rows, 6))
        taking->holders = true;
}

/* This node's lease, and whether others hold units that they have not reported as spent. Read
 * without a lock: who writes a lease row has locked its budget's row first. */
#define LEASES                                                                                     \
    "SELECT kind, subject, period_start, node, incarnation, granted, granted > settled AND "       \
    "zero_at = 0 FROM lease FORCE INDEX (budget) WHERE "
static enum err leases_read(struct takings *takings)
{
    for (size_t i = 0; i < takings->count; i++)
        takings->list[i].take->granted = 0;
    return keys_select(takings, LEASES KEY_IS, LEASES OR_32(KEY_IS), lease_row);
}

/* Handing back comes first, so that a call never holds units while it waits: two nodes with half
 * each of what two calls need would otherwise wait for ever. */
static void take_grant(struct taking *taking)
{
    struct lease_take *take = taking->take;
    if (take->fresh) take->spent = take->granted;
    if (take->hand_back && take->granted > take->spent) {
        taking->leased -= (int64_t)(take->granted - take->spent);
        take->granted = take->spent;
    }
    int64_t available =
        take->limited ? (int64_t)take->limit - taking->used - taking->leased : INT64_MAX / 2;
    take->available = available;
    if (available < (int64_t)take->need) {
        take->verdict = taking->holders ? TAKE_WAIT : TAKE_EXCEEDED;
        if (taking->holders && !take->asked) take->feed = FEED_ASK;
        return;
    }
    uint64_t units = available < 0 ? 0 : (uint64_t)available;
    if (take->want < units) units = take->want;
    take->verdict = TAKE_GRANTED;
    take->granted += units;
    take->available -= (int64_t)units;
    taking->leased += (int64_t)units;
}

static void take_decide(struct taking *taking)
{
    struct lease_take *take = taking->take;
    take->feed = FEED_START;
    take_grant(taking);
    take->claimed = taking->used + taking->leased;
    taking->exhausted = taking->was_exhausted || take->verdict == TAKE_EXCEEDED;
    bool back = taking->leased < taking->leased_before && take->feed != FEED_ASK;
    if (!taking->was_exhausted || !back) return;
    /* Units came back: verdicts that other nodes keep are void. */
    taking->exhausted = take->verdict == TAKE_EXCEEDED;
    take->feed = FEED_CLEAR;
}

static enum err takes_write(struct takings *takings)
{
    struct upsert budgets = {
        .db = takings->db,
        .width = 5,
        UPSERT("INSERT INTO budget (kind, subject, period_start, leased, exhausted)",
               "(?, ?, ?, ?, ?)", "leased = VALUES(leased), exhausted = VALUES(exhausted)")};
    struct upsert leases = {
        .db = takings->db,
        .width = 7,
        UPSERT(
            "INSERT INTO lease (node, incarnation, kind, subject, period_start, granted, zero_at)",
            "(?, ?, ?, ?, ?, ?, ?)", "granted = VALUES(granted), zero_at = VALUES(zero_at)")};
    enum err error = ERR_OK;
    for (size_t i = 0; i < takings->count && !error; i++) {
        const struct taking *taking = &takings->list[i];
        const struct lease_take *take = taking->take;
        bool zero = take->hand_back && (take->verdict != TAKE_GRANTED || !take->want);
        struct db_value kind = db_i64(take->key.kind), subject = db_u64(take->key.subject),
                        period = db_i64(take->key.period_start);
        error =
            upsert_add(&budgets, (struct db_value[]){kind, subject, period, db_i64(taking->leased),
                                                     db_i64(taking->exhausted)});
        if (!error)
            error = upsert_add(&leases,
                               (struct db_value[]){db_u64(takings->node),
                                                   db_u64(takings->incarnation), kind, subject,
                                                   period, db_u64(take->granted), db_i64(zero)});
    }
    if (!error) error = upsert_flush(&budgets);
    if (!error) error = upsert_flush(&leases);
    return error;
}

/* Also says who asks: it may come back to the node before the take that made it has answered. */
static struct feed_row ask_feed(const struct takings *takings, const struct lease_take *take)
{
    struct feed_row row = budget_feed(FEED_ASK, &take->key);
    size_t length = strlen(row.slug);
    snprintf(row.slug + length, sizeof row.slug - length, ":%u:%u", takings->node,
             takings->incarnation);
    return row;
}

/* The feed's lock is the last of all, so the rows of every take are appended together. */
static enum err takes_feed(struct takings *takings, int64_t now_ms)
{
    struct feed_row rows[LEASE_TAKES_MAX];
    struct lease_take *from[LEASE_TAKES_MAX];
    size_t row_count = 0;
    for (size_t i = 0; i < takings->count; i++) {
        struct lease_take *take = takings->list[i].take;
        if (take->feed == FEED_START) continue;
        from[row_count] = take;
        rows[row_count++] =
            take->feed == FEED_ASK ? ask_feed(takings, take) : budget_feed(take->feed, &take->key);
    }
    if (!row_count) return ERR_OK;
    uint64_t first, tag;
    enum err error = feed_append(takings->db, now_ms, rows, row_count, NULL, 0, &first, &tag);
    for (size_t i = 0; i < row_count && !error; i++)
        if (from[i]->feed == FEED_ASK) from[i]->asked = first + i;
    return error;
}

enum err lease_take(struct db *db, unsigned node, unsigned incarnation, int64_t now_ms,
                    struct lease_take *takes, size_t count)
{
    if (count > LEASE_TAKES_MAX) return ERR_INVALID;
    struct takings takings = {.db = db, .node = node, .incarnation = incarnation, .count = count};
    for (size_t i = 0; i < count; i++)
        takings.list[i].take = &takes[i];
    enum err error = db_begin(db);
    if (!error) error = node_hold(db, node, incarnation);
    if (!error) error = budgets_lock(&takings);
    if (!error) error = limits_read(&takings);
    if (!error) error = leases_read(&takings);
    for (size_t i = 0; i < count && !error; i++)
        take_decide(&takings.list[i]);
    if (!error) error = takes_write(&takings);
    if (!error) error = takes_feed(&takings, now_ms);
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}
