/* Looking for due steps and doing them. A pass is a page of ids read without locks on the rotator's
 * own DB thread (look_run), then an operation of the committer for each (service/rotation_work.c),
 * so many at a time, with a rest behind them, so that a large due set leaves calls their share of
 * the machine; while pages are full and something gets done the next pass follows. What always
 * holds: one pass is under way at a time; each node goes through a page in an order of its own, and
 * what another has locked or done is passed over, so many nodes share a large due set; and while
 * the clock is not believed, which is judged also where nothing rotates by itself, nothing is done.
 * Loop thread, but for the _run functions. */
#include "service/rotator.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/table.h"
#include "conf/settings.h"
#include "core/api_key.h"
#include "core/clock_watch.h"
#include "io/loop.h"
#include "service/context.h"
#include "service/meter.h"
#include "service/rotation_work.h"
#include "service/secret_sealer.h"
#include "store/alert.h"
#include "store/database_clock.h"
#include "store/node.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TICK_MS = 1000,
    PAGE = 256,
    SLICE = 32,        /* of a page: one transaction … */
    REST_PERCENT = 20, /* … behind which calls have the machine for so much of the time it took */
    USED_LOOKED = 1000, /* retirements a pass asks about first uses */
    USED_EVERY_US = 10 * 1000 * 1000,
    RUN_US = 4 * 1000 * 1000,
    WAITING_MAX = 10000,
    MINUTE_US = 60 * 1000 * 1000,
    SUBJECT_SIZE = 80,
};

struct look {
    struct db_job job;
    struct rotator *rotator;
    unsigned node, incarnation;
    struct clock_watch watch;
    struct clock_reading now;
    bool trusted, raised, paused;
    bool rotates, used_too, count_too; /* rotates: else the clock is judged alone */
    int64_t allowance;                 /* notices and rotations that may be picked */
    bool capped;                       /* there were more */
    uint64_t cursor, waiting;
    struct rotation_work *works[2 * PAGE];
    struct rotation_pick picks[PAGE + USED_LOOKED];
    size_t count;
    bool full;
    int64_t oldest_at; /* of what is due; 0: nothing is */
};

struct rotator {
    struct service *service;
    struct db_pool *pool;
    struct loop_timer *timer;
    struct look *look; /* under way, up to the end of its operations */
    size_t next;       /* of its works, that is submitted next */
    size_t flying, progress;
    struct loop_timer *rest; /* between two slices */
    int64_t slice_us;        /* when the one under way began */
    bool resting;
    struct clock_watch watch;
    bool raised, paused, stopping;
    uint64_t cursor;
    int64_t used_us;
    int64_t allowance, allowance_us; /* notices and rotations of this minute */
    struct list runs;
    struct rotator_stats stats;
    int64_t oldest_at; /* of what was due at the last look; 0: nothing was */
    void (*closed)(void *context);
    void *closed_context;
};

/* ---- on the rotator's DB thread ---- */

static enum err alert_clock(struct db *db, const struct look *look, const char *subject,
                            int64_t off_ms)
{
    char detail[64];
    snprintf(detail, sizeof detail, "{\"seconds\":%lld}", (long long)(off_ms / 1000));
    enum err error = db_begin(db);
    if (!error) error = node_hold(db, look->node, look->incarnation);
    if (!error && off_ms)
        error = alert_raise(db, ALERT_CLOCK_MOVED, subject, 0, detail, look->now.wall_ms);
    if (!error && !off_ms)
        error = alert_settle(db, ALERT_CLOCK_MOVED, subject, "system", look->now.wall_ms);
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}

/* Sets `paused`. An alert that was acknowledged confirms the clock as it is then. */
static enum err judge_clock(struct db *db, struct look *look)
{
    char subject[SUBJECT_SIZE];
    bool open = false;
    struct other_clocks others;
    enum err error = other_clocks_read(db, look->node, &others);
    if (error) return error;
    look->now = (struct clock_reading){clock_wall_ms(), clock_boot_ms(), others.database_ms,
                                       others.node_ms};
    int64_t off_ms = clock_watch_off_ms(&look->watch, &look->now);
    look->paused = off_ms && !look->trusted;
    if (look->paused == look->raised && !look->paused) return ERR_OK;
    snprintf(subject, sizeof subject, "node/%s", look->rotator->service->settings->node.name);
    if (look->paused && look->raised) {
        error = alert_is_open(db, ALERT_CLOCK_MOVED, subject, &open);
        if (error || open) return error;
        clock_watch_confirm(&look->watch, &look->now);
        look->paused = look->raised = false;
        return ERR_OK;
    }
    error = alert_clock(db, look, subject, look->paused ? off_ms : 0);
    if (!error) look->raised = look->paused;
    return error;
}

/* The next secret and its mail, encrypted before any lock is held; whatever goes wrong makes it a
 * claim link. */
static void prepare(struct db *db, const struct look *look, struct rotation_work *work)
{
    const struct secret_sealer *sealer = work->operation.service->sealer;
    struct arena arena CLEANUP(arena_done) = {0};
    struct api_key_row key;
    if (!sealer || work->pick.step != ROTATION_ROTATE) return;
    if (api_key_find(db, work->pick.key_id, &arena, &key)) return;
    work->secret = secret_new(API_KEY_TEXT_SIZE);
    if (!work->secret) return;
    work->secret->length = api_key_make(key.label, work->secret->text);
    struct sealed_secret what = {.customer_id = key.customer_id,
                                 .key_id = key.id,
                                 .kind = "rotated",
                                 .secret = secret_span(work->secret),
                                 .now_ms = look->now.wall_ms};
    enum err error = sealer->seal(sealer, db, &what, &work->body);
    work->customer_at = what.customer_at;
    work->mail_id = what.mail_id;
    if (!error && work->body.length && !work->body.failed) return;
    if (error != ERR_NOT_FOUND)
        log_event(LOG_WARN, "seal_failed", "%s: a claim link takes its place", err_name(error));
    secret_free(&work->secret);
    buf_done(&work->body);
}

static struct rotation_work *work_new(const struct look *look, const struct rotation_pick *pick)
{
    struct rotation_work *work = calloc(1, sizeof *work);
    if (!work) return NULL;
    work->operation.service = look->rotator->service;
    work->pick = *pick;
    work->node = look->node;
    work->incarnation = look->incarnation;
    rotation_work_init(work);
    return work;
}

/* Each node has its own order of keys. */
static uint64_t order_of(const struct look *look, const struct rotation_pick *pick)
{
    return table_mix(pick->key_id ^ (uint64_t)look->node << 48);
}

static void order_picks(const struct look *look, struct rotation_pick *picks, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct rotation_pick pick = picks[i];
        size_t at = i;
        for (; at && order_of(look, &picks[at - 1]) > order_of(look, &pick); at--)
            picks[at] = picks[at - 1];
        picks[at] = pick;
    }
}

static enum err look_pick(struct db *db, struct look *look, size_t *count)
{
    size_t used = 0;
    enum err error = rotation_pick(db, look->now.wall_ms, look->picks, PAGE, count);
    if (error) return error;
    look->full = *count == PAGE;
    look->oldest_at = *count ? look->picks[0].look_at : 0;
    order_picks(look, look->picks, *count);
    if (look->used_too)
        error = rotation_pick_used(db, &look->cursor, USED_LOOKED, look->picks + *count, &used);
    *count += used;
    return error;
}

/* Notices and rotations are capped a minute; the rest is few, or ends what is over. */
static bool allowed(struct look *look, const struct rotation_pick *pick)
{
    if (pick->step != ROTATION_NOTICE && pick->step != ROTATION_ROTATE) return true;
    if (look->allowance > 0) return look->allowance--;
    look->capped = true;
    return false;
}

static enum err look_run(struct db *db, struct db_job *job)
{
    struct look *look = CONTAINER_OF(job, struct look, job);
    size_t picked = 0;
    enum err error = judge_clock(db, look);
    if (!error && !look->paused && look->rotates) error = look_pick(db, look, &picked);
    for (size_t i = 0; !error && i < picked && look->count < COUNT_OF(look->works); i++) {
        if (!allowed(look, &look->picks[i])) continue;
        struct rotation_work *work = work_new(look, &look->picks[i]);
        if (!work) return ERR_NO_MEMORY;
        prepare(db, look, work);
        look->works[look->count++] = work;
    }
    if (!error && look->count_too)
        error = rotation_waiting(db, look->now.wall_ms, WAITING_MAX, &look->waiting);
    return error;
}

/* ---- on the loop ---- */

static void pass_start(struct rotator *rotator);

static void work_free(struct rotation_work *work)
{
    rotation_work_done(work);
    free(work);
}

static void closed(void *context)
{
    struct rotator *rotator = context;
    void (*tell)(void *) = rotator->closed;
    void *tell_context = rotator->closed_context;
    free(rotator);
    tell(tell_context);
}

static void runs_end(struct rotator *rotator, uint64_t due, bool failed)
{
    struct list ended, *link;
    list_init(&ended);
    list_splice(&ended, &rotator->runs);
    while ((link = list_shift(&ended))) {
        struct rotator_run *run = CONTAINER_OF(link, struct rotator_run, link);
        run->due = due;
        run->paused = rotator->paused;
        run->failed = failed;
        run->done(run);
    }
}

static bool runs_in_time(const struct rotator *rotator)
{
    if (list_empty(&rotator->runs)) return false;
    const struct rotator_run *first = CONTAINER_OF(rotator->runs.next, struct rotator_run, link);
    return clock_mono_us() < first->until_us;
}

static void end(struct rotator *rotator)
{
    runs_end(rotator, 0, true);
    db_pool_stop(rotator->pool, closed, rotator);
}

static void pass_end(struct rotator *rotator, enum err error)
{
    struct look *look = rotator->look;
    bool more = !error && look->full && rotator->progress && !look->capped;
    bool wanted = !list_empty(&rotator->runs), counted = look->count_too;
    uint64_t due = look->waiting > rotator->progress ? look->waiting - rotator->progress : 0;
    rotator->look = NULL;
    free(look);
    if (rotator->stopping) {
        end(rotator);
        return;
    }
    /* A run ends with a look of its own that got nothing done, or when its time is over. */
    if (wanted && counted && (error || !rotator->progress || !runs_in_time(rotator)))
        runs_end(rotator, due, error != ERR_OK);
    else if (wanted || more)
        pass_start(rotator);
}

static void count_step(struct rotator *rotator, const struct rotation_work *work)
{
    struct rotator_stats *stats = &rotator->stats;
    stats->notices += work->did == ROTATION_NOTICE;
    stats->rotations += work->did == ROTATION_ROTATE;
    stats->reminders += work->did == ROTATION_REMIND;
    stats->retirements += work->did == ROTATION_RETIRE;
    stats->expiring += work->did == ROTATION_EXPIRING;
    for (struct list *at = rotator->runs.next; at != &rotator->runs; at = at->next) {
        struct rotator_run *run = CONTAINER_OF(at, struct rotator_run, link);
        run->notified += work->did == ROTATION_NOTICE;
        run->rotated += work->did == ROTATION_ROTATE;
        run->retired += work->did == ROTATION_RETIRE;
        run->others += work->did == ROTATION_REMIND || work->did == ROTATION_EXPIRING;
    }
}

static void slice_submit(struct rotator *rotator);

/* The next slice, or the pass's end. */
static void pass_go_on(struct rotator *rotator)
{
    rotator->resting = false;
    rotator->slice_us = clock_mono_us();
    if (rotator->next < rotator->look->count)
        slice_submit(rotator);
    else
        pass_end(rotator, ERR_OK);
}

static void on_rest(void *context)
{
    pass_go_on(context);
}

/* When all of the slice is done: a rest, and on. */
static void slice_part_done(struct rotator *rotator)
{
    if (--rotator->flying) return;
    int64_t took_us = clock_mono_us() - rotator->slice_us;
    if (rotator->stopping) {
        pass_go_on(rotator);
        return;
    }
    rotator->resting = true;
    loop_timer_start(rotator->rest, (uint64_t)(took_us * REST_PERCENT / 100 / 1000), 0);
}

static void work_finished(struct operation *operation, enum err error)
{
    struct rotation_work *work = CONTAINER_OF(operation, struct rotation_work, operation);
    struct rotator *rotator = operation->service->rotator;
    if (!error) {
        rotator->progress++;
        count_step(rotator, work);
    } else if (error != ERR_NOT_FOUND && error != ERR_FENCED && error != ERR_DB_RETRY) {
        rotator->stats.failed++;
        log_event(LOG_WARN, "rotation_failed", "%s", err_name(error));
    }
    work_free(work);
    slice_part_done(rotator);
}

static void allowance_fill(struct rotator *rotator)
{
    int64_t now_us = clock_mono_us(), cap = rotator->service->settings->rotation.per_minute;
    int64_t gained = (now_us - rotator->allowance_us) * cap / MINUTE_US;
    if (gained <= 0) return;
    rotator->allowance = rotator->allowance + gained < cap ? rotator->allowance + gained : cap;
    rotator->allowance_us = now_us;
}

static void slice_submit(struct rotator *rotator)
{
    struct look *look = rotator->look;
    size_t end = rotator->next + SLICE;
    if (end > look->count || rotator->stopping) end = look->count;
    rotator->flying = 1; /* until all are submitted */
    for (; rotator->next < end; rotator->next++) {
        struct rotation_work *work = look->works[rotator->next];
        work->operation.done = work_finished;
        if (rotator->stopping || operation_submit(&work->operation)) {
            work_free(work);
            continue;
        }
        rotator->flying++;
    }
    slice_part_done(rotator);
}

static void look_done(struct db_job *job, enum err error)
{
    struct look *look = CONTAINER_OF(job, struct look, job);
    struct rotator *rotator = look->rotator;
    if (!error) {
        if (look->paused && !rotator->paused)
            log_event(LOG_ERROR, "clock_moved",
                      "rotating, retiring and the ends of payments pause until the clock is right "
                      "again, or the alert is acknowledged");
        rotator->watch = look->watch;
        rotator->raised = look->raised;
        rotator->paused = look->paused;
        rotator->cursor = look->cursor;
        rotator->progress = rotator->next = 0;
        rotator->allowance = look->allowance;
        if (!look->paused) rotator->oldest_at = look->oldest_at;
        slice_submit(rotator);
        return;
    }
    if (error != ERR_FENCED && error != ERR_CLOSED) {
        rotator->stats.failed++;
        log_event(LOG_WARN, "rotation_look_failed", "%s", err_name(error));
    }
    for (size_t i = 0; i < look->count; i++)
        work_free(look->works[i]);
    rotator->progress = 0;
    pass_end(rotator, error);
}

static void pass_start(struct rotator *rotator)
{
    struct look *look = calloc(1, sizeof *look);
    bool joined = look && meter_identity(rotator->service->meter, &look->node, &look->incarnation);
    allowance_fill(rotator);
    if (joined) {
        look->job = (struct db_job){.run = look_run, .done = look_done};
        look->rotator = rotator;
        look->watch = rotator->watch;
        look->trusted = rotator->service->settings->node.trust_clock;
        look->raised = rotator->raised;
        look->cursor = rotator->cursor;
        look->allowance = rotator->allowance;
        look->count_too = !list_empty(&rotator->runs);
        look->rotates = look->count_too || settings_rotates(rotator->service->settings);
        look->used_too = look->count_too ||
                         (look->rotates && clock_mono_us() - rotator->used_us > USED_EVERY_US);
        if (look->used_too) rotator->used_us = clock_mono_us();
        rotator->look = look;
        rotator->slice_us = clock_mono_us();
        if (db_submit(rotator->pool, &look->job) == ERR_OK) return;
        rotator->look = NULL;
    }
    free(look);
}

static void on_tick(void *context)
{
    struct rotator *rotator = context;
    if (rotator->look) return;
    if (!list_empty(&rotator->runs) && !runs_in_time(rotator)) runs_end(rotator, 0, true);
    pass_start(rotator);
}

void rotator_run(struct rotator *rotator, struct rotator_run *run)
{
    run->until_us = clock_mono_us() + RUN_US;
    list_append(&rotator->runs, &run->link);
    if (!rotator->look) pass_start(rotator);
}

bool rotator_is_paused(const struct rotator *rotator)
{
    return rotator->paused;
}

void rotator_get_stats(const struct rotator *rotator, struct rotator_stats *stats)
{
    int64_t late_ms = rotator->oldest_at ? clock_wall_ms() - rotator->oldest_at : 0;
    *stats = rotator->stats;
    stats->late_s = late_ms > 0 ? (uint64_t)late_ms / 1000 : 0;
}

void rotator_watch(const struct rotator *rotator, struct clock_watch *out)
{
    *out = rotator->watch;
}

enum err rotator_new(struct rotator **out, struct service *service)
{
    struct db_pool_config pool = {
        .name = "rotation", .db = *service->database, .threads = 1, .queue_limit = 2, .nice = 5};
    struct rotator *rotator = calloc(1, sizeof *rotator);
    if (!rotator) return ERR_NO_MEMORY;
    rotator->service = service;
    rotator->allowance = service->settings->rotation.per_minute;
    rotator->allowance_us = clock_mono_us();
    clock_watch_begin(&rotator->watch, clock_wall_ms(), clock_boot_ms());
    list_init(&rotator->runs);
    enum err error = loop_timer_new(&rotator->timer, service->loop, on_tick, rotator);
    if (!error) error = loop_timer_new(&rotator->rest, service->loop, on_rest, rotator);
    if (!error) error = db_pool_new(&rotator->pool, service->loop, &pool);
    if (error) {
        loop_timer_free(&rotator->rest);
        loop_timer_free(&rotator->timer);
        free(rotator);
        return error;
    }
    loop_timer_start(rotator->timer, TICK_MS, TICK_MS);
    *out = rotator;
    return ERR_OK;
}

void rotator_stop(struct rotator *rotator, void (*tell)(void *context), void *context)
{
    rotator->closed = tell;
    rotator->closed_context = context;
    rotator->stopping = true;
    loop_timer_free(&rotator->timer);
    loop_timer_free(&rotator->rest);
    if (rotator->resting)
        pass_go_on(rotator); /* in the place of its timer; gone with it */
    else if (!rotator->look)
        end(rotator);
}
