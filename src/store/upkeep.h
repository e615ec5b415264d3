/* Deleting what no longer says anything: old rows of the change feed, what ended incarnations left
 * behind, leases and budgets of periods long past. Any node may do each
 * step at any time, also twice and beside another node: what is to go is picked without locks and
 * deleted only if it still may. DB thread. */
#ifndef KEYMETER_STORE_UPKEEP_H
#define KEYMETER_STORE_UPKEEP_H

#include "base/compiler.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct db;

/* In whose name, and the wall clock: every age counts from now_ms. */
struct upkeep {
    unsigned node, incarnation;
    int64_t now_ms;
};

/* How many rows one call deletes at most: when it was as many, there may be more. */
enum { UPKEEP_FEED_ROWS = 1000, UPKEEP_ROWS = 100 };

/* *deleted counts rows. ERR_FENCED: this node's incarnation is at its end, nothing was deleted;
 * ERR_DB_RETRY: another time. */

/* Feed rows older than an hour. What is left has no gaps, and the newest row is left: a node that
 * has read less far misses the row that it read last, and reads everything anew. */
MUST_USE enum err upkeep_feed(struct db *db, const struct upkeep *upkeep, size_t *deleted);
/* Folded journal rows of incarnations that were fenced more than an hour ago: nobody is still to
 * look for an uncertain insert of theirs. Without a backlog it is one row an incarnation. */
MUST_USE enum err upkeep_journal(struct db *db, const struct upkeep *upkeep, size_t *deleted);
/* Nodes' incarnations that were fenced more than 30 days ago (NODE_KEPT_MS), are folded whole and
 * have neither leases nor claims left, and are not their node's newest. */
MUST_USE enum err upkeep_nodes(struct db *db, const struct upkeep *upkeep, size_t *deleted);
/* Leases of periods that ended at least a day ago, in which all that was granted is settled. */
MUST_USE enum err upkeep_leases(struct db *db, const struct upkeep *upkeep, size_t *deleted);
/* Budgets of periods that ended at least 62 days ago and have no lease any more. */
MUST_USE enum err upkeep_budgets(struct db *db, const struct upkeep *upkeep, size_t *deleted);
/* What was told of periods that began as long ago. */
MUST_USE enum err upkeep_quota_told(struct db *db, const struct upkeep *upkeep, size_t *deleted);

/* Steps of rotations that were done, mails that were sent or given up, claim links that have ended
 * and alerts that were acknowledged, 90 days ago. */
MUST_USE enum err upkeep_rotation(struct db *db, const struct upkeep *upkeep, size_t *deleted);
MUST_USE enum err upkeep_outbox(struct db *db, const struct upkeep *upkeep, size_t *deleted);
MUST_USE enum err upkeep_claims(struct db *db, const struct upkeep *upkeep, size_t *deleted);
MUST_USE enum err upkeep_alerts(struct db *db, const struct upkeep *upkeep, size_t *deleted);
/* Networks that secrets were used from before their rotation's end, 40 days after. */
MUST_USE enum err upkeep_secret_networks(struct db *db, const struct upkeep *upkeep,
                                         size_t *deleted);
/* Known events, beyond any time in which a provider sends one again. */
MUST_USE enum err upkeep_provider_events(struct db *db, const struct upkeep *upkeep,
                                         size_t *deleted);

/* Visits to the portal, a day after their end. */
MUST_USE enum err upkeep_portal(struct db *db, const struct upkeep *upkeep, size_t *deleted);

/* Reservations and kept answers of the Idempotency-Key that have expired. */
MUST_USE enum err upkeep_idempotency(struct db *db, const struct upkeep *upkeep, size_t *deleted);

#endif
