/* Loading keys and tiers. Misses are single-flight by hash and batched, at most two loads under
 * way. A load is installed only when no feed row applied since its statement names what it found; a
 * call that arrives after that statement was sent is not served by it, because its secret asks
 * again. */
#include "service/meter_private.h"

#include "base/clock.h"

#include <stdlib.h>

enum { LOADS_FLYING_MAX = 2, RETRY_US = 20 * 1000 };

struct load_job {
    struct db_job job;
    struct meter *meter;
    uint64_t epoch;
    struct arena arena;
    struct key_load load;
    struct meter_secret *secrets[KEY_LOAD_MAX];
    struct list calls; /* that waited when the statement was sent */
};

struct tier_job {
    struct db_job job;
    struct meter *meter;
    uint64_t epoch;
    struct arena arena;
    struct tier_load load;
    struct list calls;
};

void load_want(struct meter *meter, struct verify_call *call, struct meter_secret *secret)
{
    list_remove(&call->link);
    list_append(&secret->waiters, &call->link);
    if (secret->loading) return;
    secret->loading = true;
    list_append(&meter->load_queue, &secret->load_link);
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
        struct meter_secret *secret = load->secrets[i];
        secret->loading = false;
        if (!error && !load_is_poisoned(load, &load->load.rows[i]))
            secret_install(meter, secret, &load->load.rows[i]);
        if (list_empty(&secret->waiters)) continue;
        /* Who came after the statement was sent waits for one of its own. */
        secret->loading = true;
        list_append(&meter->load_queue, &secret->load_link);
    }
    calls_decide(meter, &load->calls);
    arena_done(&load->arena);
    free(load);
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
    while (load->load.count < KEY_LOAD_MAX && (link = list_shift(&meter->load_queue))) {
        struct meter_secret *secret = CONTAINER_OF(link, struct meter_secret, load_link);
        load->secrets[load->load.count] = secret;
        load->load.hashes[load->load.count++] = secret->hash;
        list_splice(&load->calls, &secret->waiters);
    }
    meter->stats.loads++;
    meter->loads_flying++;
    if (db_submit(meter->loader, &load->job) == ERR_OK) return;
    meter->loads_flying--;
    for (size_t i = 0; i < load->load.count; i++)
        load->secrets[i]->loading = false;
    while ((link = list_shift(&load->calls)))
        call_answer(meter, CONTAINER_OF(link, struct verify_call, link), VERIFY_UNAVAILABLE);
    free(load);
}

static enum err tiers_run(struct db *db, struct db_job *job)
{
    struct tier_job *load = CONTAINER_OF(job, struct tier_job, job);
    return tier_load(db, &load->arena, &load->load);
}

static void tiers_install(struct meter *meter, const struct tier_load *load)
{
    for (size_t i = 0; i < load->count; i++) {
        struct meter_tier *tier = meter_tier_find(meter, span_text(load->tiers[i].slug));
        if (!tier && meter->tier_count < COUNT_OF(meter->tiers))
            tier = &meter->tiers[meter->tier_count++];
        if (tier) tier->tier = load->tiers[i];
    }
    meter->tier_loads++;
    meter->tiers_stale = false;
}

static void tiers_done(struct db_job *job, enum err error)
{
    struct tier_job *load = CONTAINER_OF(job, struct tier_job, job);
    struct meter *meter = load->meter;
    meter->tiers_loading = false;
    if (error) meter->load_retry_us = clock_mono_us() + RETRY_US;
    if (!error && load->epoch == meter->epoch && !feed_names_tiers(meter, load->load.position))
        tiers_install(meter, &load->load);
    for (struct list *link; (link = list_shift(&load->calls));) {
        struct verify_call *call = CONTAINER_OF(link, struct verify_call, link);
        /* A customer whose tier was unknown is loaded again, now that the tiers are. */
        if (call->secret->key && !call->secret->key->customer->tier) call->secret->fresh = false;
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
