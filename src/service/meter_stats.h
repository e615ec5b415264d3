/* What the meter counts, for /metrics and /readyz. Loop thread. Times are of clock_mono_us, 0 when
 * it has not happened yet. */
#ifndef KEYMETER_SERVICE_METER_STATS_H
#define KEYMETER_SERVICE_METER_STATS_H

#include "base/histogram.h"

#include <stdbool.h>
#include <stdint.h>

struct meter;

enum { METER_STATS_CODES = 11 }; /* VERIFY_CODES */

/* Why a call was answered VERIFY_UNAVAILABLE. */
enum meter_cause {
    METER_CAUSE_MEMORY,     /* none left for its key or budget */
    METER_CAUSE_QUEUE_FULL, /* metering.queue */
    METER_CAUSE_MAX_WAIT,   /* no units, no load or no commit in time, while the database answers */
    METER_CAUSE_DATABASE,   /* lost, stalled, or being asked what became of a batch */
    METER_CAUSE_JOINING,    /* not (or no longer) a node: starting, fenced, refused */
};
enum { METER_CAUSES = METER_CAUSE_JOINING + 1 };
/* "memory", "queue_full", … */
const char *meter_cause_name(enum meter_cause cause);

enum { METER_POOLS = 4 };

struct meter_stats {
    uint64_t codes[METER_STATS_CODES], unavailable[METER_CAUSES];
    uint64_t batches, batched_calls, inserts, feed_rows, loads, takes, folds, folded_rows,
        heartbeats, resets;
    uint64_t evictions, lease_units_taken, lease_units_returned;
    struct histogram batch_calls; /* of batches that had any */
    struct histogram commit_us;   /* batches that were inserted, from closing to the answer */
    struct histogram answer_us;   /* calls, from arrival to answer */
    uint64_t fold_waiting;        /* journal rows of all nodes, at most, after the newest fold */
    int64_t joined_us, feed_us, insert_us, fold_us, heartbeat_us; /* the newest that succeeded */
    /* as of the call: */
    unsigned keys, customers, budgets, waiting;
    unsigned node, incarnation, live_nodes; /* node 0: not joined yet */
    bool serving, uncertain;                /* uncertain: a batch's outcome is being looked for */
    uint64_t leased_units;                  /* unspent, of budgets with a limit */
    struct {
        const char *name;
        unsigned waiting;
    } pools[METER_POOLS];
};

void meter_stats_init(struct meter_stats *stats);
void meter_get_stats(const struct meter *meter, struct meter_stats *stats);

#endif
