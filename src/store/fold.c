/* Folding the journal. Called every second by any node, on the background thread. One transaction
 * an incarnation: its fold_owner row is locked (never the node's row exclusively: that would stop
 * its flushing), its rows are merged in memory, and the sums written in sorted order, so that two
 * folds never wait for each other crosswise. It never fails on content: a row that cannot be read
 * is counted as folded and reported by the caller's log. */
#include "store/fold.h"

#include "core/journal.h"
#include "core/period.h"
#include "store/lease.h"
#include "store/node.h"
#include "store/quota_notice.h"
#include "store/secret_network.h"
#include "store/upsert.h"

#include <stdlib.h>

/* Merged entries, one for each (secret, hour, period); open addressing. */
struct merge {
    struct journal_entry *slots;
    struct journal_entry **order; /* the filled slots, sorted as a pass needs them */
    size_t capacity, count;
    struct fold_networks networks;
    int64_t now_ms;
};

static void merge_done(struct merge *merge)
{
    free(merge->slots);
    free(merge->order);
    fold_networks_done(&merge->networks);
}

static uint64_t entry_hash(const struct journal_entry *entry)
{
    uint64_t mixed =
        entry->secret_id ^ ((uint64_t)entry->hour << 20) ^ (uint64_t)entry->period_start;
    mixed = (mixed ^ (mixed >> 31)) * 0x9E3779B97F4A7C15u;
    return mixed ^ (mixed >> 29);
}

static struct journal_entry *merge_slot(struct merge *merge, const struct journal_entry *entry)
{
    size_t mask = merge->capacity - 1;
    for (size_t at = entry_hash(entry) & mask;; at = (at + 1) & mask) {
        struct journal_entry *slot = &merge->slots[at];
        if (!slot->secret_id ||
            (slot->secret_id == entry->secret_id && slot->hour == entry->hour &&
             slot->period_start == entry->period_start && slot->flags == entry->flags))
            return slot;
    }
}

static enum err merge_grow(struct merge *merge)
{
    struct merge old = *merge;
    merge->capacity = old.capacity ? old.capacity * 2 : 1024;
    merge->slots = calloc(merge->capacity, sizeof *merge->slots);
    if (!merge->slots) {
        *merge = old;
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].secret_id) *merge_slot(merge, &old.slots[i]) = old.slots[i];
    free(old.slots);
    return ERR_OK;
}

static enum err merge_add(struct merge *merge, const struct journal_entry *entry)
{
    if (!entry->secret_id) return ERR_OK;
    fold_networks_add(&merge->networks, entry);
    if (merge->count * 2 >= merge->capacity) {
        enum err error = merge_grow(merge);
        if (error) return error;
    }
    struct journal_entry *slot = merge_slot(merge, entry);
    if (!slot->secret_id) {
        *slot = *entry;
        merge->count++;
        return ERR_OK;
    }
    slot->units += entry->units;
    slot->allowed += entry->allowed;
    slot->denied_quota += entry->denied_quota;
    slot->denied_rate += entry->denied_rate;
    slot->denied_other += entry->denied_other;
    if (entry->last_used_ms > slot->last_used_ms) {
        slot->last_used_ms = entry->last_used_ms;
        slot->network_length = entry->network_length;
        memcpy(slot->network, entry->network, sizeof slot->network);
    }
    return ERR_OK;
}

static enum err merge_payload(struct merge *merge, struct span payload)
{
    struct journal_reader reader;
    struct journal_entry entry;
    if (journal_decode_init(&reader, payload) != ERR_OK) return ERR_OK;
    while (journal_decode_next(&reader, &entry) == ERR_OK) {
        enum err error = merge_add(merge, &entry);
        if (error) return error;
    }
    return ERR_OK;
}

static enum err merge_order(struct merge *merge)
{
    merge->order = calloc(merge->count + 1, sizeof(void *));
    if (!merge->order) return ERR_NO_MEMORY;
    size_t at = 0;
    for (size_t i = 0; i < merge->capacity; i++)
        if (merge->slots[i].secret_id) merge->order[at++] = &merge->slots[i];
    return ERR_OK;
}

#define COMPARE(x, y) ((x) > (y)) - ((x) < (y))

static int by_budget(const void *a, const void *b)
{
    const struct journal_entry *x = *(struct journal_entry *const *)a;
    const struct journal_entry *y = *(struct journal_entry *const *)b;
    if (x->customer_id != y->customer_id) return COMPARE(x->customer_id, y->customer_id);
    return COMPARE(x->period_start, y->period_start);
}

static int by_cap(const void *a, const void *b)
{
    const struct journal_entry *x = *(struct journal_entry *const *)a;
    const struct journal_entry *y = *(struct journal_entry *const *)b;
    if (x->key_id != y->key_id) return COMPARE(x->key_id, y->key_id);
    return COMPARE(x->period_start, y->period_start);
}

static int by_usage(const void *a, const void *b)
{
    const struct journal_entry *x = *(struct journal_entry *const *)a;
    const struct journal_entry *y = *(struct journal_entry *const *)b;
    if (x->key_id != y->key_id) return COMPARE(x->key_id, y->key_id);
    if (x->hour != y->hour) return COMPARE(x->hour, y->hour);
    return COMPARE(x->period_start, y->period_start);
}

static int by_hour(const void *a, const void *b)
{
    const struct journal_entry *x = *(struct journal_entry *const *)a;
    const struct journal_entry *y = *(struct journal_entry *const *)b;
    return COMPARE(x->hour, y->hour);
}

static int by_secret(const void *a, const void *b)
{
    const struct journal_entry *x = *(struct journal_entry *const *)a;
    const struct journal_entry *y = *(struct journal_entry *const *)b;
    return COMPARE(x->secret_id, y->secret_id);
}

/* What one budget is charged in a fold. */
struct share {
    struct budget_key key;
    int64_t units;
    int64_t leased; /* of these, from a lease of the incarnation */
};

static void share_add(struct share *share, const struct journal_entry *entry)
{
    share->units += entry->units;
    if (!(entry->flags & JOURNAL_UNLEASED)) share->leased += entry->units;
}

static size_t quota_shares(struct merge *merge, struct share *shares)
{
    size_t count = 0;
    qsort(merge->order, merge->count, sizeof(void *), by_budget);
    for (size_t i = 0; i < merge->count;) {
        const struct journal_entry *first = merge->order[i];
        struct share *share = &shares[count];
        *share = (struct share){{BUDGET_CUSTOMER, first->customer_id, first->period_start}, 0, 0};
        for (; i < merge->count && !by_budget(&first, &merge->order[i]); i++)
            if (!(merge->order[i]->flags & JOURNAL_QUOTA_FREE)) share_add(share, merge->order[i]);
        if (share->units || share->leased) count++;
    }
    return count;
}

static size_t cap_shares(struct merge *merge, struct share *shares)
{
    size_t count = 0;
    qsort(merge->order, merge->count, sizeof(void *), by_cap);
    for (size_t i = 0; i < merge->count;) {
        const struct journal_entry *first = merge->order[i];
        struct share *share = &shares[count];
        *share = (struct share){{BUDGET_KEY, first->key_id, first->period_start}, 0, 0};
        for (; i < merge->count && !by_cap(&first, &merge->order[i]); i++)
            if (merge->order[i]->flags & JOURNAL_CAPPED) share_add(share, merge->order[i]);
        if (share->units || share->leased) count++;
    }
    return count;
}

static enum err shares_write(struct db *db, const struct fold_owner *owner,
                             const struct share *shares, size_t count)
{
    struct upsert budgets = {
        .db = db,
        .width = 5,
        UPSERT("INSERT INTO budget (kind, subject, period_start, used, leased)", "(?, ?, ?, ?, ?)",
               "used = used + VALUES(used), leased = leased + VALUES(leased)")};
    struct upsert leases = {
        .db = db,
        .width = 7,
        UPSERT(
            "INSERT INTO lease (node, incarnation, kind, subject, period_start, granted, settled)",
            "(?, ?, ?, ?, ?, ?, ?)", "settled = settled + VALUES(settled)")};
    enum err error = ERR_OK;
    for (size_t i = 0; i < count && !error; i++)
        error = upsert_add(
            &budgets, (struct db_value[]){db_i64(shares[i].key.kind), db_u64(shares[i].key.subject),
                                          db_i64(shares[i].key.period_start),
                                          db_i64(shares[i].units), db_i64(-shares[i].leased)});
    if (!error) error = upsert_flush(&budgets);
    for (size_t i = 0; i < count && !error; i++)
        if (shares[i].leased)
            error = upsert_add(&leases,
                               (struct db_value[]){db_u64(owner->node), db_u64(owner->incarnation),
                                                   db_i64(shares[i].key.kind),
                                                   db_u64(shares[i].key.subject),
                                                   db_i64(shares[i].key.period_start), db_i64(0),
                                                   db_i64(shares[i].leased)});
    return error ? error : upsert_flush(&leases);
}

/* Budgets first, then leases, both in the order of their keys. */
static enum err write_budgets(struct db *db, const struct fold_owner *owner, struct merge *merge)
{
    struct share *shares = calloc(2 * merge->count + 1, sizeof *shares);
    if (!shares) return ERR_NO_MEMORY;
    size_t count = quota_shares(merge, shares);
    count += cap_shares(merge, shares + count);
    enum err error = shares_write(db, owner, shares, count);
    free(shares);
    return error;
}

static enum err write_usage(struct db *db, struct merge *merge)
{
    struct upsert usage = {
        .db = db,
        .width = 9,
        UPSERT("INSERT INTO usage_hour (key_id, hour, customer_id, period_start, units, allowed, "
               "denied_quota, denied_rate, denied_other)",
               "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
               "units = units + VALUES(units), allowed = allowed + VALUES(allowed), denied_quota = "
               "denied_quota + VALUES(denied_quota), denied_rate = denied_rate + "
               "VALUES(denied_rate), denied_other = denied_other + VALUES(denied_other)")};
    qsort(merge->order, merge->count, sizeof(void *), by_usage);
    enum err error = ERR_OK;
    for (size_t i = 0; i < merge->count && !error; i++) {
        const struct journal_entry *entry = merge->order[i];
        int64_t sign = entry->flags & JOURNAL_TAKEN_BACK ? -1 : 1;
        error = upsert_add(
            &usage, (struct db_value[]){
                        db_u64(entry->key_id), db_i64(entry->hour), db_u64(entry->customer_id),
                        db_i64(entry->period_start), db_i64(entry->units),
                        db_i64(sign * entry->allowed), db_i64(sign * entry->denied_quota),
                        db_i64(sign * entry->denied_rate), db_i64(sign * entry->denied_other)});
    }
    return error ? error : upsert_flush(&usage);
}

/* The hours of last use, for lists; once an hour and key, as the journal says. A key's entries of
 * several hours come in their order. */
static enum err write_activity(struct db *db, struct merge *merge)
{
    struct upsert activity = {.db = db,
                              .width = 2,
                              UPSERT("INSERT INTO key_activity (key_id, hour)", "(?, ?)",
                                     "hour = GREATEST(hour, VALUES(hour))")};
    enum err error = ERR_OK;
    for (size_t i = 0; i < merge->count && !error; i++) { /* still sorted by usage */
        const struct journal_entry *entry = merge->order[i];
        if (!(entry->flags & JOURNAL_ACTIVE)) continue;
        error = upsert_add(&activity,
                           (struct db_value[]){db_u64(entry->key_id),
                                               db_i64(period_hour_start(entry->last_used_ms))});
    }
    return error ? error : upsert_flush(&activity);
}

static enum err write_last_used(struct db *db, struct merge *merge)
{
    struct upsert last = {
        .db = db,
        .width = 3,
        UPSERT("INSERT INTO secret_last_used (secret_id, last_used_at, network)", "(?, ?, ?)",
               "network = IF(VALUES(last_used_at) >= last_used_at, VALUES(network), network), "
               "last_used_at = GREATEST(last_used_at, VALUES(last_used_at))")};
    qsort(merge->order, merge->count, sizeof(void *), by_secret);
    enum err error = ERR_OK;
    for (size_t i = 0; i < merge->count && !error; i++) {
        const struct journal_entry *entry = merge->order[i];
        if (!entry->last_used_ms) continue;
        error = upsert_add(
            &last, (struct db_value[]){db_u64(entry->secret_id), db_i64(entry->last_used_ms),
                                       db_bytes(entry->network, entry->network_length)});
    }
    return error ? error : upsert_flush(&last);
}

/* Customers whose use may have reached a threshold of their quota. Denied ones too: their limit may
 * have come down. */
static enum err mark_quotas(struct db *db, struct merge *merge)
{
    struct budget_key *keys = calloc(merge->count + 1, sizeof *keys);
    size_t count = 0;
    if (!keys) return ERR_NO_MEMORY;
    qsort(merge->order, merge->count, sizeof(void *), by_budget);
    for (size_t i = 0; i < merge->count;) {
        const struct journal_entry *first = merge->order[i];
        bool look = false;
        for (; i < merge->count && !by_budget(&first, &merge->order[i]); i++) {
            const struct journal_entry *entry = merge->order[i];
            bool counts = !(entry->flags & JOURNAL_QUOTA_FREE);
            look |= counts && (entry->units > 0 || entry->denied_quota);
        }
        if (look)
            keys[count++] =
                (struct budget_key){BUDGET_CUSTOMER, first->customer_id, first->period_start};
    }
    enum err error = quota_due_mark(db, keys, count);
    free(keys);
    return error;
}

/* One row an hour for all keys, written last but for the deletes: folds wait here for each other
 * shortly, holding nothing that another one may still want. */
static enum err write_totals(struct db *db, struct merge *merge)
{
    struct upsert totals = {
        .db = db,
        .width = 5,
        UPSERT("INSERT INTO usage_total (hour, allowed, denied_quota, denied_rate, denied_other)",
               "(?, ?, ?, ?, ?)",
               "allowed = allowed + VALUES(allowed), denied_quota = denied_quota + "
               "VALUES(denied_quota), denied_rate = denied_rate + VALUES(denied_rate), "
               "denied_other = denied_other + VALUES(denied_other)")};
    enum err error = ERR_OK;
    qsort(merge->order, merge->count, sizeof(void *), by_hour);
    for (size_t i = 0; i < merge->count && !error;) {
        const struct journal_entry *first = merge->order[i];
        int64_t sums[4] = {0};
        for (; i < merge->count && merge->order[i]->hour == first->hour; i++) {
            const struct journal_entry *entry = merge->order[i];
            int64_t sign = entry->flags & JOURNAL_TAKEN_BACK ? -1 : 1;
            sums[0] += sign * entry->allowed;
            sums[1] += sign * entry->denied_quota;
            sums[2] += sign * entry->denied_rate;
            sums[3] += sign * entry->denied_other;
        }
        error = upsert_add(&totals,
                           (struct db_value[]){db_i64(first->hour), db_i64(sums[0]),
                                               db_i64(sums[1]), db_i64(sums[2]), db_i64(sums[3])});
    }
    return error ? error : upsert_flush(&totals);
}

struct folding {
    uint64_t folded, newest; /* before, after */
    uint64_t rows;           /* rows read, the marked one of the last fold included */
    size_t fresh;
};

static enum err owner_lock(struct db *db, const struct fold_owner *owner, struct folding *folding)
{
    struct db_rows rows;
    enum err error =
        db_query(db, "SELECT folded FROM fold_owner WHERE node = ? AND incarnation = ? FOR UPDATE",
                 DB_VALUES(db_u64(owner->node), db_u64(owner->incarnation)), &rows);
    if (error) return error;
    bool found = db_next(&rows);
    if (found) folding->folded = folding->newest = db_get_u64(&rows, 0);
    db_finish(&rows);
    return found ? ERR_OK : ERR_NOT_FOUND;
}

static enum err journal_merge(struct db *db, const struct fold_owner *owner,
                              struct folding *folding, struct merge *merge)
{
    struct db_rows rows;
    enum err error = db_query(
        db,
        "SELECT seq, payload FROM meter_journal WHERE node = ? AND incarnation = ? AND seq >= ? "
        "ORDER BY seq LIMIT 1001",
        DB_VALUES(db_u64(owner->node), db_u64(owner->incarnation), db_u64(folding->folded)), &rows);
    if (error) return error;
    while (!error && db_next(&rows)) {
        folding->rows++;
        uint64_t seq = db_get_u64(&rows, 0);
        if (seq <= folding->folded) continue;
        folding->newest = seq;
        folding->fresh++;
        error = merge_payload(merge, db_get_span(&rows, 1));
    }
    db_finish(&rows);
    return error;
}

/* Deletes what was read but the newest, and fails unless that is exactly what was there. */
static enum err journal_delete(struct db *db, const struct fold_owner *owner,
                               const struct folding *folding)
{
    uint64_t deleted = 0;
    enum err error = db_execute(
        db, "DELETE FROM meter_journal WHERE node = ? AND incarnation = ? AND seq < ?",
        DB_VALUES(db_u64(owner->node), db_u64(owner->incarnation), db_u64(folding->newest)),
        &deleted);
    if (!error && deleted != folding->rows - 1) return ERR_DB_RETRY;
    if (error) return error;
    return db_execute(
        db, "UPDATE fold_owner SET folded = ? WHERE node = ? AND incarnation = ?",
        DB_VALUES(db_u64(folding->newest), db_u64(owner->node), db_u64(owner->incarnation)), NULL);
}

static enum err fold_run(struct db *db, const struct fold_owner *owner, int64_t now_ms,
                         struct folding *folding, struct merge *merge)
{
    enum err error = owner_lock(db, owner, folding);
    if (!error) error = fold_networks_begin(db, &merge->networks);
    if (!error) error = journal_merge(db, owner, folding, merge);
    if (error) return error;
    if (!folding->fresh)
        return owner->fenced ? lease_settle_fenced(db, owner->node, owner->incarnation, now_ms,
                                                   &folding->fresh)
                             : ERR_OK;
    error = merge_order(merge);
    if (!error) error = write_budgets(db, owner, merge);
    if (!error) error = write_usage(db, merge);
    if (!error) error = write_activity(db, merge);
    if (!error) error = write_last_used(db, merge);
    if (!error) error = fold_networks_write(db, &merge->networks);
    if (!error) error = mark_quotas(db, merge);
    if (!error) error = write_totals(db, merge);
    if (!error) error = journal_delete(db, owner, folding);
    return error;
}

enum err fold_one(struct db *db, unsigned self_node, unsigned self_incarnation,
                  const struct fold_owner *owner, int64_t now_ms, size_t *folded)
{
    struct folding folding = {0};
    struct merge merge = {.now_ms = now_ms};
    *folded = 0;
    enum err error = db_begin(db);
    if (!error) error = node_hold(db, self_node, self_incarnation);
    if (!error) error = fold_run(db, owner, now_ms, &folding, &merge);
    merge_done(&merge);
    if (error) {
        db_rollback(db);
        return error == ERR_NOT_FOUND ? ERR_OK : error;
    }
    error = db_commit(db);
    if (!error) *folded = folding.fresh;
    return error;
}

enum err fold_owners(struct db *db, struct fold_owner out[FOLD_OWNERS_MAX], size_t *count)
{
    struct db_rows rows;
    /* A fenced incarnation is of interest while it has leases or unfolded rows. */
    enum err error = db_query(
        db,
        "SELECT n.id, n.incarnation, n.fenced FROM node n JOIN fold_owner f ON f.node = n.id AND "
        "f.incarnation = n.incarnation WHERE n.fenced = 0 OR EXISTS (SELECT 1 FROM lease l WHERE "
        "l.node = n.id AND l.incarnation = n.incarnation) OR EXISTS (SELECT 1 FROM meter_journal j "
        "WHERE j.node = n.id AND j.incarnation = n.incarnation AND j.seq > f.folded) ORDER BY "
        "n.fenced, n.id, n.incarnation LIMIT 1024",
        DB_NONE, &rows);
    *count = 0;
    if (error) return error;
    while (*count < FOLD_OWNERS_MAX && db_next(&rows))
        out[(*count)++] =
            (struct fold_owner){(unsigned)db_get_u64(&rows, 0), (unsigned)db_get_u64(&rows, 1),
                                db_get_i64(&rows, 2) != 0};
    db_finish(&rows);
    return ERR_OK;
}

enum err fold_waiting(struct db *db, uint64_t *rows)
{
    struct db_rows found;
    *rows = 0;
    /* The newest row of each incarnation comes from the primary key alone. */
    enum err error = db_query(
        db,
        "SELECT COALESCE(SUM(GREATEST(j.newest - f.folded, 0)), 0) FROM (SELECT node, incarnation, "
        "MAX(seq) AS newest FROM meter_journal GROUP BY node, incarnation) j JOIN fold_owner f ON "
        "f.node = j.node AND f.incarnation = j.incarnation",
        DB_NONE, &found);
    if (error) return error;
    if (db_next(&found)) *rows = db_get_u64(&found, 0);
    db_finish(&found);
    return ERR_OK;
}
