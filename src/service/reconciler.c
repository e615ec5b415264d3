/* The reconciler. A look claims what is due (events first) on its own DB thread, others a little
 * ahead of the rate, so that they are there when it allows them; each claimed customer is read at
 * the provider, and what was read is an operation of the committer (service/payment_work.c). What
 * always holds: no more readings are begun than the rate allows, nor more than CONCURRENT at once;
 * a provider that does not answer is left alone for a while; and a reading that is lost with its
 * node is begun anew by another, because its row is due again after a minute. Loop thread, but for
 * the _run functions. */
#include "service/reconciler.h"

#include "base/clock.h"
#include "base/log.h"
#include "conf/settings.h"
#include "core/pace.h"
#include "io/loop.h"
#include "service/context.h"
#include "service/meter.h"
#include "service/payment.h"
#include "service/payment_work.h"
#include "service/rotator.h"
#include "store/entitlement.h"

#include <sodium.h>
#include <stdlib.h>

enum {
    TICK_MS = 100,
    LOOK_TICKS = 5,    /* while nothing is known to be due */
    COUNT_LOOKS = 20,  /* between two counts of what is due */
    COUNT_MAX = 10000, /* how far it is counted */
    CONCURRENT = 32,
    APPLYING_MAX = 128, /* read, and with the committer */
    CLAIM_MAX = 256,
    QUEUE_MAX = 128,
    AHEAD_US = 500 * 1000, /* what may begin until then is claimed */
    CLOCK_MAX = 128,
    FAILURES_FREE = 3,      /* in a row, before the provider is left alone */
    PAGE_REST_US = 2000000, /* so long a rest a page waits for */
    REST_MAX_S = 30,
    RETRY_S = 2,
    PAGE_SECONDS = 3, /* of the rate: what a page may take */
    PAGES_MAX = 4,    /* at once: whoever asks again and again gets no more memory */
    LATE_MS = 2 * CLOCK_TOLERANCE_MS, /* behind the latest time that a right clock writes */
};

/* One customer that is read. */
struct reading {
    struct list link; /* the reconciler's queue */
    struct reconciler *reconciler;
    struct payment_ask ask;
    struct payment_work *work;
    struct reconcile_page *page; /* NULL: due by itself */
    size_t at;                   /* in the page */
};

struct look {
    struct db_job job;
    struct reconciler *reconciler;
    unsigned node, incarnation;
    const char *provider;
    size_t limit, count, clock_count;
    struct payment_due *due;
    uint64_t clock[CLOCK_MAX];
    struct clock_watch watch;
    bool rests;  /* the clock is not believed */
    bool events; /* alone */
    bool with_counts;
    uint64_t due_now;
    int64_t oldest_at;
    struct arena arena;
};

struct reconciler {
    struct service *service;
    struct db_pool *pool;
    struct loop_timer *timer;
    struct loop_timer *next; /* when the rate allows the first of the queue */
    struct look *look;
    struct list queue;
    size_t queued;
    unsigned flying;   /* readings and operations */
    unsigned asking;   /* readings among them … */
    unsigned applying; /* … and what was read */
    unsigned pages;    /* that somebody asked for */
    bool more;         /* others than events are due, too */
    bool pumping, stopping, stopped;
    struct pace pace;
    int64_t rest_until_us;
    unsigned failures; /* in a row */
    unsigned ticks, looks;
    struct reconciler_stats stats;
    void (*closed)(void *context);
    void *closed_context;
};

static void pump(struct reconciler *reconciler);
static void look_start(struct reconciler *reconciler);

/* ---- the end of things ---- */

static void pool_closed(void *context)
{
    struct reconciler *reconciler = context;
    void (*tell)(void *) = reconciler->closed;
    void *tell_context = reconciler->closed_context;
    free(reconciler);
    tell(tell_context);
}

static void stop_if_idle(struct reconciler *reconciler)
{
    if (!reconciler->stopping || reconciler->stopped || reconciler->look || reconciler->flying)
        return;
    reconciler->stopped = true;
    db_pool_stop(reconciler->pool, pool_closed, reconciler);
}

/* How many others than events are to be claimed: when half of what may begin soon is gone. */
static size_t room(const struct reconciler *reconciler)
{
    size_t soon = pace_free(&reconciler->pace, clock_mono_us() + AHEAD_US);
    if (soon > QUEUE_MAX) soon = QUEUE_MAX;
    return reconciler->queued <= soon / 2 ? soon - reconciler->queued : 0;
}

static void landed(struct reconciler *reconciler)
{
    reconciler->flying--;
    pump(reconciler);
    if (reconciler->more && !reconciler->queued && room(reconciler)) look_start(reconciler);
    stop_if_idle(reconciler);
}

static void page_landed(struct reconcile_page *page)
{
    if (--page->left) return;
    page->reconciler->pages--;
    page->done(page, page->error);
}

/* The reading is over, its work committed or not. */
static void reading_end(struct reading *reading, enum err error)
{
    struct reconciler *reconciler = reading->reconciler;
    struct reconcile_page *page = reading->page;
    bool computed = !error || (error == ERR_DENIED && reading->work->dry);
    if (!computed && error != ERR_NOT_FOUND && error != ERR_FENCED)
        log_event(LOG_WARN, "payment_not_applied", "%s", err_name(error));
    if (!error && reading->work->changed) reconciler->stats.changed++;
    if (!error && !reading->work->due.customer_id)
        reconciler->more = true; /* its customer is due */
    if (page) {
        page->unread[reading->at] |= !computed && error != ERR_NOT_FOUND;
        page_landed(page);
    } else {
        payment_work_free(reading->work);
    }
    buf_done(&reading->ask.body);
    free(reading);
    landed(reconciler);
}

static void work_finished(struct operation *operation, enum err error)
{
    struct payment_work *work = CONTAINER_OF(operation, struct payment_work, operation);
    operation->service->reconciler->applying--;
    reading_end(work->context, error);
}

static void clock_finished(struct operation *operation, enum err error)
{
    struct payment_work *work = CONTAINER_OF(operation, struct payment_work, operation);
    struct reconciler *reconciler = operation->service->reconciler;
    if (error && error != ERR_NOT_FOUND && error != ERR_FENCED && error != ERR_DB_RETRY)
        log_event(LOG_WARN, "payment_clock_failed", "%s", err_name(error));
    payment_work_free(work);
    landed(reconciler);
}

/* ---- reading ---- */

/* Spread, so that those who came together do not stay together. */
static int64_t next_regular(const struct reconciler *reconciler)
{
    uint32_t every_ms = reconciler->service->settings->payment.reconcile_ms;
    return clock_wall_ms() + every_ms - every_ms / 8 + randombytes_uniform(every_ms / 8 + 1);
}

static int64_t next_after_failure(const struct reconciler *reconciler, uint32_t failures)
{
    int64_t wait_ms = (int64_t)RETRY_S * 1000 << (failures < 16 ? failures : 16);
    int64_t every_ms = reconciler->service->settings->payment.reconcile_ms;
    return clock_wall_ms() + (wait_ms < every_ms ? wait_ms : every_ms);
}

/* One whose answer is of no use is asked again later, and holds up nobody else; a provider that
 * gives none is left alone, and those under way when that began make it no longer. */
static void provider_answered(struct reconciler *reconciler, const struct payment_ask *ask,
                              bool read)
{
    int64_t rest_s = ask->busy_s, now_us = clock_mono_us();
    bool silent = !read && !ask->heard;
    reconciler->stats.read += read;
    reconciler->stats.failed += !read;
    if (!silent) reconciler->failures = 0;
    if (silent && now_us >= reconciler->rest_until_us && !rest_s &&
        ++reconciler->failures >= FAILURES_FREE) {
        unsigned doubled = reconciler->failures - FAILURES_FREE;
        rest_s = doubled < 5 ? INT64_C(1) << doubled : REST_MAX_S;
    }
    if (rest_s) reconciler->rest_until_us = now_us + rest_s * 1000000;
}

/* How often the provider may be asked for it. */
static unsigned calls_of(const struct payment_due *due)
{
    if (!due->customer_id) return 1;
    return 1 + (due->session != NULL) + 2 * (due->charge != NULL);
}

static void read_done(struct payment_ask *ask, enum payment_result result)
{
    struct reading *reading = CONTAINER_OF(ask, struct reading, ask);
    struct reconciler *reconciler = reading->reconciler;
    struct payment_work *work = reading->work;
    bool answered = result == PAYMENT_CONFIRMED;
    reconciler->asking--;
    for (unsigned calls = calls_of(&work->due); calls; calls--)
        pace_end(&reconciler->pace, clock_mono_us());
    provider_answered(reconciler, ask, answered);
    if (answered) {
        work->kind = PAYMENT_WORK_READ;
        work->reading = ask->reading;
        work->renewal = ask->renewal;
        work->renewed = ask->renewed;
        work->next_at = next_regular(reconciler);
    } else {
        if (reading->page) reading->page->unread[reading->at] = true;
        work->kind = PAYMENT_WORK_FAILED;
        work->next_at = next_after_failure(reconciler, work->due.failures);
    }
    bool nothing = !answered && work->dry;
    enum err error = nothing ? ERR_NOT_FOUND : operation_submit(&work->operation);
    if (error) {
        reading_end(reading, error);
    } else {
        reconciler->applying++;
        pump(reconciler);
    }
}

static void reading_start(struct reading *reading)
{
    struct reconciler *reconciler = reading->reconciler;
    const struct payment_due *due = &reading->work->due;
    reconciler->flying++;
    reconciler->asking++;
    reading->ask = (struct payment_ask){.external_id = due->external_id,
                                        .tier = due->paid_tier,
                                        .reference = due->reference,
                                        .charge = due->charge,
                                        .session = due->session,
                                        .again = true,
                                        .done = read_done};
    if (payment_check(reconciler->service, &reading->ask) != ERR_OK)
        read_done(&reading->ask, PAYMENT_UNKNOWN);
}

/* When it does not, what ends is what goes on; where only the rate forbids, the time. */
static bool may_read(struct reconciler *reconciler, unsigned calls)
{
    int64_t now_us = clock_mono_us();
    if (reconciler->stopping || reconciler->service->draining || reconciler->asking >= CONCURRENT ||
        reconciler->applying >= APPLYING_MAX || now_us < reconciler->rest_until_us)
        return false;
    int64_t wait_us = pace_wait_us(&reconciler->pace, calls, now_us);
    if (wait_us > 0) loop_timer_start(reconciler->next, (uint64_t)wait_us / 1000 + 1, 0);
    return wait_us == 0;
}

/* Of a reading that was taken from the queue. */
static void reading_drop(struct reading *reading)
{
    reading->reconciler->queued--;
    reading->reconciler->flying++;
    if (reading->page) reading->page->unread[reading->at] = true;
    reading_end(reading, ERR_NOT_FOUND);
}

static void queue_drop(struct reconciler *reconciler)
{
    struct list *link;
    while ((link = list_shift(&reconciler->queue)))
        reading_drop(CONTAINER_OF(link, struct reading, link));
}

/* Somebody waits for a page: what the provider's rest would hold up for long is told as not read.
 */
static void pages_give_up(struct reconciler *reconciler)
{
    if (reconciler->rest_until_us - clock_mono_us() <= PAGE_REST_US) return;
    struct list late;
    list_init(&late);
    for (struct list *at = reconciler->queue.next, *next; at != &reconciler->queue; at = next) {
        next = at->next;
        if (!CONTAINER_OF(at, struct reading, link)->page) continue;
        list_remove(at);
        list_append(&late, at);
    }
    for (struct list *link; (link = list_shift(&late));)
        reading_drop(CONTAINER_OF(link, struct reading, link));
}

/* Not again inside itself, by a reading that ends as it begins: the outer one goes on. */
static void pump(struct reconciler *reconciler)
{
    if (reconciler->pumping) return;
    reconciler->pumping = true;
    pages_give_up(reconciler);
    while (!list_empty(&reconciler->queue)) {
        struct reading *reading = CONTAINER_OF(reconciler->queue.next, struct reading, link);
        unsigned calls = calls_of(&reading->work->due);
        if (!may_read(reconciler, calls)) break;
        list_remove(&reading->link);
        reconciler->queued--;
        for (; calls; calls--)
            pace_begin(&reconciler->pace);
        reading_start(reading);
    }
    reconciler->pumping = false;
}

/* ---- what is to be read ---- */

static bool is_event(const struct list *link)
{
    return CONTAINER_OF(link, struct reading, link)->work->due.urgent;
}

/* Events go first, in their order: a page that somebody asked for may be long. */
static void queue_insert(struct reconciler *reconciler, struct reading *reading)
{
    struct list *head = &reconciler->queue, *at = head;
    if (reading->work->due.urgent)
        for (at = head->next; at != head && is_event(at);)
            at = at->next;
    list_append(at, &reading->link);
    reconciler->queued++;
}

/* NULL: no memory; the row is due again in a minute. */
static struct reading *reading_queue(struct reconciler *reconciler, const struct payment_due *due,
                                     unsigned node, unsigned incarnation)
{
    struct reading *reading = calloc(1, sizeof *reading);
    struct payment_work *work = payment_work_new(reconciler->service, node, incarnation);
    if (!reading || !work) {
        free(reading);
        free(work);
        return NULL;
    }
    payment_work_take(work, due);
    work->context = reading;
    work->operation.done = work_finished;
    reading->reconciler = reconciler;
    reading->work = work;
    queue_insert(reconciler, reading);
    return reading;
}

static enum err look_run(struct db *db, struct db_job *job)
{
    struct look *look = CONTAINER_OF(job, struct look, job);
    const struct service *service = look->reconciler->service;
    enum err error = payment_clock_judge(db, service, look->node, &look->watch, &look->rests);
    int64_t now_ms = clock_wall_ms();
    int64_t latest_ms = now_ms + service->settings->payment.reconcile_ms + LATE_MS;
    if (!error && look->limit)
        error = payment_read_claim(db, look->node, look->incarnation, look->provider, now_ms,
                                   look->rests || look->events ? 0 : latest_ms, look->limit,
                                   &look->arena, &look->due, &look->count);
    if (!error && !look->rests)
        error = entitlement_pick(db, now_ms, look->clock, CLOCK_MAX, &look->clock_count);
    if (!error && look->with_counts)
        error = payment_read_waiting(db, now_ms, COUNT_MAX, &look->due_now, &look->oldest_at);
    return error;
}

static void clock_submit(struct reconciler *reconciler, const struct look *look)
{
    for (size_t i = 0; i < look->clock_count && !reconciler->stopping; i++) {
        struct payment_work *work =
            payment_work_new(reconciler->service, look->node, look->incarnation);
        if (!work) return;
        work->watch = look->watch;
        work->due.customer_id = look->clock[i];
        work->operation.done = clock_finished;
        if (operation_submit(&work->operation) != ERR_OK) {
            payment_work_free(work);
            return;
        }
        reconciler->flying++;
    }
}

static void look_done(struct db_job *job, enum err error)
{
    struct look *look = CONTAINER_OF(job, struct look, job);
    struct reconciler *reconciler = look->reconciler;
    reconciler->look = NULL;
    bool full = !error && look->limit && look->count == look->limit;
    if (full || error || (look->limit && !look->events)) reconciler->more = full;
    if (!error && look->with_counts) {
        int64_t late_ms = look->oldest_at ? clock_wall_ms() - look->oldest_at : 0;
        reconciler->stats.due = look->due_now;
        reconciler->stats.late_s = late_ms > 0 ? (uint64_t)late_ms / 1000 : 0;
    }
    if (error && error != ERR_FENCED && error != ERR_CLOSED)
        log_event(LOG_WARN, "payment_look_failed", "%s", err_name(error));
    for (size_t i = 0; !error && i < look->count; i++) {
        struct reading *reading =
            reading_queue(reconciler, &look->due[i], look->node, look->incarnation);
        if (!reading) break;
        reading->work->watch = look->watch;
        reading->work->rests = look->rests;
    }
    if (!error) clock_submit(reconciler, look);
    arena_done(&look->arena);
    free(look);
    if (reconciler->stopping) queue_drop(reconciler);
    pump(reconciler);
    stop_if_idle(reconciler);
}

/* Only what can be read soon is claimed: *events when enough wait, who let events alone by. */
static size_t claim_limit(const struct reconciler *reconciler, bool *events)
{
    const struct list *queue = &reconciler->queue;
    size_t may = room(reconciler);
    *events = !may;
    if (reconciler->service->settings->payment.provider == PAYMENT_PROVIDER_NONE ||
        clock_mono_us() < reconciler->rest_until_us ||
        (!list_empty(queue) && is_event(queue->next)))
        return 0;
    if (*events && !list_empty(queue)) may = reconciler->pace.rate;
    return may < CLAIM_MAX ? may : CLAIM_MAX;
}

static void look_start(struct reconciler *reconciler)
{
    struct service *service = reconciler->service;
    if (reconciler->look || reconciler->stopping || service->draining) return;
    struct look *look = calloc(1, sizeof *look);
    if (look && meter_identity(service->meter, &look->node, &look->incarnation)) {
        look->job = (struct db_job){.run = look_run, .done = look_done};
        look->reconciler = reconciler;
        look->provider = payment_provider_name(service);
        look->limit = claim_limit(reconciler, &look->events);
        rotator_watch(service->rotator, &look->watch);
        look->with_counts = reconciler->looks++ % COUNT_LOOKS == 0;
        reconciler->look = look;
        if (db_submit(reconciler->pool, &look->job) == ERR_OK) return;
        reconciler->look = NULL;
    }
    free(look);
}

static void on_tick(void *context)
{
    struct reconciler *reconciler = context;
    pump(reconciler);
    bool looks = reconciler->ticks++ % LOOK_TICKS == 0;
    if (looks || (reconciler->more && room(reconciler))) look_start(reconciler);
}

static void on_next(void *context)
{
    pump(context);
}

void reconciler_wake(struct reconciler *reconciler)
{
    pump(reconciler);
    look_start(reconciler);
}

/* ---- a page that somebody asked for ---- */

static enum err page_run(struct db *db, struct db_job *job)
{
    struct reconcile_page *page = CONTAINER_OF(job, struct reconcile_page, job);
    const struct service *service = page->reconciler->service;
    const char *provider = payment_provider_name(service);
    enum err error = payment_clock_judge(db, service, page->node, &page->watch, &page->rests);
    if (error) return error;
    return payment_read_page(db, page->node, page->incarnation, provider, page->after, !page->dry,
                             clock_wall_ms(), page->limit, &page->arena, &page->due,
                             &page->due_count, &page->last);
}

static void page_add(struct reconcile_page *page, struct reading *reading)
{
    reading->page = page;
    reading->at = page->count;
    reading->work->dry = page->dry;
    reading->work->watch = page->watch;
    reading->work->rests = page->rests;
    page->works[page->count++] = reading->work;
    page->left++;
}

static void page_found(struct db_job *job, enum err error)
{
    struct reconcile_page *page = CONTAINER_OF(job, struct reconcile_page, job);
    struct reconciler *reconciler = page->reconciler;
    page->error = error;
    page->left = 1; /* until all are queued */
    for (size_t i = 0; !error && i < page->due_count; i++) {
        struct reading *reading =
            reading_queue(reconciler, &page->due[i], page->node, page->incarnation);
        if (!reading) {
            page->last = i ? page->due[i - 1].customer_id : page->after;
            break;
        }
        page_add(page, reading);
    }
    reconciler->flying--;
    if (reconciler->stopping) queue_drop(reconciler);
    pump(reconciler);
    page_landed(page);
    stop_if_idle(reconciler);
}

enum err reconcile_page_start(struct reconciler *reconciler, struct reconcile_page *page)
{
    size_t most = (size_t)reconciler->service->settings->payment.reads_per_second * PAGE_SECONDS;
    if (page->limit > most) page->limit = most;
    if (page->limit > COUNT_OF(page->works)) page->limit = COUNT_OF(page->works);
    page->reconciler = reconciler;
    if (reconciler->stopping) return ERR_CLOSED;
    if (reconciler->pages == PAGES_MAX) return ERR_FULL;
    if (!meter_identity(reconciler->service->meter, &page->node, &page->incarnation))
        return ERR_FENCED;
    rotator_watch(reconciler->service->rotator, &page->watch);
    page->job = (struct db_job){.run = page_run, .done = page_found};
    enum err error = db_submit(reconciler->pool, &page->job);
    reconciler->flying += !error;
    reconciler->pages += !error;
    return error;
}

void reconcile_page_done(struct reconcile_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        payment_work_free(page->works[i]);
    page->count = 0;
    arena_done(&page->arena);
}

/* ---- the whole ---- */

void reconciler_get_stats(const struct reconciler *reconciler, struct reconciler_stats *stats)
{
    *stats = reconciler->stats;
    stats->under_way = reconciler->asking;
}

enum err reconciler_new(struct reconciler **out, struct service *service)
{
    struct reconciler *reconciler = calloc(1, sizeof *reconciler);
    if (!reconciler) return ERR_NO_MEMORY;
    struct db_pool_config pool = {
        .name = "payment", .db = *service->database, .threads = 1, .queue_limit = 64};
    reconciler->service = service;
    pace_init(&reconciler->pace, service->settings->payment.reads_per_second);
    list_init(&reconciler->queue);
    enum err error = loop_timer_new(&reconciler->timer, service->loop, on_tick, reconciler);
    if (!error) error = loop_timer_new(&reconciler->next, service->loop, on_next, reconciler);
    if (!error) error = db_pool_new(&reconciler->pool, service->loop, &pool);
    if (error) {
        loop_timer_free(&reconciler->timer);
        loop_timer_free(&reconciler->next);
        free(reconciler);
        return error;
    }
    loop_timer_start(reconciler->timer, TICK_MS, TICK_MS);
    *out = reconciler;
    return ERR_OK;
}

void reconciler_stop(struct reconciler *reconciler, void (*closed)(void *context), void *context)
{
    reconciler->closed = closed;
    reconciler->closed_context = context;
    reconciler->stopping = true;
    loop_timer_free(&reconciler->timer);
    loop_timer_free(&reconciler->next);
    queue_drop(reconciler);
    stop_if_idle(reconciler);
}
