/* The overview's figures. Called by api/admin_overview.c on the loop thread; figures_run is on a
 * reader's. What always holds: one reading is under way at most, it is at work a fiftieth of the
 * time, and what took less than QUICK_US is read anew for each page.
 *
 *     read ──── KEEP × as long as it took ──── old: shown, and read again ──── OLDEST: waited for
 */
#include "service/figures.h"

#include "base/clock.h"
#include "io/db_pool.h"
#include "service/context.h"

#include <stdlib.h>

enum { KEEP = 50, QUICK_US = 20000 };
static const int64_t OLDEST_US = INT64_C(600) * 1000000;

struct figures_keeper {
    struct service *service;
    struct db_job job;
    bool busy, has;
    struct list asking;
    struct figures figures, fresh;
    struct arena arena, fresh_arena; /* the texts of each */
    int64_t begun_us, read_us, took_us;
};

static enum err figures_run(struct db *db, struct db_job *job)
{
    struct figures_keeper *keeper = CONTAINER_OF(job, struct figures_keeper, job);
    struct figures *fresh = &keeper->fresh;
    arena_done(&keeper->fresh_arena);
    fresh->read_at = clock_wall_ms();
    keeper->begun_us = clock_mono_us();
    enum err error = overview_count(db, fresh->read_at, &fresh->counts);
    if (!error)
        error =
            overview_top(db, fresh->read_at, &keeper->fresh_arena, fresh->top, &fresh->top_count);
    return error;
}

static void figures_done(struct db_job *job, enum err error)
{
    struct figures_keeper *keeper = CONTAINER_OF(job, struct figures_keeper, job);
    struct list asking, *link;
    keeper->busy = false;
    if (error) {
        arena_done(&keeper->fresh_arena);
    } else {
        arena_done(&keeper->arena);
        keeper->arena = keeper->fresh_arena;
        keeper->fresh_arena = (struct arena){0};
        keeper->figures = keeper->fresh;
        keeper->read_us = clock_mono_us();
        keeper->took_us = keeper->read_us - keeper->begun_us;
        keeper->has = true;
    }
    list_init(&asking);
    list_splice(&asking, &keeper->asking);
    list_init(&keeper->asking);
    while ((link = list_shift(&asking))) {
        struct figures_ask *ask = CONTAINER_OF(link, struct figures_ask, link);
        ask->done(ask, error, error ? NULL : &keeper->figures);
    }
}

static enum err figures_start(struct figures_keeper *keeper)
{
    if (keeper->busy) return ERR_OK;
    keeper->job = (struct db_job){.run = figures_run, .done = figures_done};
    enum err error = db_submit(keeper->service->readers, &keeper->job);
    keeper->busy = !error;
    return error;
}

void figures_ask(struct figures_keeper *keeper, struct figures_ask *ask)
{
    int64_t age_us = clock_mono_us() - keeper->read_us;
    bool slow = keeper->has && keeper->took_us >= QUICK_US;
    bool old = age_us >= KEEP * keeper->took_us;
    enum err error = !slow || old ? figures_start(keeper) : ERR_OK;
    if (slow && age_us < OLDEST_US) {
        struct figures kept = keeper->figures;
        kept.kept = true;
        ask->done(ask, ERR_OK, &kept);
    } else if (error) {
        ask->done(ask, error, NULL);
    } else {
        list_append(&keeper->asking, &ask->link);
    }
}

enum err figures_new(struct figures_keeper **out, struct service *service)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return ERR_NO_MEMORY;
    (*out)->service = service;
    list_init(&(*out)->asking);
    return ERR_OK;
}

void figures_free(struct figures_keeper **keeper)
{
    if (!*keeper) return;
    arena_done(&(*keeper)->arena);
    arena_done(&(*keeper)->fresh_arena);
    free(*keeper);
    *keeper = NULL;
}
