/* The fold: journal rows become usage, budgets, leases and last-used times. DB thread. */
#ifndef KEYMETER_STORE_FOLD_H
#define KEYMETER_STORE_FOLD_H

#include "io/db.h"

struct fold_owner {
    unsigned node, incarnation;
    bool fenced;
};
enum { FOLD_OWNERS_MAX = 1024, FOLD_ROWS = 1000 }; /* all live nodes, and as many that ended */
/* Whose journals there are. Read without locks. */
MUST_USE enum err fold_owners(struct db *db, struct fold_owner out[FOLD_OWNERS_MAX], size_t *count);

/* Folds at most FOLD_ROWS journal rows of one incarnation in one transaction, in the name of the
 * node `self`. *folded: how many. The newest row stays (marked by fold_owner.folded) so that
 * looking for an uncertain insert is never fooled. A fenced incarnation without further rows is
 * settled instead: its unused units go back, and *folded counts leases. ERR_FENCED: self is fenced.
 */
MUST_USE enum err fold_one(struct db *db, unsigned self_node, unsigned self_incarnation,
                           const struct fold_owner *owner, int64_t now_ms, size_t *folded);

/* Journal rows of all nodes that are not folded yet; at most, because numbers may have been
 * skipped.
 */
MUST_USE enum err fold_waiting(struct db *db, uint64_t *rows);

#endif
