/* Upkeep of the tables, once a minute and beside the calls: for half a second at most, then again
 * after the next fold while there is more. Loop thread, but for upkeep_run. It goes by the wall
 * clock, so it rests while that is not to be believed (core/clock_watch.h), by the machine's own
 * time, the database's clock or another node's: what a wrong clock takes for long past may be the
 * running month. */
#include "service/meter_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "conf/settings.h"
#include "core/clock_watch.h"
#include "service/context.h"
#include "store/database_clock.h"
#include "store/upkeep.h"

#include <stdlib.h>

enum {
    PERIOD_US = 60 * 1000 * 1000,
    RUN_US = 500 * 1000,
};

struct upkeep_job {
    struct db_job job;
    struct meter *meter;
    struct upkeep upkeep;
    struct clock_watch clock;
    bool trusted;
    int64_t off_ms; /* of the wall clock: nothing was deleted */
    size_t deleted;
    bool more;
};

static enum err clock_judge(struct db *db, struct upkeep_job *self)
{
    struct other_clocks others;
    if (self->trusted) return ERR_OK;
    enum err error = other_clocks_read(db, self->upkeep.node, &others);
    if (error) return error;
    struct clock_reading now = {self->upkeep.now_ms, clock_boot_ms(), others.database_ms,
                                others.node_ms};
    self->off_ms = clock_watch_off_ms(&self->clock, &now);
    return ERR_OK;
}

static enum err upkeep_run(struct db *db, struct db_job *job)
{
    static const struct {
        enum err (*run)(struct db *db, const struct upkeep *upkeep, size_t *deleted);
        size_t rows;
    } steps[] = {{upkeep_feed, UPKEEP_FEED_ROWS},   {upkeep_journal, UPKEEP_ROWS},
                 {upkeep_nodes, UPKEEP_ROWS},       {upkeep_leases, UPKEEP_ROWS},
                 {upkeep_budgets, UPKEEP_ROWS},     {upkeep_quota_told, UPKEEP_ROWS},
                 {upkeep_idempotency, UPKEEP_ROWS}, {upkeep_rotation, UPKEEP_ROWS},
                 {upkeep_outbox, UPKEEP_ROWS},      {upkeep_claims, UPKEEP_ROWS},
                 {upkeep_alerts, UPKEEP_ROWS},      {upkeep_provider_events, UPKEEP_ROWS},
                 {upkeep_portal, UPKEEP_ROWS},      {upkeep_secret_networks, UPKEEP_ROWS}};
    struct upkeep_job *self = CONTAINER_OF(job, struct upkeep_job, job);
    int64_t until_us = clock_mono_us() + RUN_US;
    enum err error = clock_judge(db, self);
    if (self->off_ms) return error;
    for (size_t i = 0; i < COUNT_OF(steps) && !error; i++) {
        size_t deleted = steps[i].rows;
        while (deleted >= steps[i].rows && !error && clock_mono_us() < until_us) {
            error = steps[i].run(db, &self->upkeep, &deleted);
            self->deleted += deleted;
        }
        self->more |= deleted >= steps[i].rows;
    }
    return error == ERR_DB_RETRY ? ERR_OK : error;
}

static void upkeep_done(struct db_job *job, enum err error)
{
    struct upkeep_job *self = CONTAINER_OF(job, struct upkeep_job, job);
    struct meter *meter = self->meter;
    meter->upkeep_flying = false;
    if (self->more && !error) meter->upkeep_due_us = 0;
    /* A heartbeat sees a fence too, and acts on it. */
    if (error && error != ERR_FENCED) log_event(LOG_WARN, "upkeep_failed", "%s", err_name(error));
    if (self->off_ms)
        log_event(LOG_WARN, "clock_moved",
                  "the wall clock is off by %lld s, by what the machine, the database or another "
                  "node says: old rows are kept until it is right",
                  (long long)(self->off_ms / 1000));
    if (self->deleted) log_event(LOG_DEBUG, "upkeep", "deleted %zu old rows", self->deleted);
    free(self);
}

void upkeep_start(struct meter *meter)
{
    int64_t now_us = clock_mono_us();
    if (meter->upkeep_flying || meter->state != METER_SERVING || now_us < meter->upkeep_due_us)
        return;
    meter->upkeep_due_us = now_us + PERIOD_US;
    struct upkeep_job *self = calloc(1, sizeof *self);
    if (!self) return;
    self->job = (struct db_job){.run = upkeep_run, .done = upkeep_done};
    self->meter = meter;
    self->upkeep = (struct upkeep){meter->node, meter->incarnation, clock_wall_ms()};
    self->clock = meter->clock;
    self->trusted = meter->service->settings->node.trust_clock;
    meter->upkeep_flying = true;
    if (db_submit(meter->background, &self->job) == ERR_OK) return;
    meter->upkeep_flying = false;
    free(self);
}
