/* The meter as a whole: starting, the turn of the loop, deadlines, stopping. Loop thread. The order
 * of a stop: answer what waits, write what is owed, hand units back, leave the node table, then
 * close the connections. */
#include "service/meter_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "conf/settings.h"
#include "io/loop.h"
#include "io/loop_hook.h"
#include "service/context.h"
#include "store/node.h"

#include <sodium.h>
#include <stdlib.h>

enum { TICK_MS = 10, STOP_MS = 5000, STALLED_US = 1000 * 1000, USED_MANY = 20000 };

/* An idle meter reads the feed every 50 ms, so a database that hangs is noticed without a call. */
bool meter_is_stalled(const struct meter *meter)
{
    return meter->flying && clock_mono_us() - meter->flying->closed_us >= STALLED_US;
}

bool meter_identity(const struct meter *meter, unsigned *node, unsigned *incarnation)
{
    *node = meter->node;
    *incarnation = meter->incarnation;
    return meter->state == METER_SERVING;
}

bool meter_is_ready(const struct meter *meter)
{
    return meter->state == METER_SERVING && !meter_is_stalled(meter);
}

void meter_count_unknown(struct meter *meter)
{
    meter->stats.codes[VERIFY_NOT_FOUND]++;
}

void meter_verify(struct meter *meter, struct verify_call *call)
{
    call->arrived_us = clock_mono_us();
    call->charged = 0;
    call->rate_charged = false;
    call->batch = NULL;
    memset(call->budgets, 0, sizeof call->budgets);
    call->retry_after_s = 0;
    list_init(&call->link);
    bool full = ++meter->waiting > meter->service->settings->metering.queue;
    call->cause = full ? METER_CAUSE_QUEUE_FULL : METER_CAUSE_MEMORY; /* if it comes to 503 */
    call->secret = full ? NULL : secret_get(meter, call->hash);
    if (!call->secret) { /* too many, or no memory: 503 by the next tick, whoever came before */
        list_prepend(&meter->age, &call->age);
        return;
    }
    list_append(&meter->age, &call->age);
    call->secret->pins++;
    call_decide(meter, call);
}

unsigned meter_room(const struct meter *meter)
{
    unsigned queue = meter->service->settings->metering.queue;
    return queue > meter->waiting ? queue - meter->waiting : 0;
}

/* Not a node, or no longer one: nothing can be written, so there is nothing to wait for. */
static bool is_outside(const struct meter *meter)
{
    return meter->state == METER_REFUSED || (meter->state == METER_JOINING && meter->stop_asked);
}

/* max_wait is kept by the loop's own timer, whatever the database does: a call that would be late
 * at the next tick is answered now. */
static void deadlines(struct meter *meter, int64_t now_us)
{
    bool outside = is_outside(meter) || (meter->stop_asked && now_us > meter->stop_deadline_us);
    while (!list_empty(&meter->age)) {
        struct verify_call *call = CONTAINER_OF(meter->age.next, struct verify_call, age);
        bool due = outside || !call->secret; /* no secret: the queue was full, or memory */
        if (!due && now_us - call->arrived_us < meter->max_wait_us - TICK_MS * 1000) return;
        if (call->secret) call->cause = meter_cause_of(meter);
        if (call->batch)
            batch_orphan(call);
        else
            call_uncharge(call);
        call_answer(meter, call, VERIFY_UNAVAILABLE);
    }
}

static void on_stopped_pool(void *context)
{
    struct meter *meter = context;
    if (--meter->pools_open) return;
    table_done(meter);
    free(meter->carry);
    void (*closed)(void *) = meter->closed;
    void *closed_context = meter->closed_context;
    free(meter);
    if (closed) closed(closed_context);
}

/* Frees the meter once the last pool has ended; at the start there may be fewer. */
static void pools_stop(struct meter *meter)
{
    struct db_pool *pools[] = {meter->flusher, meter->loader, meter->leaser, meter->background};
    loop_timer_free(&meter->tick);
    loop_hook_free(&meter->turn);
    if (meter->unresolved) {
        log_event(LOG_WARN, "batch_unresolved", "stopped before its outcome was known");
        batch_end(&meter->unresolved);
    }
    meter->pools_open = 1;
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        if (!pools[i]) continue;
        meter->pools_open++;
        db_pool_stop(pools[i], on_stopped_pool, meter);
    }
    on_stopped_pool(meter); /* not before every pool is counted */
}

struct leave_job {
    struct db_job job;
    struct meter *meter;
    unsigned node, incarnation;
    int64_t now_ms;
};

static enum err leave_run(struct db *db, struct db_job *job)
{
    struct leave_job *leave = CONTAINER_OF(job, struct leave_job, job);
    return node_leave(db, leave->now_ms, leave->node, leave->incarnation);
}

static void leave_done(struct db_job *job, enum err error)
{
    struct leave_job *leave = CONTAINER_OF(job, struct leave_job, job);
    if (error) log_event(LOG_WARN, "node_leave_failed", "%s", err_name(error));
    leave->meter->left = true;
    leave->meter->control_flying = false;
    free(leave);
}

static void leave(struct meter *meter)
{
    struct leave_job *job = calloc(1, sizeof *job);
    meter->left = true;
    if (!job) return;
    *job = (struct leave_job){.job = {.run = leave_run, .done = leave_done},
                              .meter = meter,
                              .node = meter->node,
                              .incarnation = meter->incarnation,
                              .now_ms = clock_wall_ms()};
    meter->control_flying = true;
    if (db_submit(meter->background, &job->job) == ERR_OK) return;
    meter->control_flying = false;
    free(job);
}

/* One step towards the end each turn; by the deadline it ends in any case. */
static void stopping(struct meter *meter, int64_t now_us)
{
    bool outside = is_outside(meter);
    bool late = outside || now_us > meter->stop_deadline_us;
    bool idle = list_empty(&meter->age) && !meter->flying && !meter->unresolved &&
                !meter->carry_count && leases_idle(meter) && !meter->loads_flying &&
                !meter->tiers_loading && !meter->control_flying;
    if (!idle && !late) return;
    if (!meter->released && !late) {
        meter->released = true;
        leases_release_all(meter);
        return;
    }
    if (!meter->left && meter->node && !outside) {
        leave(meter);
        return;
    }
    bool jobs = meter->flying || meter->take_flying || meter->loads_flying ||
                meter->tiers_loading || meter->control_flying || meter->heartbeat_flying ||
                meter->fold_flying || meter->upkeep_flying;
    if (!jobs) pools_stop(meter);
}

static void on_turn(void *context)
{
    struct meter *meter = context;
    loads_start(meter);
    takes_start(meter);
    batch_start(meter);
}

static void on_tick(void *context)
{
    struct meter *meter = context;
    int64_t now_us = clock_mono_us();
    deadlines(meter, now_us);
    switch (meter->state) {
    case METER_JOINING:
        meter_join(meter);
        break;
    case METER_SYNCING:
        meter_sync(meter);
        break;
    case METER_RESOLVING:
        meter_resolve(meter, meter->unresolved);
        break;
    case METER_SERVING:
        background_start(meter);
        break;
    case METER_STOPPING:
    case METER_REFUSED:
        break;
    }
    on_turn(meter);
    if (meter->stop_asked) stopping(meter, now_us);
}

static enum err pools_start(struct meter *meter)
{
    struct {
        struct db_pool **pool;
        const char *name;
        unsigned threads;
        double statement_s;
    } wanted[] = {{&meter->flusher, "km-flusher", 1, 0.2},
                  {&meter->loader, "km-loader", 1, 2},
                  {&meter->leaser, "km-leaser", 1, 2},
                  {&meter->background, "km-background", 2, 10}};
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        struct db_pool_config config = {
            .name = wanted[i].name, .threads = wanted[i].threads, .queue_limit = 64};
        config.db = *meter->service->database;
        config.db.max_statement_time_s = wanted[i].statement_s;
        config.db.io_timeout_s = 3;
        enum err error = db_pool_new(wanted[i].pool, meter->service->loop, &config);
        if (error) return error;
    }
    return ERR_OK;
}

/* Random, never 0, for a signed column. */
static uint64_t tag_new(void)
{
    uint64_t tag;
    randombytes_buf(&tag, sizeof tag);
    return tag >> 1 | 1;
}

enum err meter_new(struct meter **out, struct service *service)
{
    struct meter *meter = calloc(1, sizeof *meter);
    if (!meter) return ERR_NO_MEMORY;
    meter->service = service;
    meter->max_wait_us = (int64_t)service->settings->metering.max_wait_ms * 1000;
    meter->secret_limit = service->settings->metering.keys;
    meter->uses.many = USED_MANY;
    meter->live_nodes = 1;
    meter->tag = tag_new();
    clock_watch_begin(&meter->clock, clock_wall_ms(), clock_boot_ms());
    list_init(&meter->open);
    list_init(&meter->age);
    list_init(&meter->load_queue);
    list_init(&meter->take_queue);
    list_init(&meter->tier_waiters);
    meter_stats_init(&meter->stats);
    table_init(meter);
    enum err error = pools_start(meter);
    if (!error) error = loop_timer_new(&meter->tick, service->loop, on_tick, meter);
    if (!error) error = loop_hook_new(&meter->turn, service->loop, on_turn, meter);
    if (error) {
        pools_stop(meter); /* the loop's next turns end them, and free the meter */
        return error;
    }
    loop_timer_start(meter->tick, TICK_MS, TICK_MS);
    meter_join(meter);
    *out = meter;
    return ERR_OK;
}

void meter_stop(struct meter *meter, void (*closed)(void *context), void *context)
{
    meter->closed = closed;
    meter->closed_context = context;
    meter->stop_asked = true;
    meter->stop_deadline_us = clock_mono_us() + (int64_t)STOP_MS * 1000;
    if (meter->state == METER_SERVING) meter->state = METER_STOPPING;
}
