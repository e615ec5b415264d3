/* What the meter counts. Called by the other meter files, which count where things happen, and by
 * the metrics and readiness calls; loop thread. Reading costs one walk over the budgets in memory
 * and never waits. */
#include "service/meter_stats.h"

#include "base/clock.h"
#include "service/meter_private.h"

static const uint64_t batch_bounds[HISTOGRAM_BOUNDS] = {1,   2,   5,   10,   20,   50,
                                                        100, 200, 500, 1000, 2000, 5000};
static const uint64_t time_bounds_us[HISTOGRAM_BOUNDS] = {
    250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000};

_Static_assert((int)METER_STATS_CODES == (int)VERIFY_CODES, "a code without its counter");

const char *meter_cause_name(enum meter_cause cause)
{
    static const char *const names[] = {"memory", "queue_full", "max_wait", "database", "joining"};
    return names[cause];
}

void meter_stats_init(struct meter_stats *stats)
{
    stats->batch_calls.bounds = batch_bounds;
    stats->commit_us.bounds = stats->answer_us.bounds = time_bounds_us;
}

enum meter_cause meter_cause_of(const struct meter *meter)
{
    switch (meter->state) {
    case METER_JOINING:
    case METER_REFUSED:
        return METER_CAUSE_JOINING;
    case METER_SYNCING:
    case METER_RESOLVING:
        return METER_CAUSE_DATABASE;
    case METER_SERVING:
    case METER_STOPPING:
        break;
    }
    /* A batch that has been under way for as long as a call may wait: the database stands still. */
    bool stands =
        meter->flying && clock_mono_us() - meter->flying->closed_us >= meter->max_wait_us / 2;
    return stands || meter->batch_retry_us > clock_mono_us() ? METER_CAUSE_DATABASE
                                                             : METER_CAUSE_MAX_WAIT;
}

static uint64_t leased_units(const struct meter *meter)
{
    uint64_t units = 0;
    size_t at = 0;
    for (const struct meter_budget *budget; (budget = table_next(&meter->budgets, &at));)
        if (budget->known && budget->limited) units += budget_unspent(budget);
    return units;
}

void meter_get_stats(const struct meter *meter, struct meter_stats *stats)
{
    *stats = meter->stats;
    stats->keys = (unsigned)meter->secrets.count;
    stats->customers = (unsigned)meter->customers.count;
    stats->budgets = (unsigned)meter->budgets.count;
    stats->waiting = meter->waiting;
    stats->node = meter->node;
    stats->incarnation = meter->incarnation;
    stats->live_nodes = meter->live_nodes;
    stats->serving = meter->state == METER_SERVING;
    stats->uncertain = meter->unresolved != NULL;
    stats->leased_units = leased_units(meter);
    const struct db_pool *pools[METER_POOLS] = {meter->flusher, meter->loader, meter->leaser,
                                                meter->background};
    static const char *const names[METER_POOLS] = {"flusher", "loader", "leaser", "background"};
    for (int i = 0; i < METER_POOLS; i++) {
        stats->pools[i].name = names[i];
        stats->pools[i].waiting = db_pool_waiting(pools[i]);
    }
}
