/* The tier a customer is entitled to and what pays for it: one row a customer. DB thread; what
 * writes runs inside an explicit transaction under the customer's lock. */
#ifndef KEYMETER_STORE_ENTITLEMENT_H
#define KEYMETER_STORE_ENTITLEMENT_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "core/entitlement.h"
#include "core/period.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

struct entitlement_row {
    uint64_t customer_id;
    const char *tier;
    const char *provider;           /* "none", "http" … */
    const char *reference;          /* as the caller gave it; NULL: none */
    const char *resolved_reference; /* what pays, for one customer only; NULL: nothing does */
    const char *status;             /* "active", "past_due", "suspended", "downgraded" */
    int64_t period_start, period_end, grace_until; /* wall ms; 0: none */
    struct period_rule months;                     /* of the quota */
    int64_t updated_at;
    const char *payment_status; /* the provider's word; NULL: none */
    const char *paid_tier;      /* that was bought; NULL: none, so for the next one */
    const char *later_tier;
    int64_t later_at, paid_until, refunded_at;
    int64_t look_at; /* when the clock changes it next */
    uint32_t lapses, reminded;
};

/* The machine's part of the row (core/entitlement.h), and back: the row then points into `from`. */
MUST_USE enum err entitlement_open(const struct entitlement_row *row, struct entitlement *out);
void entitlement_close(struct entitlement_row *row, const struct entitlement *from);

/* ERR_EXISTS: the resolved reference pays for another customer. */
MUST_USE enum err entitlement_insert(struct db *db, const struct entitlement_row *row);
MUST_USE enum err entitlement_update(struct db *db, const struct entitlement_row *row);
/* Whether the resolved reference pays for any customer. */
MUST_USE enum err entitlement_is_used(struct db *db, const char *provider, const char *reference,
                                      bool *used);
/* ERR_NOT_FOUND. */
MUST_USE enum err entitlement_find(struct db *db, uint64_t customer_id, struct arena *arena,
                                   struct entitlement_row *row);
/* Of several customers, each given once: those that have one, in any order. */
MUST_USE enum err entitlement_find_each(struct db *db, const uint64_t *customer_ids, size_t count,
                                        struct arena *arena, struct entitlement_row *rows,
                                        size_t *found);
/* At most `limit` customers whose look_at has come, without locks; suspended ones never. */
MUST_USE enum err entitlement_pick(struct db *db, int64_t now_ms, uint64_t *customers, size_t limit,
                                   size_t *count);
/* Suspends the customer's newest keys beyond `max_keys`, and lets go of those within it; revoked
 * ones do not count. What was suspended by it is in `names` (at most `limit`, oldest first; *count
 * counts all). Under the customer's lock. */
struct suspended_key {
    uint64_t id;
    const char *title;
};
MUST_USE enum err entitlement_fit_keys(struct db *db, uint64_t customer_id, uint32_t max_keys,
                                       int64_t now_ms, struct arena *arena,
                                       struct suspended_key *names, size_t limit, size_t *count);
/* Lets go of those within it, and suspends none. *restored: how many. */
MUST_USE enum err entitlement_restore_keys(struct db *db, uint64_t customer_id, uint32_t max_keys,
                                           int64_t now_ms, uint64_t *restored);
/* True when it grants nothing any more: suspended, or its end has come. */
bool entitlement_lapsed(const struct entitlement_row *row, int64_t now_ms);

#endif
