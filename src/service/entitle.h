/* Changing what a customer is entitled to: one place for readings of providers, calls, approvals
 * and the clock. On the committer's thread, under the customer's lock. */
#ifndef KEYMETER_SERVICE_ENTITLE_H
#define KEYMETER_SERVICE_ENTITLE_H

#include "store/customer.h"
#include "store/entitlement.h"
#include "store/tier.h"

struct db;
struct operation;

struct entitle {
    struct operation *operation;
    const struct customer_row *customer;
    struct arena *arena;
    const char *cause;          /* for the record: "event", "reconcile", "call", "clock" … */
    struct entitlement_row row; /* as it stands; what the machine does not know may be changed */
    bool renamed;               /* … which this says: provider or references are others */
    struct entitlement before, after;
    struct pay_rules rules;
    size_t keys_suspended; /* a result of saving */
};

/* Reads what stands, and the rules of its tier. */
MUST_USE enum err entitle_open(struct db *db, struct entitle *entitle);
/* Moves `after` by what was read. facts->lower is found here. ERR_NOT_FOUND: there is no such tier.
 */
MUST_USE enum err entitle_read(struct db *db, struct entitle *entitle, struct pay_facts *facts);
/* Writes the difference with everything that follows from it: keys beyond the tier's maximum, mail,
 * feed and audit rows. Nothing when there is none. ERR_EXISTS: the reference pays for another. */
MUST_USE enum err entitle_save(struct db *db, struct entitle *entitle);
/* Whether entitle_save would write. */
bool entitle_differs(const struct entitle *entitle);
/* {"tier":…,"status":…,"payment":…,"period_end":…}, in the arena; NULL on no memory. */
const char *entitle_describe(const struct entitlement *entitlement, struct arena *arena);
/* The customer's own word of a state: "active", "past_due", "suspended". */
const char *entitle_status(const char *state);

#endif
