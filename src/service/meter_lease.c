/* This node's leases: when to ask the database for units, how many, and when to give them back.
 * Loop thread, but for takes_run. One transaction of takes is under way at a time, for up to 128
 * budgets. A take that hands back freezes its budget: nothing is spent from it meanwhile. */
#include "service/meter_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/lease.h"

#include <stdlib.h>

enum {
    ENDLESS_UNITS = 1000000,
    LEASE_SECONDS = 10,          /* of the recent rate */
    LEAST_RATE = 32,             /* units: a first call does not come alone */
    ASK_AGAIN_US = 15 * 1000,    /* others hold units and were asked */
    FAILED_AGAIN_US = 20 * 1000, /* the database did not answer */
    IDLE_US = 10 * 1000 * 1000,  /* unspent units go back */
};

struct take_job {
    struct db_job job;
    struct meter *meter;
    unsigned node, incarnation;
    int64_t now_ms;
    size_t count;
    struct lease_take takes[LEASE_TAKES_MAX];
    struct meter_budget *budgets[LEASE_TAKES_MAX];
    unsigned voids[LEASE_TAKES_MAX], clears[LEASE_TAKES_MAX], asks[LEASE_TAKES_MAX];
};

uint64_t budget_unspent(const struct meter_budget *budget)
{
    return budget->granted > budget->spent ? budget->granted - budget->spent : 0;
}

void budget_spend(struct meter_budget *budget, uint64_t units, int64_t now_us)
{
    budget->spent += units;
    budget->recent += units;
    budget->used_at_us = now_us;
}

static void take_queue(struct meter *meter, struct meter_budget *budget)
{
    if (budget->taking) return;
    budget->taking = true;
    list_append(&meter->take_queue, &budget->take_link);
}

void lease_want(struct meter *meter, struct meter_budget *budget, struct verify_call *call)
{
    list_remove(&call->link);
    list_append(&budget->waiters, &call->link);
    take_queue(meter, budget);
}

static uint64_t budget_want(const struct meter *meter, const struct meter_budget *budget,
                            uint64_t need)
{
    /* Nobody can miss units of a budget without end: take so many that takes are rare. */
    if (budget->known && !budget->limited) return need > ENDLESS_UNITS ? need : ENDLESS_UNITS;
    uint64_t rate = budget->rate > LEAST_RATE ? (uint64_t)budget->rate : LEAST_RATE;
    uint64_t remaining = LEASE_NO_LIMIT;
    if (budget->known && budget->limited)
        remaining = budget->available > 0 ? (uint64_t)budget->available : 0;
    return lease_size(need, LEASE_SECONDS * rate, remaining, meter->live_nodes);
}

/* Asks ahead, before calls have to wait. */
void lease_refill(struct meter *meter, struct meter_budget *budget)
{
    if (budget->taking) return;
    bool low = budget->known && !budget->exceeded && (!budget->limited || budget->available > 0) &&
               budget_unspent(budget) < budget_want(meter, budget, 0) / 4;
    if (low || budget->release) take_queue(meter, budget);
}

static void take_fill(struct meter *meter, struct meter_budget *budget, struct lease_take *take)
{
    uint64_t first = 0, all = 0;
    for (struct list *at = budget->waiters.next; at != &budget->waiters; at = at->next) {
        uint64_t cost = CONTAINER_OF(at, struct verify_call, link)->cost;
        if (at == budget->waiters.next) first = cost;
        all += cost;
    }
    bool waiting = !list_empty(&budget->waiters);
    *take = (struct lease_take){.key = budget->key,
                                .fresh = budget->fresh,
                                .spent = budget->spent,
                                .asked = budget->asked_at,
                                .need = first};
    take->hand_back = !budget->known || budget->void_ || budget->release || waiting;
    if (budget->release)
        take->want = waiting ? first : 0; /* others are short: no more than is needed now */
    else
        take->want = budget_want(meter, budget, all);
    if (!take->hand_back) take->need = 0;
    if (budget->fresh) {
        /* What this incarnation spent of it stands in the row alone. Only reading it is a take
         * whose outcome may be unknown without harm. */
        take->hand_back = false;
        take->need = take->want = 0;
    }
    budget->frozen = take->hand_back;
}

static enum err takes_run(struct db *db, struct db_job *job)
{
    struct take_job *take = CONTAINER_OF(job, struct take_job, job);
    return lease_take(db, take->node, take->incarnation, take->now_ms, take->takes, take->count);
}

/* What an incarnation finds in a row that it had dropped from memory was counted when it was taken.
 */
static void take_count(struct meter_stats *stats, const struct meter_budget *budget,
                       const struct lease_take *take)
{
    if (take->fresh) return;
    if (take->granted >= budget->granted)
        stats->lease_units_taken += take->granted - budget->granted;
    else
        stats->lease_units_returned += budget->granted - take->granted;
}

static void take_apply(struct meter_budget *budget, const struct lease_take *take, bool voided,
                       bool cleared)
{
    if (take->fresh) budget->spent = take->spent;
    budget->fresh = false;
    budget->known = true;
    budget->granted = take->granted;
    budget->limited = take->limited;
    budget->has_limit = take->has_limit;
    budget->limit = take->limit;
    budget->available = take->available;
    budget->claimed = take->claimed;
    budget->void_ = voided;
    budget->release = false;
    budget->exceeded = take->verdict == TAKE_EXCEEDED && !voided && !cleared;
    budget->asked_at = take->verdict == TAKE_WAIT ? take->asked : 0;
    budget->retry_us = take->verdict == TAKE_WAIT ? clock_mono_us() + ASK_AGAIN_US : 0;
}

static void takes_failed(struct meter *meter, struct take_job *take, enum err error)
{
    log_event(LOG_WARN, "lease_failed", "%s", err_name(error));
    for (size_t i = 0; i < take->count; i++) {
        if (error != ERR_DB_RETRY) take->budgets[i]->known = false;
        take->budgets[i]->retry_us = clock_mono_us() + FAILED_AGAIN_US;
    }
    if (error == ERR_FENCED && meter->state == METER_SERVING) meter_join(meter);
}

static void takes_done(struct db_job *job, enum err error)
{
    struct take_job *take = CONTAINER_OF(job, struct take_job, job);
    struct meter *meter = take->meter;
    bool current = take->node == meter->node && take->incarnation == meter->incarnation;
    meter->take_flying = false;
    meter->stats.takes++;
    if (error && current) takes_failed(meter, take, error);
    for (size_t i = 0; i < take->count; i++) {
        struct meter_budget *budget = take->budgets[i];
        budget->taking = budget->frozen = false;
        if (!error && current) {
            take_count(&meter->stats, budget, &take->takes[i]);
            take_apply(budget, &take->takes[i], budget->voids != take->voids[i],
                       budget->clears != take->clears[i]);
        }
        if (budget->asks != take->asks[i]) { /* asked meanwhile: what is unspent goes back */
            budget->release = true;
            take_queue(meter, budget);
        }
        calls_decide(meter, &budget->waiters);
        if (list_empty(&budget->waiters)) budget->asked_at = 0;
    }
    free(take);
}

static int budget_compare(const void *a, const void *b)
{
    const struct meter_budget *x = *(struct meter_budget *const *)a;
    const struct meter_budget *y = *(struct meter_budget *const *)b;
    return budget_key_compare(&x->key, &y->key);
}

/* Those that are due, in the order in which their rows are locked. */
static void takes_collect(struct meter *meter, struct take_job *take)
{
    int64_t now_us = clock_mono_us();
    struct list later;
    list_init(&later);
    struct list *link;
    while (take->count < LEASE_TAKES_MAX && (link = list_shift(&meter->take_queue))) {
        struct meter_budget *budget = CONTAINER_OF(link, struct meter_budget, take_link);
        if (now_us < budget->retry_us)
            list_append(&later, link);
        else
            take->budgets[take->count++] = budget;
    }
    list_splice(&meter->take_queue, &later);
    qsort(take->budgets, take->count, sizeof(void *), budget_compare);
}

void takes_start(struct meter *meter)
{
    if (meter->take_flying || list_empty(&meter->take_queue)) return;
    if (meter->state != METER_SERVING && meter->state != METER_STOPPING) return;
    struct take_job *take = calloc(1, sizeof *take);
    if (!take) return;
    take->job = (struct db_job){.run = takes_run, .done = takes_done};
    take->meter = meter;
    take->node = meter->node;
    take->incarnation = meter->incarnation;
    take->now_ms = clock_wall_ms();
    takes_collect(meter, take);
    for (size_t i = 0; i < take->count; i++) {
        take_fill(meter, take->budgets[i], &take->takes[i]);
        take->voids[i] = take->budgets[i]->voids;
        take->clears[i] = take->budgets[i]->clears;
        take->asks[i] = take->budgets[i]->asks;
    }
    if (take->count && db_submit(meter->leaser, &take->job) == ERR_OK) {
        meter->take_flying = true;
        return;
    }
    for (size_t i = 0; i < take->count; i++) {
        take->budgets[i]->frozen = false;
        take->budgets[i]->retry_us = clock_mono_us() + FAILED_AGAIN_US;
        list_append(&meter->take_queue, &take->budgets[i]->take_link);
    }
    free(take);
}

/* After an error somewhere: what a lease row says is to be read again before it is spent from. */
static void lease_forget(const struct meter *meter, struct meter_budget *budget,
                         bool new_incarnation)
{
    budget->known = budget->exceeded = false;
    budget->voids++;
    budget->asked_at = 0;
    budget->retry_us = 0;
    if (!new_incarnation) return;
    budget->incarnation = meter->incarnation;
    budget->fresh = false; /* it has no lease yet */
    budget->granted = budget->spent = 0;
}

void leases_forget(struct meter *meter, bool new_incarnation)
{
    size_t at = 0;
    for (struct meter_budget *b; (b = table_next(&meter->budgets, &at));)
        lease_forget(meter, b, new_incarnation);
    if (new_incarnation) meter->budgets_dropped = false;
}

static void budget_housekeep(struct meter *meter, struct meter_budget *budget)
{
    int64_t now_us = clock_mono_us();
    double seconds = (double)(now_us - budget->rate_since_us) / 1e6;
    if (seconds > 0.5) {
        budget->rate =
            budget->rate_since_us ? 0.5 * budget->rate + 0.5 * (double)budget->recent / seconds : 0;
        budget->recent = 0;
        budget->rate_since_us = now_us;
    }
    if (budget->known && budget_unspent(budget) && now_us - budget->used_at_us > IDLE_US) {
        budget->release = true;
        take_queue(meter, budget);
    }
}

void leases_housekeep(struct meter *meter)
{
    budgets_each(meter, budget_housekeep);
    budget_drop_idle(meter, clock_mono_us());
}

static void budget_release(struct meter *meter, struct meter_budget *budget)
{
    if (!budget->known || !budget_unspent(budget)) return;
    budget->release = true;
    take_queue(meter, budget);
}

void leases_release_all(struct meter *meter)
{
    budgets_each(meter, budget_release);
}

bool leases_idle(const struct meter *meter)
{
    return !meter->take_flying && list_empty(&meter->take_queue);
}
