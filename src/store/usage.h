/* Usage by hour of a key or a customer, folded and unfolded, and the facts around it. DB thread. */
#ifndef KEYMETER_STORE_USAGE_H
#define KEYMETER_STORE_USAGE_H

#include "base/arena.h"
#include "core/period.h"
#include "store/usage_snapshot.h"

struct db;

struct usage_counts {
    uint64_t allowed, denied_quota, denied_rate, denied_other; /* calls */
};

/* Where the buckets begin: count starts, rising; the last bucket ends at `end`. */
struct usage_series {
    enum usage_kind kind;
    uint64_t subject;
    const int64_t *starts; /* wall ms */
    size_t count;
    int64_t end;
    struct usage_counts *counts; /* count of them, zeroed; the result is added */
};
/* Within a snapshot (usage_snapshot_begin). */
MUST_USE enum err usage_series_read(struct db *db, struct usage_series *series);

/* Whose usage it is and what the quota is. customer_id 0 with external_id: looked up; with key_id:
 * of that key. ERR_NOT_FOUND. */
struct usage_owner {
    uint64_t key_id, customer_id;
    struct span external_id;
    bool has_quota; /* results */
    uint64_t quota;
    struct period_rule months;
};
MUST_USE enum err usage_owner_find(struct db *db, struct usage_owner *owner);

#endif
