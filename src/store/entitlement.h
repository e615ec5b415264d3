/* The tier a customer is entitled to and what pays for it: one row a customer. DB thread; what
 * writes runs inside an explicit transaction under the customer's lock. */
#ifndef KEYMETER_STORE_ENTITLEMENT_H
#define KEYMETER_STORE_ENTITLEMENT_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
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
    const char *status;             /* "active", "past_due", "suspended" */
    int64_t period_start, period_end, grace_until; /* wall ms; 0: none */
    struct period_rule months;                     /* of the quota */
    int64_t updated_at;
};

/* ERR_EXISTS: the resolved reference pays for another customer. */
MUST_USE enum err entitlement_insert(struct db *db, const struct entitlement_row *row);
MUST_USE enum err entitlement_update(struct db *db, const struct entitlement_row *row);
/* ERR_NOT_FOUND. */
MUST_USE enum err entitlement_find(struct db *db, uint64_t customer_id, struct arena *arena,
                                   struct entitlement_row *row);
/* Of several customers, each given once: those that have one, in any order. */
MUST_USE enum err entitlement_find_each(struct db *db, const uint64_t *customer_ids, size_t count,
                                        struct arena *arena, struct entitlement_row *rows,
                                        size_t *found);
/* True when it grants nothing any more: suspended, or past due beyond its grace. */
bool entitlement_lapsed(const struct entitlement_row *row, int64_t now_ms);

#endif
