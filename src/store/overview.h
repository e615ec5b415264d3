/* Figures over all customers, for the dashboard's first page. DB thread. */
#ifndef KEYMETER_STORE_OVERVIEW_H
#define KEYMETER_STORE_OVERVIEW_H

#include "store/usage.h"

struct overview_counts {
    uint64_t keys_active, keys_disabled, keys_suspended, keys_revoked;
    uint64_t customers;
    uint64_t mails_waiting, mails_dead, mails_sent; /* sent: since a day ago */
    uint64_t past_due, suspended;                   /* customers, by payment */
    uint64_t readings_failing;                      /* payments that could not be read */
    uint64_t alerts_open;
    uint64_t rotations_due; /* steps within a week */
};
MUST_USE enum err overview_count(struct db *db, int64_t now_ms, struct overview_counts *counts);

/* What is folded, of all keys: count buckets that begin at starts, the last ends at `end`. */
MUST_USE enum err overview_usage(struct db *db, const int64_t *starts, size_t count, int64_t end,
                                 struct usage_counts *counts);

/* Who used most of its running period. */
enum { OVERVIEW_TOP = 8 };
struct overview_customer {
    uint64_t id, used, quota;
    bool has_quota;
    const char *external_id, *tier; /* external_id NULL: erased */
};
MUST_USE enum err overview_top(struct db *db, int64_t now_ms, struct arena *arena,
                               struct overview_customer rows[OVERVIEW_TOP], size_t *count);

/* How many customers are on the tier; more than OVERVIEW_MANY are not counted. */
enum { OVERVIEW_MANY = 10000 };
MUST_USE enum err overview_tier(struct db *db, const char *slug, uint64_t *customers);

/* The external ids of customers, "" where there is none; for lists that have only ids. */
MUST_USE enum err customer_names(struct db *db, const uint64_t *ids, size_t count,
                                 struct arena *arena, const char **names);

#endif
