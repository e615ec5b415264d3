/* The DB threads: a bounded queue of jobs under one mutex, threads that each own one connection,
 * and a list of finished jobs that a wake-up hands to the loop. db_submit, db_pool_stop and every
 * `done` are on the loop's thread; `run` and `run_batch` are on a DB thread. A job is in exactly
 * one place: waiting, at one thread, or finished; from each it comes to `done` once. */
#include "base/clock.h"
#include "io/db_private.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
    BACKOFF_FIRST_MS = 50,
    BACKOFF_LAST_MS = 1000,
    WAIT_LIMIT_US = 1000000, /* a job waits this long for any connection */
    EXPIRY_TICK_MS = 100,
    THREADS_MAX = 64,
};

struct worker {
    struct db_pool *pool;
    pthread_t thread;
    struct db *db; /* this thread's alone */
    struct db_job **batch;
    unsigned backoff_ms;
    int64_t connect_at_us; /* not before */
};

struct db_pool {
    struct db_pool_config config;
    uv_async_t finished_wakeup;
    uv_timer_t expiry;
    void (*closed)(void *context);
    void *closed_context;
    bool closing;
    int open_handles;

    pthread_mutex_t lock;
    pthread_cond_t work; /* CLOCK_MONOTONIC */
    /* under the lock: */
    struct list waiting, finished;
    unsigned waiting_count, running, connected;
    bool stopping;

    struct worker workers[THREADS_MAX];
    unsigned worker_count;
};

/* ---- DB threads ---- */

static void finish(struct db_pool *pool, struct db_job *job, enum err error)
{
    job->error = error;
    list_append(&pool->finished, &job->link);
}

static void disconnect(struct worker *worker, bool was_connected)
{
    db_close(&worker->db);
    if (!was_connected) return;
    pthread_mutex_lock(&worker->pool->lock);
    worker->pool->connected--;
    pthread_mutex_unlock(&worker->pool->lock);
}

/* Nobody waits while the server is away: at the pool's end what is queued ends too. */
static void give_up_waiting(struct db_pool *pool)
{
    for (struct list *link; (link = list_shift(&pool->waiting));) {
        finish(pool, CONTAINER_OF(link, struct db_job, link), ERR_CLOSED);
    }
    pool->waiting_count = 0;
    uv_async_send(&pool->finished_wakeup);
}

static void connect_failed(struct worker *worker)
{
    struct db_pool *pool = worker->pool;
    worker->connect_at_us = clock_mono_us() + (int64_t)worker->backoff_ms * 1000;
    worker->backoff_ms *= 2;
    if (worker->backoff_ms > BACKOFF_LAST_MS) worker->backoff_ms = BACKOFF_LAST_MS;
    pthread_mutex_lock(&pool->lock);
    if (pool->stopping && pool->connected == 0) give_up_waiting(pool);
    /* The others' connections may work, or are as dead and must not count as connected. */
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

/* True with a connection that is fit for a job. */
static bool connect_worker(struct worker *worker)
{
    if (worker->db && !db_is_alive(worker->db)) disconnect(worker, true);
    if (worker->db) return true;
    if (db_open(&worker->db, &worker->pool->config.db) != ERR_OK) {
        disconnect(worker, false);
        connect_failed(worker);
        return false;
    }
    worker->backoff_ms = BACKOFF_FIRST_MS;
    pthread_mutex_lock(&worker->pool->lock);
    worker->pool->connected++;
    pthread_mutex_unlock(&worker->pool->lock);
    return true;
}

/* Waits for a job, or for the time of the next attempt to connect. False: this thread's end. */
static bool wait_for_work(struct worker *worker)
{
    struct db_pool *pool = worker->pool;
    bool work = false;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        int64_t wait_us = worker->db ? 0 : worker->connect_at_us - clock_mono_us();
        if (list_empty(&pool->waiting)) {
            if (pool->stopping) break;
            pthread_cond_wait(&pool->work, &pool->lock);
        } else if (wait_us > 0 && !pool->stopping) {
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            int64_t nanoseconds = until.tv_nsec + wait_us * 1000;
            until.tv_sec += nanoseconds / 1000000000;
            until.tv_nsec = nanoseconds % 1000000000;
            pthread_cond_timedwait(&pool->work, &pool->lock, &until);
        } else {
            work = true;
            break;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return work;
}

static size_t take_jobs(struct worker *worker)
{
    struct db_pool *pool = worker->pool;
    size_t limit = pool->config.run_batch ? pool->config.batch_max : 1, count = 0;
    pthread_mutex_lock(&pool->lock);
    for (struct list *link; count < limit && (link = list_shift(&pool->waiting));) {
        worker->batch[count++] = CONTAINER_OF(link, struct db_job, link);
        pool->waiting_count--;
    }
    pthread_mutex_unlock(&pool->lock);
    return count;
}

static void run_jobs(struct worker *worker, size_t count)
{
    const struct db_pool_config *config = &worker->pool->config;
    struct db *db = worker->db;
    if (config->run_batch) {
        for (size_t i = 0; i < count; i++) {
            worker->batch[i]->error = ERR_DB;
        }
        config->run_batch(db, worker->batch, count, config->context);
    } else {
        struct db_job *job = worker->batch[0];
        job->error = job->run(db, job);
        /* A result that broke off (db_next) is no answer. */
        if (job->error == ERR_OK && db_is_lost(db)) job->error = ERR_DB_LOST;
    }
    db_rollback(db);
}

static void hand_over(struct worker *worker, size_t count)
{
    struct db_pool *pool = worker->pool;
    pthread_mutex_lock(&pool->lock);
    for (size_t i = 0; i < count; i++) {
        finish(pool, worker->batch[i], worker->batch[i]->error);
    }
    pthread_mutex_unlock(&pool->lock);
    uv_async_send(&pool->finished_wakeup);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct db_pool *pool = worker->pool;
    mysql_thread_init();
    /* Of this thread alone on Linux; where it is refused the thread is as the others. */
    if (pool->config.nice) (void)setpriority(PRIO_PROCESS, (id_t)gettid(), pool->config.nice);
    while (wait_for_work(worker)) {
        if (!connect_worker(worker)) continue;
        size_t count = take_jobs(worker);
        if (count == 0) continue;
        run_jobs(worker, count);
        if (db_is_lost(worker->db)) disconnect(worker, true);
        hand_over(worker, count);
    }
    if (worker->db) disconnect(worker, true);
    mysql_thread_end();

    pthread_mutex_lock(&pool->lock);
    pool->running--;
    uv_async_send(&pool->finished_wakeup);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- the loop's side ---- */

static void handle_closed(uv_handle_t *handle)
{
    struct db_pool *pool = handle->data;
    if (--pool->open_handles > 0) return;
    void (*closed)(void *context) = pool->closed;
    void *context = pool->closed_context;
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    for (unsigned i = 0; i < pool->config.threads; i++) {
        free(pool->workers[i].batch);
    }
    free(pool);
    if (closed) closed(context);
}

static void close_pool(struct db_pool *pool)
{
    if (pool->closing) return;
    pool->closing = true;
    for (unsigned i = 0; i < pool->worker_count; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    uv_close((uv_handle_t *)&pool->finished_wakeup, handle_closed);
    uv_close((uv_handle_t *)&pool->expiry, handle_closed);
}

/* Calls done for all that is finished. The pool outlives this: its memory goes with its handles. */
static void deliver(struct db_pool *pool)
{
    struct list finished;
    list_init(&finished);
    pthread_mutex_lock(&pool->lock);
    list_splice(&finished, &pool->finished);
    pthread_mutex_unlock(&pool->lock);
    for (struct list *link; (link = list_shift(&finished));) {
        struct db_job *job = CONTAINER_OF(link, struct db_job, link);
        job->done(job, job->error);
    }
}

static void finished_woken(uv_async_t *handle)
{
    struct db_pool *pool = handle->data;
    deliver(pool);
    pthread_mutex_lock(&pool->lock);
    bool over = pool->stopping && pool->running == 0 && list_empty(&pool->finished);
    pthread_mutex_unlock(&pool->lock);
    if (over) close_pool(pool);
}

/* A thread may hang in connecting for seconds; the jobs behind it are ended from here. */
static void expire(uv_timer_t *handle)
{
    struct db_pool *pool = handle->data;
    int64_t oldest_us = clock_mono_us() - WAIT_LIMIT_US;
    bool expired = false;
    pthread_mutex_lock(&pool->lock);
    while (pool->connected == 0 && !list_empty(&pool->waiting)) {
        struct db_job *job = CONTAINER_OF(pool->waiting.next, struct db_job, link);
        if (job->submitted_us > oldest_us) break;
        list_remove(&job->link);
        pool->waiting_count--;
        finish(pool, job, ERR_DB_LOST);
        expired = true;
    }
    bool idle = list_empty(&pool->waiting);
    pthread_mutex_unlock(&pool->lock);
    if (idle) uv_timer_stop(handle);
    if (expired) uv_async_send(&pool->finished_wakeup);
}

static enum err start_worker(struct db_pool *pool, struct worker *worker)
{
    sigset_t all, before;
    size_t batch = pool->config.run_batch ? pool->config.batch_max : 1;
    worker->pool = pool;
    worker->backoff_ms = BACKOFF_FIRST_MS;
    worker->batch = calloc(batch, sizeof *worker->batch);
    if (!worker->batch) return ERR_NO_MEMORY;
    /* Signals belong to the loop's thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) return ERR_NO_MEMORY;
    pool->worker_count++;
    if (pool->config.name) {
        char name[16] = {0};
        strncpy(name, pool->config.name, sizeof name - 1);
        pthread_setname_np(worker->thread, name);
    }
    return ERR_OK;
}

static void init_lock(struct db_pool *pool)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&pool->lock, NULL);
}

enum err db_pool_new(struct db_pool **out, struct uv_loop_s *loop,
                     const struct db_pool_config *config)
{
    *out = NULL;
    if (config->threads == 0 || config->threads > THREADS_MAX || config->queue_limit == 0 ||
        (config->run_batch && config->batch_max == 0)) {
        return ERR_INVALID;
    }
    struct db_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return ERR_NO_MEMORY;
    pool->config = *config;
    list_init(&pool->waiting);
    list_init(&pool->finished);
    if (uv_async_init(loop, &pool->finished_wakeup, finished_woken) != 0) {
        free(pool);
        return ERR_IO;
    }
    uv_timer_init(loop, &pool->expiry);
    pool->finished_wakeup.data = pool->expiry.data = pool;
    pool->open_handles = 2;
    init_lock(pool);
    enum err error = ERR_OK;
    for (unsigned i = 0; i < config->threads && !error; i++) {
        pthread_mutex_lock(&pool->lock);
        pool->running++;
        pthread_mutex_unlock(&pool->lock);
        error = start_worker(pool, &pool->workers[i]);
        if (!error) continue;
        pthread_mutex_lock(&pool->lock);
        pool->running--;
        pthread_mutex_unlock(&pool->lock);
    }
    if (error) {
        db_pool_stop(pool, NULL, NULL);
        return error;
    }
    *out = pool;
    return ERR_OK;
}

enum err db_submit(struct db_pool *pool, struct db_job *job)
{
    enum err error = ERR_OK;
    list_init(&job->link);
    job->error = ERR_OK;
    job->submitted_us = clock_mono_us();
    pthread_mutex_lock(&pool->lock);
    if (pool->stopping) {
        error = ERR_CLOSED;
    } else if (pool->waiting_count >= pool->config.queue_limit) {
        error = ERR_FULL;
    } else {
        list_append(&pool->waiting, &job->link);
        pool->waiting_count++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!error && !uv_is_active((uv_handle_t *)&pool->expiry)) {
        uv_timer_start(&pool->expiry, expire, EXPIRY_TICK_MS, EXPIRY_TICK_MS);
    }
    return error;
}

unsigned db_pool_waiting(const struct db_pool *pool)
{
    struct db_pool *self = (struct db_pool *)(uintptr_t)pool;
    pthread_mutex_lock(&self->lock);
    unsigned count = self->waiting_count;
    pthread_mutex_unlock(&self->lock);
    return count;
}

void db_pool_stop(struct db_pool *pool, void (*closed)(void *context), void *context)
{
    assert(!pool->closing && "a pool is stopped once");
    pool->closed = closed;
    pool->closed_context = context;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    /* With no thread at all nobody else would. */
    uv_async_send(&pool->finished_wakeup);
}
