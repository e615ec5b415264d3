/* What runs beside the calls: the heartbeat with a look at the other nodes, and the fold. Loop
 * thread, but for the _run functions. A node is fenced only after this one's own successive reads,
 * at most 3 s apart, saw its counter unchanged for 15 s by CLOCK_BOOTTIME; wall clocks play no
 * part. */
#include "service/meter_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "service/quota_notice.h"
#include "store/node.h"

#include <stdlib.h>

enum {
    PERIOD_US = 1000 * 1000,
    SILENCE_MS = 15 * 1000,
    READ_GAP_MS = 3 * 1000,
    FOLD_US = 2 * 1000 * 1000, /* a job */
    NODES_MAX = NODE_ID_MAX,   /* unfenced ones: an id has one at most */
};

struct beat_job {
    struct db_job job;
    struct meter *meter;
    unsigned node, incarnation;
    struct node_row nodes[NODES_MAX];
    size_t count;
    bool fence; /* instead: fence this one */
    struct node_watch silent;
    int64_t now_ms;
};

struct fold_job {
    struct db_job job;
    struct meter *meter;
    unsigned node, incarnation;
    int64_t now_ms;
    uint64_t folds, folded, waiting;
    struct quota_due due[QUOTA_NOTICES_AT_ONCE];
    size_t due_count;
};

static enum err beat_run(struct db *db, struct db_job *job)
{
    struct beat_job *beat = CONTAINER_OF(job, struct beat_job, job);
    if (beat->fence)
        return node_fence(db, beat->now_ms, beat->silent.id, beat->silent.incarnation,
                          beat->silent.heartbeat);
    enum err error = node_heartbeat(db, beat->node, beat->incarnation, beat->now_ms);
    if (!error) error = node_list(db, beat->nodes, NODES_MAX, &beat->count);
    return error;
}

/* NULL: there are too many nodes. */
static struct node_watch *watch_get(struct meter *meter, const struct node_row *row)
{
    for (unsigned i = 0; i < meter->watch_count; i++)
        if (meter->watches[i].id == row->id && meter->watches[i].incarnation == row->incarnation)
            return &meter->watches[i];
    if (meter->watch_count == COUNT_OF(meter->watches)) return NULL;
    struct node_watch *watch = &meter->watches[meter->watch_count++];
    *watch = (struct node_watch){.id = row->id, .incarnation = row->incarnation};
    return watch;
}

/* Of incarnations that are gone. */
static void watches_drop(struct meter *meter, int64_t looked_ms)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < meter->watch_count; i++)
        if (meter->watches[i].read_ms == looked_ms) meter->watches[kept++] = meter->watches[i];
    meter->watch_count = kept;
}

static void beat_submit(struct meter *meter, const struct node_watch *fence);
static void fold_submit(struct meter *meter);

/* One more look at another node's heartbeat. True: it has been silent long enough. */
static bool watch_look(struct node_watch *watch, int64_t heartbeat, int64_t now_ms)
{
    bool gap = !watch->read_ms || now_ms - watch->read_ms > READ_GAP_MS;
    watch->read_ms = now_ms;
    if (gap || watch->heartbeat != heartbeat) {
        watch->heartbeat = heartbeat;
        watch->since_ms = now_ms;
        return false;
    }
    return now_ms - watch->since_ms >= SILENCE_MS;
}

static void nodes_look(struct meter *meter, const struct beat_job *beat)
{
    int64_t now_ms = clock_boot_ms();
    unsigned live = 0;
    struct node_watch silent = {0};
    for (size_t i = 0; i < beat->count; i++) {
        const struct node_row *row = &beat->nodes[i];
        if (row->fenced) continue;
        live++;
        if (row->id == meter->node) continue;
        struct node_watch *watch = watch_get(meter, row);
        if (watch && watch_look(watch, row->heartbeat, now_ms)) silent = *watch;
    }
    watches_drop(meter, now_ms);
    meter->live_nodes = live ? live : 1;
    if (!silent.id) return;
    log_event(LOG_WARN, "node_silent", "fencing node %u, incarnation %u", silent.id,
              silent.incarnation);
    beat_submit(meter, &silent);
}

static void beat_done(struct db_job *job, enum err error)
{
    struct beat_job *beat = CONTAINER_OF(job, struct beat_job, job);
    struct meter *meter = beat->meter;
    bool current = beat->node == meter->node && beat->incarnation == meter->incarnation;
    meter->heartbeat_flying = false;
    if (!error && !beat->fence) {
        meter->stats.heartbeats++;
        meter->stats.heartbeat_us = clock_mono_us();
    }
    if (!error && !beat->fence) nodes_look(meter, beat);
    bool busy = meter->fold_flying || meter->upkeep_flying; /* one thread is the heartbeat's */
    if (!error && !busy && meter->state == METER_SERVING) fold_submit(meter);
    if (error == ERR_FENCED && current && meter->state == METER_SERVING) meter_fenced(meter);
    free(beat);
}

static void beat_submit(struct meter *meter, const struct node_watch *fence)
{
    struct beat_job *beat = calloc(1, sizeof *beat);
    if (!beat) return;
    beat->job = (struct db_job){.run = beat_run, .done = beat_done};
    beat->meter = meter;
    beat->node = meter->node;
    beat->incarnation = meter->incarnation;
    beat->now_ms = clock_wall_ms();
    if (fence) {
        beat->fence = true;
        beat->silent = *fence;
    }
    meter->heartbeat_flying = true;
    if (db_submit(meter->background, &beat->job) == ERR_OK) return;
    meter->heartbeat_flying = false;
    free(beat);
}

static enum err fold_run(struct db *db, struct db_job *job)
{
    struct fold_job *fold = CONTAINER_OF(job, struct fold_job, job);
    struct fold_owner owners[FOLD_OWNERS_MAX];
    size_t count;
    enum err error = fold_owners(db, owners, &count);
    int64_t until_us = clock_mono_us() + FOLD_US;
    for (size_t i = 0; i < count && !error; i++) {
        bool again = true;
        while (again && !error && clock_mono_us() < until_us) {
            size_t folded = 0;
            error = fold_one(db, fold->node, fold->incarnation, &owners[i], fold->now_ms, &folded);
            fold->folded += folded;
            fold->folds += folded > 0;
            /* What came meanwhile waits for the next second: a fold costs by the keys it touches,
             * not by its rows. Of a fenced node everything is settled at once. */
            again = folded >= FOLD_ROWS || (owners[i].fenced && folded);
        }
        if (error == ERR_DB_RETRY) error = ERR_OK; /* the next second tries again */
    }
    if (!error) error = fold_waiting(db, &fold->waiting);
    if (!error) error = quota_due_pick(db, fold->due, COUNT_OF(fold->due), &fold->due_count);
    return error == ERR_DB_RETRY ? ERR_OK : error;
}

static void fold_done(struct db_job *job, enum err error)
{
    struct fold_job *fold = CONTAINER_OF(job, struct fold_job, job);
    fold->meter->fold_flying = false;
    fold->meter->stats.folds += fold->folds;
    fold->meter->stats.folded_rows += fold->folded;
    if (!error) {
        fold->meter->stats.fold_us = clock_mono_us();
        fold->meter->stats.fold_waiting = fold->waiting;
        if (fold->due_count)
            quota_notices_submit(fold->meter->service, fold->node, fold->incarnation, fold->due,
                                 fold->due_count);
    }
    upkeep_start(fold->meter);
    bool by_itself = error == ERR_FENCED && fold->meter->left;
    if (error && !by_itself) log_event(LOG_WARN, "fold_failed", "%s", err_name(error));
    free(fold);
}

static void fold_submit(struct meter *meter)
{
    struct fold_job *fold = calloc(1, sizeof *fold);
    if (!fold) return;
    fold->job = (struct db_job){.run = fold_run, .done = fold_done};
    fold->meter = meter;
    fold->node = meter->node;
    fold->incarnation = meter->incarnation;
    fold->now_ms = clock_wall_ms();
    meter->fold_flying = true;
    if (db_submit(meter->background, &fold->job) == ERR_OK) return;
    meter->fold_flying = false;
    free(fold);
}

void background_start(struct meter *meter)
{
    int64_t now_us = clock_mono_us();
    if (meter->state != METER_SERVING || now_us - meter->heartbeat_us < PERIOD_US) return;
    meter->heartbeat_us = now_us;
    leases_housekeep(meter);
    if (!meter->heartbeat_flying) beat_submit(meter, NULL);
}
