/* Getting to a known state: joining as a node, reading the feed's end after a connection was lost,
 * and finding out what became of an uncertain batch. Loop thread, but for the _run functions. One
 * such job is under way at a time, on the flusher's thread, tried again by the tick until it is
 * through; meanwhile nothing is answered from memory, and calls run into max_wait. */
#include "service/meter_private.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "conf/settings.h"
#include "service/context.h"
#include "service/token_cache.h"
#include "store/node.h"
#include "store/outcome.h"

#include <stdlib.h>

enum { RETRY_US = 50 * 1000, END_MS = 3000 };

struct control {
    struct db_job job;
    struct meter *meter;
    unsigned node, incarnation;
    int64_t now_ms;
    const char *name;
    struct feed_place place;
    uint64_t connection;
    struct journal_id id;
    uint64_t old_connection;
    int64_t sent_us;
    bool found;
};

static bool control_start(struct meter *meter, enum err (*run)(struct db *, struct db_job *),
                          void (*done)(struct db_job *, enum err), const struct control *values)
{
    struct control *control = calloc(1, sizeof *control);
    if (!control) return false;
    *control = *values;
    control->job = (struct db_job){.run = run, .done = done};
    control->meter = meter;
    meter->control_flying = true;
    if (db_submit(meter->flusher, &control->job) == ERR_OK) return true;
    meter->control_flying = false;
    free(control);
    return false;
}

static void control_again(struct meter *meter)
{
    meter->control_flying = false;
    meter->control_retry_us = clock_mono_us() + RETRY_US;
}

/* Decided under what was known before: taken back and decided again. */
static void open_undo(struct meter *meter)
{
    for (struct list *at = meter->open.next; at != &meter->open; at = at->next)
        call_uncharge(CONTAINER_OF(at, struct verify_call, link));
}

/* ---- join ---- */
static enum err join_run(struct db *db, struct db_job *job)
{
    struct control *control = CONTAINER_OF(job, struct control, job);
    return node_join(db, control->name, control->now_ms, &control->node, &control->incarnation);
}

static void join_done(struct db_job *job, enum err error)
{
    struct control *control = CONTAINER_OF(job, struct control, job);
    struct meter *meter = control->meter;
    control_again(meter);
    if (!error) {
        meter->node = control->node;
        meter->incarnation = control->incarnation;
        meter->seq = 0;
        id_set_node(control->node);
        open_undo(meter);
        leases_forget(meter, true);
        /* A refund belongs to the lease of the incarnation that charged it. */
        for (size_t i = 0; i < meter->carry_count; i++)
            if (meter->carry[i].units < 0) meter->carry[i].units = 0;
        log_event(LOG_INFO, "node_joined", "node %u, incarnation %u", meter->node,
                  meter->incarnation);
        meter_sync(meter);
    } else {
        log_event(LOG_WARN, "node_join_failed", "%s", err_name(error));
    }
    free(control);
}

void meter_join(struct meter *meter)
{
    meter->state = METER_JOINING;
    if (meter->control_flying || clock_mono_us() < meter->control_retry_us) return;
    struct control values = {.now_ms = clock_wall_ms(),
                             .name = meter->service->settings->node.name};
    if (!control_start(meter, join_run, join_done, &values)) control_again(meter);
}

/* ---- sync ---- */
static enum err sync_run(struct db *db, struct db_job *job)
{
    struct control *control = CONTAINER_OF(job, struct control, job);
    control->connection = db_serial(db);
    return feed_newest(db, &control->place);
}

static void sync_done(struct db_job *job, enum err error)
{
    struct control *control = CONTAINER_OF(job, struct control, job);
    struct meter *meter = control->meter;
    control_again(meter);
    if (!error && meter->state == METER_SYNCING) {
        meter->connection = control->connection;
        feed_forget(meter, control->place);
        meter->epoch++;
        meter->stats.resets++;
        meter->tiers_stale = true;
        token_cache_clear(meter->service->tokens);
        token_cache_reload(meter->service->tokens);
        open_undo(meter);
        leases_forget(meter, false);
        meter->state = meter->stop_asked ? METER_STOPPING : METER_SERVING;
        calls_decide(meter, &meter->open);
        log_event(LOG_INFO, "synced", "reading the change feed from position %llu",
                  (unsigned long long)control->place.position);
    }
    free(control);
}

void meter_sync(struct meter *meter)
{
    meter->state = METER_SYNCING;
    if (meter->control_flying || clock_mono_us() < meter->control_retry_us) return;
    struct control values = {0};
    if (!control_start(meter, sync_run, sync_done, &values)) control_again(meter);
}

/* ---- an uncertain batch ---- */
static enum err resolve_run(struct db *db, struct db_job *job)
{
    struct control *control = CONTAINER_OF(job, struct control, job);
    int64_t age_ms = (clock_mono_us() - control->sent_us) / 1000;
    enum err error = outcome_end_connection(db, control->old_connection, age_ms, END_MS);
    if (!error) error = journal_look(db, control->id, &control->found);
    if (!error && control->found) /* seen is not durable: a commit of one's own makes it so */
        error = journal_own_commit(db, control->id.node, control->id.incarnation);
    return error;
}

static void resolve_done(struct db_job *job, enum err error)
{
    struct control *control = CONTAINER_OF(job, struct control, job);
    struct meter *meter = control->meter;
    control_again(meter);
    if (!error) {
        struct meter_batch *batch = meter->unresolved;
        meter->unresolved = NULL;
        log_event(LOG_INFO, "batch_resolved", control->found ? "it was committed" : "it was not");
        meter->control_retry_us = 0;
        meter_sync(meter);
        if (control->found)
            batch_answer(meter, batch);
        else
            batch_undo(meter, batch);
    }
    free(control);
}

void meter_resolve(struct meter *meter, struct meter_batch *batch)
{
    meter->state = METER_RESOLVING;
    meter->unresolved = batch;
    if (meter->control_flying || clock_mono_us() < meter->control_retry_us) return;
    struct control values = {
        .id = batch->id, .old_connection = batch->server_connection, .sent_us = batch->closed_us};
    if (!control_start(meter, resolve_run, resolve_done, &values)) control_again(meter);
}
