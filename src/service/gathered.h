/* What the operations of one batch of the committer share (service/committer.c): rows of new keys
 * that are written together (store/new_keys.h), customers that were locked and read together, and
 * the tier that the last of them was made by. An operation that says it gathers finds it in
 * operation->gathered, empty at the latest behind one that does not, so what was read is never
 * older than the transaction and never changed by it. Committer's thread. */
#ifndef KEYMETER_SERVICE_GATHERED_H
#define KEYMETER_SERVICE_GATHERED_H

#include "store/customer.h"
#include "store/entitlement.h"
#include "store/new_keys.h"
#include "store/tier.h"

struct gathered_customer {
    struct customer_row row; /* locked */
    bool entitled;
    struct entitlement_row entitlement;
    uint32_t key_count; /* not revoked; those in `keys` come on top */
};

struct gathered {
    struct new_keys keys;
    bool has_tier;
    struct tier_row tier;
    struct arena arena;                  /* of the customers */
    bool read_ahead;                     /* or it was tried */
    struct gathered_customer *customers; /* by id */
    size_t customer_count;
};

/* Writes the rows and forgets what was read. */
MUST_USE enum err gathered_write(struct db *db, struct gathered *gathered);
/* Forgets the customers, which stay locked. */
void gathered_forget(struct gathered *gathered);
/* Forgets all of it, the rows that wait too. */
void gathered_drop(struct gathered *gathered);
/* The tier of that slug, read once for operations that follow each other; *tier stays good until
 * the operation has run. ERR_NOT_FOUND. */
MUST_USE enum err gathered_tier(struct db *db, struct gathered *gathered, struct span slug,
                                const struct tier_row **tier);
/* Locks the customers of these ids, in their order, and reads of each what issuing a key wants to
 * know. The ids, which it sorts, may repeat. */
MUST_USE enum err gathered_customers(struct db *db, struct gathered *gathered, uint64_t *ids,
                                     size_t count);
/* NULL: not read, or there is none. Stays good until the rows are written. */
const struct gathered_customer *gathered_customer(const struct gathered *gathered, uint64_t id);

#endif
