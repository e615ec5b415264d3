/* Budgets and leases: how a node gets units of a quota, and gives them back.
 *
 * budget.used + budget.leased never exceeds the limit when units are granted; a lease's outstanding
 * units are granted - settled. Memory keeps `spent` in absolute units, the row `granted`; unspent
 * is their difference, so an unknown outcome needs no more than reading the row again. DB thread.
 * Lock order: node (share), fold_owner, budget, lease, usage; then feed. */
#ifndef KEYMETER_STORE_LEASE_H
#define KEYMETER_STORE_LEASE_H

#include "io/db.h"
#include "store/feed.h"

enum budget_kind { BUDGET_CUSTOMER = 1, BUDGET_KEY = 2 /* its monthly cap */ };

struct budget_key {
    enum budget_kind kind;
    uint64_t subject;     /* customer or key id */
    int64_t period_start; /* wall ms */
};

enum { LEASE_TAKES_MAX = 128 }; /* budgets a transaction */

enum take_verdict {
    TAKE_GRANTED,  /* granted holds the new absolute value; at least `need` is unspent */
    TAKE_EXCEEDED, /* no live holder has unspent units: `available` is all there is */
    TAKE_WAIT,     /* others hold units and have been asked: try again soon */
};

struct lease_take {
    struct budget_key key;
    /* in */
    bool fresh;     /* memory forgot what it spent: all that is granted counts as spent */
    bool hand_back; /* give back what is unspent before taking */
    uint64_t spent; /* absolute, while frozen; ignored when fresh */
    uint64_t
        need; /* units the first waiting call lacks (its whole cost with hand_back); may be 0 */
    uint64_t want;  /* >= need */
    uint64_t asked; /* feed position of this shortage's ask, 0: none yet */
    /* out */
    enum take_verdict verdict;
    uint64_t granted; /* absolute */
    bool limited;     /* false: no quota or cap, or overage = allow */
    bool has_limit;   /* there is a quota or cap, though it may not be enforced */
    uint64_t limit;
    int64_t available;   /* units free for anyone after this take */
    enum feed_kind feed; /* the feed row this take needs; lease_take's own */
    int64_t claimed;     /* budget.used + budget.leased after this take */
};

/* All in one transaction, budgets locked in the order given (sort them by budget_key_compare).
 * ERR_FENCED: this incarnation is fenced. */
MUST_USE enum err lease_take(struct db *db, unsigned node, unsigned incarnation, int64_t now_ms,
                             struct lease_take *takes, size_t count);
int budget_key_compare(const struct budget_key *a, const struct budget_key *b);

/* The feed row that names a budget. */
struct feed_row budget_feed(enum feed_kind kind, const struct budget_key *key);

/* Gives the outstanding units of a fenced incarnation back once its journal is folded, and removes
 * its leases, 128 at a time; part of the fold. Inside a transaction that holds its fold_owner row.
 */
/* *settled: how many leases; call again while there are any. */
MUST_USE enum err lease_settle_fenced(struct db *db, unsigned node, unsigned incarnation,
                                      int64_t now_ms, size_t *settled);

#endif
