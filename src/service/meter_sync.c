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

enum {
    RETRY_US = 50 * 1000,
    END_MS = 3000,
    FORMER_MS = 3000, /* three heartbeats of a daemon that is alive */
};

struct control {
    struct db_job job;
    struct meter *meter;
    int64_t now_ms;
    const char *name;
    uint64_t tag;
    bool look;  /* whether a process of the same name is alive, before the first join */
    bool again; /* this process has been a node before */
    struct node_former former;
    struct node_joined joined;
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
/* ERR_EXISTS: the former incarnation's connection still stands. After a crash the server has closed
 * it, so a restart is not kept waiting. */
static enum err join_run(struct db *db, struct db_job *job)
{
    struct control *control = CONTAINER_OF(job, struct control, job);
    if (control->look) {
        enum err error = node_find_former(db, control->name, control->now_ms, &control->former);
        if (error && error != ERR_NOT_FOUND) return error;
        if (!error && control->former.tag != control->tag && control->former.connected)
            return ERR_EXISTS;
    }
    return control->again
               ? node_join_again(db, control->name, control->tag, control->now_ms, &control->joined)
               : node_join(db, control->name, control->tag, control->now_ms, &control->joined);
}

static void joined(struct meter *meter, const struct node_joined *now, uint64_t former_tag)
{
    /* Not its own: a first join of unknown outcome, made again. */
    bool fenced_other = now->fenced && !meter->node && former_tag != meter->tag;
    meter->node = now->id;
    meter->incarnation = now->incarnation;
    meter->seq = 0;
    meter->fenced = false;
    meter->stats.joined_us = clock_mono_us();
    id_set_node(now->id);
    open_undo(meter);
    leases_forget(meter, true);
    /* The leases that these were charged to are settled by the fold. */
    for (size_t i = 0; i < meter->carry_count; i++)
        meter->carry[i].flags |= JOURNAL_UNLEASED;
    if (fenced_other)
        log_event(LOG_WARN, "former_fenced",
                  "an earlier keymeterd with node.name %s had not left; it can write no more",
                  meter->service->settings->node.name);
    log_event(LOG_INFO, "node_joined", "node %u, incarnation %u", now->id, now->incarnation);
    meter_sync(meter);
}

/* Two daemons of one name would fence each other for ever: the one that finds the other ends. */
static void refuse(struct meter *meter, const char *event, const char *what)
{
    const struct service *service = meter->service;
    log_event(LOG_ERROR, event, "another keymeterd with node.name %s %s; give each its own name",
              service->settings->node.name, what);
    meter->state = METER_REFUSED;
    meter->left = true;
    if (service->give_up) service->give_up(service->app);
}

/* The former incarnation's connection stands: a moving heartbeat is a daemon's that is alive, an
 * unmoved one a machine's that was cut off. */
static void former_look(struct meter *meter, const struct node_former *former)
{
    struct node_watch *watch = &meter->former;
    int64_t now_ms = clock_boot_ms();
    if (watch->incarnation != former->incarnation) {
        *watch = (struct node_watch){former->id, former->incarnation, former->heartbeat, now_ms, 0};
    } else if (watch->heartbeat != former->heartbeat) {
        refuse(meter, "node_name_in_use", "is running");
    } else if (now_ms - watch->since_ms >= FORMER_MS) {
        meter->former_silent = true;
    }
}

static void join_done(struct db_job *job, enum err error)
{
    struct control *control = CONTAINER_OF(job, struct control, job);
    struct meter *meter = control->meter;
    control_again(meter);
    if (!error)
        joined(meter, &control->joined, control->former.tag);
    else if (error == ERR_EXISTS && control->look)
        former_look(meter, &control->former);
    else if (error == ERR_DENIED)
        refuse(meter, "node_replaced", "joined");
    else
        log_event(LOG_WARN, "node_join_failed", "%s", err_name(error));
    free(control);
}

void meter_join(struct meter *meter)
{
    if (meter->state == METER_REFUSED) return;
    meter->state = METER_JOINING;
    if (meter->stop_asked) return; /* nothing could be written, nothing has to be */
    if (meter->control_flying || clock_mono_us() < meter->control_retry_us) return;
    struct control values = {.now_ms = clock_wall_ms(),
                             .name = meter->service->settings->node.name,
                             .tag = meter->tag,
                             .look = !meter->node && !meter->former_silent,
                             .again = meter->node != 0};
    if (!control_start(meter, join_run, join_done, &values)) control_again(meter);
}

/* To leave is to be fenced too, by oneself: no warning, and nobody joins while it stops. */
void meter_fenced(struct meter *meter)
{
    if (!meter->left) log_event(LOG_WARN, "fenced", "this node was fenced; joining anew");
    meter_join(meter);
}

/* ---- sync ---- */
static enum err sync_run(struct db *db, struct db_job *job)
{
    struct control *control = CONTAINER_OF(job, struct control, job);
    control->connection = db_serial(db);
    return feed_newest(db, &control->place);
}

static void tell_serving(struct meter *meter)
{
    const struct service *service = meter->service;
    if (meter->told_serving) return;
    meter->told_serving = true;
    if (service->serving) service->serving(service->app);
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
        meter->stats.feed_us = control->sent_us;
        meter->tiers_stale = true;
        meter->sources_stale = true;
        token_cache_clear(meter->service->tokens);
        token_cache_reload(meter->service->tokens);
        open_undo(meter);
        leases_forget(meter, false);
        meter->state = meter->stop_asked ? METER_STOPPING : METER_SERVING;
        tell_serving(meter);
        calls_decide(meter, &meter->open);
        log_event(LOG_INFO, "synced", "reading the change feed from position %llu",
                  (unsigned long long)control->place.position);
    }
    free(control);
}

void meter_sync(struct meter *meter)
{
    if (meter->state == METER_REFUSED) return;
    if (meter->unresolved) { /* its connection broke while a join was under way */
        meter_resolve(meter, meter->unresolved);
        return;
    }
    meter->state = METER_SYNCING;
    if (meter->control_flying || clock_mono_us() < meter->control_retry_us) return;
    struct control values = {.sent_us = clock_mono_us()};
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
    meter->unresolved = batch;
    if (meter->state == METER_REFUSED) return;
    meter->state = METER_RESOLVING;
    if (meter->control_flying || clock_mono_us() < meter->control_retry_us) return;
    struct control values = {
        .id = batch->id, .old_connection = batch->server_connection, .sent_us = batch->closed_us};
    if (!control_start(meter, resolve_run, resolve_done, &values)) control_again(meter);
}
