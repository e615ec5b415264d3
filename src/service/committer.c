/* Merging waiting operations into one transaction.
 *
 * Runs on the committer's DB thread, called by its pool with the jobs that wait. What always holds:
 * an operation is told ERR_OK only behind a commit that holds all its rows, its feed rows and its
 * audit rows; feed_head is the last lock taken; and every operation of the batch is told something.
 * A conflict anywhere rolls the whole batch back and runs it again. Operations of a kind that have
 * run_many and follow each other are one step of it. */
#include "service/committer.h"

#include "base/clock.h"
#include "base/log.h"
#include "io/db_pool.h"
#include "service/gathered.h"
#include "service/idempotency.h"
#include "service/operation.h"
#include "store/outcome.h"
#include "store/token.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BACKOFF_MS = 5,
    LOOK_MS = 8000, /* in all; then the client is told that nobody knows */
    LOOK_PAUSE_MS = 250,
    LOOK_END_MS = 2000,
};

struct batch {
    struct db *db;
    struct operation **operations;
    size_t count;
    struct feed_row *feed;
    struct audit_row *audit;
    size_t feed_count, audit_count, good_count;
    struct gathered *gathered;
    bool alone; /* what an operation gathers is written at once, so that it alone can fail */
    uint64_t live_token;    /* found live in this transaction; 0: none */
    uint64_t position, tag; /* of the first feed row: tells whether the commit happened … */
    uint64_t audit_id;      /* … or the first audit row does, where there is none */
    int64_t started_us;
};

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
              NULL);
}

/* Once a transaction and token: a token that is revoked later than that was live when the batch's
 * operations were asked for. */
static enum err operation_check_token(struct batch *batch, struct operation *operation)
{
    if (!operation->token_id || operation->token_id == batch->live_token) return ERR_OK;
    enum err error = token_is_live(batch->db, operation->token_id, operation->now_ms);
    if (!error) batch->live_token = operation->token_id;
    if (error != ERR_DENIED) return error;
    return problem_set(&operation->problem, 401, "unauthenticated",
                       "The service token has been revoked or has expired; use another one.");
}

/* Errors that end the transaction for all. */
static bool ends_batch(const struct db *db, enum err error)
{
    return error == ERR_DB_RETRY || error == ERR_DB_LOST || error == ERR_DB_UNCERTAIN ||
           db_is_lost(db);
}

static void operation_begin(struct operation *operation)
{
    operation->problem = (struct problem){0};
    operation->feed_count = operation->audit_count = 0;
    operation->now_ms = clock_wall_ms();
}

/* Not so: a bug, and it must not be committed without its rows. */
static bool rows_fit(const struct operation *operation)
{
    return operation->feed_count <= OPERATION_FEED_MAX &&
           operation->audit_count <= OPERATION_AUDIT_MAX &&
           (!operation->feed_count || operation->audit_count);
}

/* The operations from `from` on that read ahead with it, up to one that does not gather. */
static size_t alike(const struct batch *batch, size_t from, struct operation **out)
{
    size_t count = 0;
    for (size_t i = from; i < batch->count && batch->operations[i]->gathers; i++)
        if (batch->operations[i]->read_ahead == batch->operations[from]->read_ahead)
            out[count++] = batch->operations[i];
    return count;
}

/* Once for all of them; what cannot be read so is read one by one. */
static enum err read_ahead(struct batch *batch, size_t from)
{
    struct operation *operations[COMMITTER_BATCH_MAX];
    struct gathered *gathered = batch->gathered;
    const struct operation *first = batch->operations[from];
    if (batch->alone || gathered->read_ahead || !first->read_ahead) return ERR_OK;
    size_t count = alike(batch, from, operations);
    gathered->read_ahead = true;
    if (count < 2) return ERR_OK;
    for (size_t i = 0; i < count; i++)
        operations[i]->gathered = gathered;
    enum err error = reservations_hold(batch->db, operations, count);
    if (!error) error = first->read_ahead(batch->db, operations, count);
    if (ends_batch(batch->db, error)) return error == ERR_DB_RETRY ? error : ERR_DB_LOST;
    if (error) gathered_forget(gathered);
    return ERR_OK;
}

/* Runs one operation between savepoints; its own outcome is in job.error. An error returned ends
 * the batch. */
static enum err operation_run(struct batch *batch, size_t at)
{
    struct db *db = batch->db;
    struct operation *operation = batch->operations[at];
    operation_begin(operation);
    operation->gathered = batch->gathered;
    enum err error =
        operation->gathers ? read_ahead(batch, at) : gathered_write(db, batch->gathered);
    size_t gathered = batch->gathered->keys.count;
    if (!error) error = db_savepoint(db);
    if (error) return error;
    error = operation_check_token(batch, operation);
    if (!error && operation->admit) error = operation->admit(db, operation);
    if (!error) error = reservation_begin(db, operation);
    if (!error) error = operation->run(db, operation);
    if (!error) error = reservation_keep(db, operation);
    if (!error && batch->alone) error = gathered_write(db, batch->gathered);
    if (ends_batch(db, error)) return error == ERR_DB_RETRY ? error : ERR_DB_LOST;
    if (!error && !rows_fit(operation)) error = ERR_INVALID;
    operation->job.error = error;
    if (error) batch->gathered->keys.count = gathered;
    if (error == ERR_DB_UNABLE) log_event(LOG_ERROR, "database_unable", "%s", db_error_text(db));
    return error ? db_rollback_to_savepoint(db) : ERR_OK;
}

/* One attempt at several of a kind, behind one savepoint; *error is their own outcome. An error
 * returned ends the batch. */
static enum err many_try(struct batch *batch, struct operation **operations, size_t count,
                         enum err *error)
{
    struct db *db = batch->db;
    for (size_t i = 0; i < count; i++)
        operation_begin(operations[i]);
    enum err ended = db_savepoint(db);
    if (ended) return ended;
    *error = operations[0]->run_many(db, operations, count);
    if (ends_batch(db, *error)) return *error == ERR_DB_RETRY ? *error : ERR_DB_LOST;
    for (size_t i = 0; !*error && i < count; i++)
        if (!operations[i]->job.error && !rows_fit(operations[i])) *error = ERR_INVALID;
    if (*error == ERR_DB_UNABLE) log_event(LOG_ERROR, "database_unable", "%s", db_error_text(db));
    return *error ? db_rollback_to_savepoint(db) : ERR_OK;
}

/* What fails for all is tried again by halves: one that cannot be done stays alone with it. */
static enum err many_run(struct batch *batch, struct operation **operations, size_t count)
{
    enum err error;
    enum err ended = many_try(batch, operations, count, &error);
    if (ended || !error) return ended;
    if (count > 1 && error != ERR_FENCED && error != ERR_DB_UNABLE) {
        ended = many_run(batch, operations, count / 2);
        return ended ? ended : many_run(batch, operations + count / 2, count - count / 2);
    }
    for (size_t i = 0; i < count; i++)
        operations[i]->job.error = error;
    return ERR_OK;
}

/* Runs the operation at `from`, or all that follow it and are of its kind. *count: how many. */
static enum err next_run(struct batch *batch, size_t from, size_t *count)
{
    struct operation **operations = batch->operations + from;
    *count = 1;
    if (!operations[0]->run_many) return operation_run(batch, from);
    while (from + *count < batch->count && operations[*count]->run_many == operations[0]->run_many)
        ++*count;
    enum err error = gathered_write(batch->db, batch->gathered);
    return error ? error : many_run(batch, operations, *count);
}

static void batch_collect(struct batch *batch)
{
    batch->feed_count = batch->audit_count = batch->good_count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct operation *operation = batch->operations[i];
        if (operation->job.error) continue;
        batch->good_count++;
        memcpy(batch->feed + batch->feed_count, operation->feed,
               operation->feed_count * sizeof *operation->feed);
        batch->feed_count += operation->feed_count;
        memcpy(batch->audit + batch->audit_count, operation->audit,
               operation->audit_count * sizeof *operation->audit);
        batch->audit_count += operation->audit_count;
    }
    batch->audit_id = batch->audit_count ? batch->audit[0].id : 0;
    /* Without a row of its own the commit could not be found again when its outcome is unknown. It
     * is wanted even where nothing changed: what an operation saw of another's commit is durable
     * only behind a commit of one's own. Where nothing changed that a node has in memory an audit
     * row will do: each row of the feed makes the calls of that moment read it first. */
    if (batch->good_count && !batch->feed_count && !batch->audit_count)
        batch->feed[batch->feed_count++] = (struct feed_row){.kind = FEED_START};
}

/* One attempt: ERR_OK when all is committed, or nothing was to be committed. */
static enum err batch_try(struct batch *batch)
{
    struct db *db = batch->db;
    enum err error = db_begin(db);
    batch->live_token = 0;
    gathered_drop(batch->gathered);
    for (size_t i = 0, count; !error && i < batch->count; i += count)
        error = next_run(batch, i, &count);
    if (!error) error = gathered_write(db, batch->gathered);
    if (!error) batch_collect(batch);
    if (!error && batch->good_count)
        error = feed_append(db, clock_wall_ms(), batch->feed, batch->feed_count, batch->audit,
                            batch->audit_count, &batch->position, &batch->tag);
    if (error || !batch->good_count) {
        db_rollback(db);
        return error;
    }
    batch->started_us = clock_mono_us();
    error = db_commit(db);
    if (error && error != ERR_DB_UNCERTAIN && !db_is_lost(db)) db_rollback(db);
    return error;
}

/* Commits a row of one's own, so that what is visible is durable too. */
static enum err commit_own(struct db *db)
{
    struct feed_row row = {.kind = FEED_START};
    enum err error = db_begin(db);
    if (!error) error = feed_append(db, clock_wall_ms(), &row, 1, NULL, 0, NULL, NULL);
    if (error) {
        db_rollback(db);
        return error;
    }
    return db_commit(db);
}

static enum err look_once(const struct batch *batch, const struct db_config *config, bool *found)
{
    struct db *db = NULL;
    enum err error = db_open(&db, config);
    int64_t age_ms = (clock_mono_us() - batch->started_us) / 1000;
    if (!error)
        error = outcome_end_connection(db, db_connection_id(batch->db), age_ms, LOOK_END_MS);
    if (!error)
        error = batch->feed_count ? feed_find(db, batch->position, batch->tag, found)
                                  : feed_find_audit(db, batch->audit_id, found);
    if (!error && *found) error = commit_own(db);
    db_close(&db);
    return error;
}

/* The connection was lost during the commit: what became of it? */
static enum err batch_look(const struct batch *batch, const struct db_config *config)
{
    bool found = false;
    while (look_once(batch, config, &found) != ERR_OK) {
        if (clock_mono_us() - batch->started_us > LOOK_MS * INT64_C(1000)) return ERR_DB_UNCERTAIN;
        pause_ms(LOOK_PAUSE_MS);
    }
    return found ? ERR_OK : ERR_DB_LOST;
}

static void batch_run(struct batch *batch, const struct db_config *config)
{
    enum err error = ERR_OK;
    for (unsigned i = 0; i < COMMITTER_TRIES; i++) {
        error = batch_try(batch);
        if (error && !batch->alone && !ends_batch(batch->db, error)) {
            batch->alone = true; /* one of those that gathered cannot be written: which? */
            continue;
        }
        if (error != ERR_DB_RETRY) break;
        pause_ms(randombytes_uniform(BACKOFF_MS << i) + 1);
    }
    if (error == ERR_DB_UNCERTAIN) error = batch_look(batch, config);
    if (!error) return;
    if (error == ERR_DB_UNABLE)
        log_event(LOG_ERROR, "database_unable", "%s", db_error_text(batch->db));
    for (size_t i = 0; i < batch->count; i++)
        batch->operations[i]->job.error = error;
}

void committer_run(struct db *db, struct operation **operations, size_t count,
                   const struct db_config *config)
{
    struct batch batch = {.db = db, .operations = operations, .count = count};
    size_t audits = count * OPERATION_AUDIT_MAX, rows = count * OPERATION_FEED_MAX + 1;
    batch.feed = malloc(rows * sizeof *batch.feed);
    batch.audit = malloc(audits * sizeof *batch.audit);
    batch.gathered = calloc(1, sizeof *batch.gathered);
    if (batch.feed && batch.audit && batch.gathered) {
        batch_run(&batch, config);
    } else {
        for (size_t i = 0; i < count; i++)
            operations[i]->job.error = ERR_NO_MEMORY;
    }
    free(batch.feed);
    free(batch.audit);
    if (batch.gathered) gathered_drop(batch.gathered);
    free(batch.gathered);
}

static void committer_run_jobs(struct db *db, struct db_job **jobs, size_t count, void *context)
{
    struct operation *operations[COMMITTER_BATCH_MAX];
    for (size_t i = 0; i < count; i++)
        operations[i] = CONTAINER_OF(jobs[i], struct operation, job);
    committer_run(db, operations, count, context);
}

enum err committer_new(struct db_pool **out, struct uv_loop_s *loop, const struct db_config *config)
{
    struct db_pool_config pool = {
        .name = "committer",
        .db = *config,
        .threads = 1,
        .queue_limit = COMMITTER_QUEUE_MAX,
        .batch_max = COMMITTER_BATCH_MAX,
        .run_batch = committer_run_jobs,
        .context = (void *)(uintptr_t)config,
    };
    return db_pool_new(out, loop, &pool);
}
