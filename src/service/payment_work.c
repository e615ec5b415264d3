/* Applying readings and the clock. Called by the reconciler through the committer, on its thread.
 * What always holds: the node's row is held first, so a fenced node does nothing; a reading is
 * applied only under the customer's lock, when it is about what pays still, and no later one was
 * applied; the next reading's time stands in the same transaction; and while the wall clock is not
 * believed nothing is taken from anybody. */
#include "service/payment_work.h"

#include "base/clock.h"
#include "base/codec.h"
#include "conf/settings.h"
#include "service/context.h"
#include "service/entitle.h"
#include "store/alert.h"
#include "store/database_clock.h"
#include "store/node.h"
#include "store/payment_charge.h"

#include <stdlib.h>

/* ---- the clock ---- */

enum err payment_clock_judge(struct db *db, const struct service *service, unsigned node,
                             const struct clock_watch *watch, bool *rests)
{
    struct other_clocks others;
    *rests = false;
    if (service->settings->node.trust_clock) return ERR_OK;
    enum err error = other_clocks_read(db, node, &others);
    if (error) return error;
    struct clock_reading now = {clock_wall_ms(), clock_boot_ms(), others.database_ms,
                                others.node_ms};
    *rests = clock_watch_off_ms(watch, &now) != 0;
    return ERR_OK;
}

/* Also when it has moved since the claim. */
static bool clock_rests(const struct payment_work *work)
{
    const struct operation *operation = &work->operation;
    struct clock_reading now = {.wall_ms = operation->now_ms,
                                .boot_ms = clock_boot_ms(),
                                .database_ms = operation->now_ms - work->watch.database_offset_ms};
    if (operation->service->settings->node.trust_clock) return false;
    return work->rests || clock_watch_off_ms(&work->watch, &now) != 0;
}

/* What a reading takes away, or ends by a date, waits for a clock that is right. */
static bool gives(const struct payment_work *work)
{
    return work->renewed || (pay_status_pays(work->reading.status) && !work->reading.taken_back);
}

/* ---- readings ---- */

/* The tier that the prices buy; NULL: none. The work keeps its name alone: as many works wait
 * together as the committer takes. */
static enum err find_tier(struct db *db, struct payment_work *work,
                          const struct pay_reading *reading, const char *now, const char **slug)
{
    struct arena arena CLEANUP(arena_done) = {0};
    struct tier_row *tiers;
    size_t count;
    const struct tier *best = NULL;
    *slug = NULL;
    enum err error = tier_list(db, &arena, &tiers, &count);
    for (size_t i = 0; !error && i < count; i++) {
        const struct tier *tier = &tiers[i].tier;
        if (!pay_reading_buys(reading, tier->price_references)) continue;
        bool stays = strcmp(tier->slug, now) == 0;
        if (!best || stays || tier_is_lower(best, tier)) best = tier;
        if (stays) break;
    }
    if (!best) return error;
    *slug = arena_copy(&work->arena, span_text(best->slug));
    return *slug ? error : ERR_NO_MEMORY;
}

/* Paid, at a price that is in no tier: the tier stays, and an operator has to look. */
static enum err alert_price(struct db *db, const struct payment_work *work)
{
    char subject[ID_TEXT_SIZE];
    id_format(subject, "cus", work->due.customer_id);
    return alert_raise(db, ALERT_PRICE_UNKNOWN, subject, work->due.customer_id, NULL,
                       work->operation.now_ms);
}

/* A tier that is told outright (http); one that there is not is as a price that is in none. */
static enum err tier_told(struct db *db, const struct payment_work *work, struct pay_facts *facts)
{
    struct tier_row tier;
    if (!facts->tier) return ERR_OK;
    enum err error = tier_row_find(db, span_text(facts->tier), &tier);
    if (error != ERR_NOT_FOUND) return error;
    facts->tier = NULL;
    return work->dry ? ERR_OK : alert_price(db, work);
}

static enum err facts_fill(struct db *db, struct payment_work *work, const struct entitle *entitle,
                           const struct pay_reading *reading, struct pay_facts *facts)
{
    *facts = (struct pay_facts){
        .status = reading->status,
        .tier = reading->tier[0] ? reading->tier : NULL,
        .period_start = reading->period_start,
        .period_end = reading->period_end,
        .owes = reading->owes,
        .refunded = reading->taken_back,
    };
    if (!reading->prices[0]) return tier_told(db, work, facts);
    enum err error = find_tier(db, work, reading, entitle->before.paid_tier, &facts->tier);
    if (!error && !facts->tier && !work->dry) error = alert_price(db, work);
    return error;
}

static bool is_same(const char *one, const char *other)
{
    return one && other ? strcmp(one, other) == 0 : one == other;
}

/* What was bought anew pays from here on: only when it buys a tier, and pays for nobody else. */
static enum err renew(struct db *db, struct payment_work *work, struct entitle *entitle,
                      const struct pay_reading **reading)
{
    const struct pay_reading *next = &work->renewal;
    const char *tier;
    bool used = false;
    enum err error = find_tier(db, work, next, entitle->before.paid_tier, &tier);
    if (!error && !tier) return work->dry ? ERR_OK : alert_price(db, work);
    if (!error) error = entitlement_is_used(db, work->due.provider, next->reference, &used);
    if (error || used) return error;
    if (!work->dry)
        error = payment_read_rename(db, work->due.customer_id,
                                    next->customer[0] ? next->customer : NULL);
    entitle->row.reference = work->due.session;
    entitle->row.resolved_reference = next->reference;
    entitle->renamed = true;
    entitle->after.refunded_at = 0;
    *reading = next;
    return error;
}

static enum err apply(struct db *db, struct payment_work *work, struct entitle *entitle)
{
    const struct payment_due *due = &work->due;
    const struct pay_reading *reading = &work->reading;
    struct pay_facts facts;
    if (!is_same(entitle->row.provider, due->provider) ||
        !is_same(entitle->row.resolved_reference, due->reference))
        return ERR_NOT_FOUND;
    enum err error = ERR_OK;
    if (!work->dry)
        error = payment_read_applied(db, due->customer_id, due->ticket, due->asked,
                                     pay_status_ended(reading->status), work->next_at);
    if (!error && work->renewed) error = renew(db, work, entitle, &reading);
    if (!error) error = facts_fill(db, work, entitle, reading, &facts);
    if (!error) error = entitle_read(db, entitle, &facts);
    return error;
}

static enum err change(struct db *db, struct payment_work *work)
{
    struct customer_row customer;
    struct customer_name name = {.id = work->due.customer_id};
    struct entitle entitle = {.operation = &work->operation,
                              .customer = &customer,
                              .arena = &work->arena,
                              .cause = "clock"};
    bool clock = work->kind == PAYMENT_WORK_CLOCK;
    if (!clock) entitle.cause = work->due.urgent ? "event" : "reconcile";
    /* The clock's work comes again; a reading does not. */
    size_t locked = 1;
    enum err error = clock ? customer_try_lock(db, &name.id, 1, &work->arena, &customer, &locked)
                           : customer_lock(db, &name, &work->arena, &customer);
    if (!error && !locked) error = ERR_NOT_FOUND;
    if (!error) error = entitle_open(db, &entitle);
    entitle.rules.clock_rests = clock_rests(work);
    if (!error && clock)
        entitlement_tick(&entitle.after, &entitle.rules, work->operation.now_ms);
    else if (!error)
        error = apply(db, work, &entitle);
    if (error) return error;
    work->changed = entitle_differs(&entitle);
    work->before = entitle_describe(&entitle.before, &work->arena);
    work->after = entitle_describe(&entitle.after, &work->arena);
    return work->dry ? ERR_DENIED : entitle_save(db, &entitle);
}

/* Whose the charge is: those are read now, with a look at it. */
static enum err charge_found(struct db *db, const struct payment_work *work)
{
    const struct payment_due *due = &work->due;
    struct payment_subject subject = {.customer = span_text(work->reading.customer),
                                      .charge = span_text(due->charge)};
    uint64_t found;
    if (work->kind == PAYMENT_WORK_FAILED) return payment_charge_failed(db, due, work->next_at);
    enum err error = payment_charge_end(db, due);
    return error ? error
                 : payment_read_ask(db, due->provider, &subject, work->operation.now_ms, &found);
}

static enum err work_run(struct db *db, struct operation *operation)
{
    struct payment_work *work = CONTAINER_OF(operation, struct payment_work, operation);
    arena_done(&work->arena);
    work->changed = false;
    work->before = work->after = NULL;
    enum err error = node_hold(db, work->node, work->incarnation);
    if (error) return error;
    if (!work->due.customer_id) return charge_found(db, work);
    bool waits = clock_rests(work) && (work->kind == PAYMENT_WORK_CLOCK || !gives(work));
    if (waits && (work->kind == PAYMENT_WORK_CLOCK || work->dry)) return ERR_NOT_FOUND;
    if (waits) work->next_at = operation->now_ms + PAYMENT_READ_LEASE_MS;
    if (waits || work->kind == PAYMENT_WORK_FAILED)
        return payment_read_failed(db, work->due.customer_id, work->due.ticket, work->next_at);
    return change(db, work);
}

void payment_work_init(struct payment_work *work)
{
    work->operation.run = work_run;
}

void payment_work_done(struct payment_work *work)
{
    arena_done(&work->arena);
    arena_done(&work->texts);
}

struct payment_work *payment_work_new(struct service *service, unsigned node, unsigned incarnation)
{
    struct payment_work *work = calloc(1, sizeof *work);
    if (!work) return NULL;
    work->operation.service = service;
    work->node = node;
    work->incarnation = incarnation;
    payment_work_init(work);
    return work;
}

void payment_work_free(struct payment_work *work)
{
    payment_work_done(work);
    free(work);
}

static const char *keep(struct arena *arena, const char *text)
{
    return text ? arena_copy(arena, span_text(text)) : NULL;
}

void payment_work_take(struct payment_work *work, const struct payment_due *due)
{
    work->due = *due;
    work->due.external_id = keep(&work->texts, due->external_id);
    work->due.provider = keep(&work->texts, due->provider);
    work->due.reference = keep(&work->texts, due->reference);
    work->due.paid_tier = keep(&work->texts, due->paid_tier);
    work->due.charge = keep(&work->texts, due->charge);
    work->due.session = keep(&work->texts, due->session);
}
