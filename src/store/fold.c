/* Folding the journal. Called every second by any node, on the background thread. One transaction
 * an incarnation: its fold_owner row is locked (never the node's row exclusively: that would stop
 * its flushing), its rows are merged in memory, and the sums written in sorted order, so that two
 * folds never wait for each other crosswise. It never fails on content: a row that cannot be read
 * is counted as folded and reported by the caller's log. */
#include "store/fold.h"

#include "core/journal.h"
#include "store/lease.h"
#include "store/node.h"

#include <stdlib.h>

enum { FOLD_ROWS = 1000, ROWS_A_STATEMENT = 32 };

/* Merged entries, one for each (secret, hour, period); open addressing. */
struct merge {
    struct journal_entry *slots;
    struct journal_entry **order; /* the filled slots, sorted as a pass needs them */
    size_t capacity, count;
    int64_t now_ms;
};

static void merge_done(struct merge *merge)
{
    free(merge->slots);
    free(merge->order);
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

static int by_usage(const void *a, const void *b)
{
    const struct journal_entry *x = *(struct journal_entry *const *)a;
    const struct journal_entry *y = *(struct journal_entry *const *)b;
    if (x->key_id != y->key_id) return COMPARE(x->key_id, y->key_id);
    if (x->hour != y->hour) return COMPARE(x->hour, y->hour);
    return COMPARE(x->period_start, y->period_start);
}

static int by_secret(const void *a, const void *b)
{
    const struct journal_entry *x = *(struct journal_entry *const *)a;
    const struct journal_entry *y = *(struct journal_entry *const *)b;
    return COMPARE(x->secret_id, y->secret_id);
}

/* A multi-row upsert: rows are gathered and sent 32 at a time, the rest one by one. */
struct upsert {
    struct db *db;
    const char *many, *one;
    size_t width, rows;
    struct db_value values[ROWS_A_STATEMENT * 9];
};

#define ROWS_4(row) row ", " row ", " row ", " row
#define ROWS_32(row)                                                                               \
    ROWS_4(row)                                                                                    \
    ", " ROWS_4(row) ", " ROWS_4(row) ", " ROWS_4(row) ", " ROWS_4(row) ", " ROWS_4(               \
        row) ", " ROWS_4(row) ", " ROWS_4(row)
#define UPSERT(head, row, tail)                                                                    \
    .many = head " VALUES " ROWS_32(row) " ON DUPLICATE KEY UPDATE " tail,                         \
    .one = head " VALUES " row " ON DUPLICATE KEY UPDATE " tail

static enum err upsert_flush(struct upsert *upsert)
{
    enum err error = ERR_OK;
    if (upsert->rows == ROWS_A_STATEMENT)
        error = db_execute(upsert->db, upsert->many, upsert->values, upsert->rows * upsert->width,
                           NULL);
    else
        for (size_t i = 0; i < upsert->rows && !error; i++)
            error = db_execute(upsert->db, upsert->one, upsert->values + i * upsert->width,
                               upsert->width, NULL);
    upsert->rows = 0;
    return error;
}

static enum err upsert_add(struct upsert *upsert, const struct db_value *values)
{
    memcpy(upsert->values + upsert->rows * upsert->width, values, upsert->width * sizeof *values);
    return ++upsert->rows == ROWS_A_STATEMENT ? upsert_flush(upsert) : ERR_OK;
}

static bool counts_for_quota(const struct journal_entry *entry)
{
    return entry->units != 0 && !(entry->flags & JOURNAL_QUOTA_FREE);
}

/* Budgets first, then leases, both in the order of their keys. */
static enum err write_budgets(struct db *db, const struct fold_owner *owner, struct merge *merge)
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
    qsort(merge->order, merge->count, sizeof(void *), by_budget);
    enum err error = ERR_OK;
    for (int pass = 0; pass < 2 && !error; pass++) {
        for (size_t i = 0; i < merge->count && !error;) {
            const struct journal_entry *first = merge->order[i];
            int64_t units = 0;
            for (; i < merge->count && !by_budget(&first, &merge->order[i]); i++)
                if (counts_for_quota(merge->order[i])) units += merge->order[i]->units;
            if (!units) continue;
            struct db_value kind = db_i64(BUDGET_CUSTOMER), subject = db_u64(first->customer_id),
                            period = db_i64(first->period_start);
            error = pass == 0
                        ? upsert_add(&budgets, (struct db_value[]){kind, subject, period,
                                                                   db_i64(units), db_i64(-units)})
                        : upsert_add(&leases, (struct db_value[]){
                                                  db_u64(owner->node), db_u64(owner->incarnation),
                                                  kind, subject, period, db_i64(0), db_i64(units)});
        }
        if (!error) error = upsert_flush(pass == 0 ? &budgets : &leases);
    }
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
        error = upsert_add(
            &usage, (struct db_value[]){db_u64(entry->key_id), db_i64(entry->hour),
                                        db_u64(entry->customer_id), db_i64(entry->period_start),
                                        db_i64(entry->units), db_u64(entry->allowed),
                                        db_u64(entry->denied_quota), db_u64(entry->denied_rate),
                                        db_u64(entry->denied_other)});
    }
    return error ? error : upsert_flush(&usage);
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
    if (!error) error = journal_merge(db, owner, folding, merge);
    if (error) return error;
    if (!folding->fresh)
        return owner->fenced ? lease_settle_fenced(db, owner->node, owner->incarnation, now_ms,
                                                   &folding->fresh)
                             : ERR_OK;
    error = merge_order(merge);
    if (!error) error = write_budgets(db, owner, merge);
    if (!error) error = write_usage(db, merge);
    if (!error) error = write_last_used(db, merge);
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
        "WHERE j.node = n.id AND j.incarnation = n.incarnation AND j.seq > f.folded) LIMIT 64",
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
