/* What the operations of one batch of the committer share (service/committer.c): rows of new keys
 * that are written together (store/new_keys.h), and the tier that the last of them was made by. An
 * operation that says it gathers finds it in operation->gathered, empty at the latest behind one
 * that does not, so a tier here is never older than the transaction. Committer's thread. */
#ifndef KEYMETER_SERVICE_GATHERED_H
#define KEYMETER_SERVICE_GATHERED_H

#include "store/new_keys.h"
#include "store/tier.h"

struct gathered {
    struct new_keys keys;
    bool has_tier;
    struct tier_row tier;
};

/* Writes the rows and forgets the tier. */
MUST_USE enum err gathered_write(struct db *db, struct gathered *gathered);
/* The tier of that slug, read once for operations that follow each other; *tier stays good until
 * the operation has run. ERR_NOT_FOUND. */
MUST_USE enum err gathered_tier(struct db *db, struct gathered *gathered, struct span slug,
                                const struct tier_row **tier);

#endif
