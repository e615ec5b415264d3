/* Loading keys and tiers. Misses are single-flight by hash and batched, at most two loads under
 * way. A load is installed only when no feed row applied since its statement names what it found; a
 * call that arrives after that statement was sent is not served by it, because its secret asks
 * again. */
#include "service/meter_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "service/context.h"
#include "store/import.h"

#include <stdlib.h>

enum { LOADS_FLYING_MAX = 2, RETRY_US = 20 * 1000 };

struct load_job {
    struct db_job job;
    struct meter *meter;
    uint32_t epoch;
    struct arena arena;
    struct key_load load;
    struct meter_load *loads[KEY_LOAD_MAX];
    uint32_t sources_at[KEY_LOAD_MAX];
    struct import_hashes *alternates[KEY_LOAD_MAX]; /* taken over from the loads */
    struct list calls;                              /* that waited when the statement was sent */
};

struct tier_job {
    struct db_job job;
    struct meter *meter;
    uint32_t epoch;
    struct arena arena;
    struct tier_load load;
    struct import_sources sources;
    struct list calls;
};

void load_want(struct meter *meter, struct verify_call *call, struct meter_secret *secret)
{
    list_remove(&call->link);
    if (!secret->load) {
        struct meter_load *load = calloc(1, sizeof *load);
        if (!load) return; /* the call runs into max_wait */
        load->secret = secret;
        list_init(&load->waiters);
        secret->load = load;
        list_append(&meter->load_queue, &load->link);
    }
    import_alternates(meter, secret->load, call->text);
    list_append(&secret->load->waiters, &call->link);
}

void load_end(struct meter_secret *secret)
{
    if (!secret->load) return;
    list_remove(&secret->load->link);
    free(secret->load->alternates);
    free(secret->load);
    secret->load = NULL;
}

static enum err load_run(struct db *db, struct db_job *job)
{
    struct load_job *load = CONTAINER_OF(job, struct load_job, job);
    return key_load(db, &load->arena, &load->load);
}

/* An applied feed row newer than the load's statement names what was loaded, or may do. */
static bool load_is_poisoned(const struct load_job *load, const struct key_load_row *row)
{
    return load->epoch != load->meter->epoch ||
           feed_names_row(load->meter, load->load.position, row);
}

static void load_done(struct db_job *job, enum err error)
{
    struct load_job *load = CONTAINER_OF(job, struct load_job, job);
    struct meter *meter = load->meter;
    meter->loads_flying--;
    if (error) meter->load_retry_us = clock_mono_us() + RETRY_US;
    for (size_t i = 0; i < load->load.count; i++) {
        struct meter_load *wanted = load->loads[i];
        const struct key_load_row *row = &load->load.rows[i];
        if (!error && !load_is_poisoned(load, row)) {
            secret_install(meter, wanted->secret, row, load->sources_at[i]);
            if (row->found && row->imported) import_replace_soon(meter, row);
        }
        free(load->alternates[i]);
        /* Who came after the statement was sent waits for one of its own. */
        if (list_empty(&wanted->waiters))
            load_end(wanted->secret);
        else
            list_append(&meter->load_queue, &wanted->link);
    }
    calls_decide(meter, &load->calls);
    arena_done(&load->arena);
    free(load);
}

/* The next one goes with this statement. */
static void load_take(struct load_job *load, struct meter_load *wanted)
{
    size_t at = load->load.count++;
    list_remove(&wanted->link);
    load->loads[at] = wanted;
    load->load.hashes[at] = wanted->secret->hash;
    load->load.alternates[at] = load->alternates[at] = wanted->alternates;
    load->sources_at[at] = wanted->sources_at;
    wanted->alternates = NULL;
    list_splice(&load->calls, &wanted->waiters);
}

static size_t load_places(const struct meter_load *wanted)
{
    return 1 + (wanted->alternates ? wanted->alternates->count : 0);
}

static void load_start(struct meter *meter)
{
    struct load_job *load = calloc(1, sizeof *load);
    if (!load) return;
    load->job = (struct db_job){.run = load_run, .done = load_done};
    load->meter = meter;
    load->epoch = meter->epoch;
    list_init(&load->calls);
    struct list *link;
    for (size_t places = 0; !list_empty(&meter->load_queue);) {
        struct meter_load *wanted = CONTAINER_OF(meter->load_queue.next, struct meter_load, link);
        places += load_places(wanted);
        if (places > KEY_LOAD_MAX) break;
        load_take(load, wanted);
    }
    meter->stats.loads++;
    meter->loads_flying++;
    if (db_submit(meter->loader, &load->job) == ERR_OK) return;
    meter->loads_flying--;
    for (size_t i = 0; i < load->load.count; i++) {
        free(load->alternates[i]);
        load_end(load->loads[i]->secret);
    }
    while ((link = list_shift(&load->calls)))
        call_answer(meter, CONTAINER_OF(link, struct verify_call, link), VERIFY_UNAVAILABLE);
    free(load);
}

static enum err tiers_run(struct db *db, struct db_job *job)
{
    struct tier_job *load = CONTAINER_OF(job, struct tier_job, job);
    enum err error = tier_load(db, &load->arena, &load->load);
    /* Sources are only added: what is read behind the tiers' position lacks none that stood there.
     */
    if (error) return error;
    return import_sources_load(db, load->meter->service->keyring, &load->sources);
}

static void tiers_install(struct meter *meter, const struct tier_load *load,
                          struct import_sources *sources)
{
    for (size_t i = 0; i < load->count; i++) {
        if (!meter_tier_set(meter, &load->tiers[i]))
            log_event(LOG_ERROR, "tier_dropped", "no room for tier %s", load->tiers[i].slug);
    }
    meter->tier_loads++;
    meter->tiers_stale = false;
    sources_install(meter, sources);
}

static void tiers_done(struct db_job *job, enum err error)
{
    struct tier_job *load = CONTAINER_OF(job, struct tier_job, job);
    struct meter *meter = load->meter;
    meter->tiers_loading = false;
    if (error) meter->load_retry_us = clock_mono_us() + RETRY_US;
    if (!error && load->epoch == meter->epoch && !feed_names_tiers(meter, load->load.position))
        tiers_install(meter, &load->load, &load->sources);
    import_sources_free(&load->sources);
    for (struct list *link; (link = list_shift(&load->calls));) {
        struct verify_call *call = CONTAINER_OF(link, struct verify_call, link);
        /* A customer whose tier was unknown is loaded again, now that the tiers are. */
        if (call->secret->key && !call->secret->key->customer->tier) {
            call->secret->fresh = false;
            meter->load_retry_us = clock_mono_us() + RETRY_US; /* it may be unknown again */
        }
        call_decide(meter, call);
    }
    arena_done(&load->arena);
    free(load);
}

static void tiers_start(struct meter *meter)
{
    struct tier_job *load = calloc(1, sizeof *load);
    if (!load) return;
    load->job = (struct db_job){.run = tiers_run, .done = tiers_done};
    load->meter = meter;
    load->epoch = meter->epoch;
    list_init(&load->calls);
    list_splice(&load->calls, &meter->tier_waiters);
    meter->tiers_loading = true;
    if (db_submit(meter->loader, &load->job) == ERR_OK) return;
    meter->tiers_loading = false;
    list_splice(&meter->tier_waiters, &load->calls);
    free(load);
}

void load_tiers_want(struct meter *meter, struct verify_call *call)
{
    list_remove(&call->link);
    list_append(&meter->tier_waiters, &call->link);
}

void loads_start(struct meter *meter)
{
    if (meter->state != METER_SERVING && meter->state != METER_STOPPING) return;
    if (clock_mono_us() < meter->load_retry_us) return;
    if (!list_empty(&meter->tier_waiters) && !meter->tiers_loading) tiers_start(meter);
    while (!list_empty(&meter->load_queue) && meter->loads_flying < LOADS_FLYING_MAX)
        load_start(meter);
}
