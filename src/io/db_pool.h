/* A `struct db_pool` is a bounded queue of jobs in front of one or more DB threads.
 *
 * A job has two halves. `run` is called on a DB thread and does SQL top to bottom, touching only
 * the job and `db`. `done` is called exactly once, on the loop, never inside db_submit, also when
 * the pool is stopped (ERR_CLOSED) or no connection could be had for a second (ERR_DB_LOST; run was
 * not called).
 * A DB thread connects when it has work and no connection, with back-off; a connection that failed
 * is closed and never used again. */
#ifndef KEYMETER_IO_DB_POOL_H
#define KEYMETER_IO_DB_POOL_H

#include "base/list.h"
#include "io/db.h"

struct uv_loop_s;
struct db_pool;

struct db_job {
    struct list link;                                   /* the pool's */
    enum err (*run)(struct db *db, struct db_job *job); /* DB thread */
    void (*done)(struct db_job *job, enum err error);   /* loop */
    enum err error;                                     /* the pool's */
    int64_t submitted_us;                               /* the pool's */
};

struct db_pool_config {
    const char *name; /* thread name, at most 15 characters */
    struct db_config db;
    unsigned threads;     /* connections */
    int nice;             /* added to the threads' own: work that no call waits for */
    unsigned queue_limit; /* waiting jobs; past it db_submit gives ERR_FULL */
    /* Optional: instead of one job at a time, a thread takes up to batch_max waiting jobs and calls
     * run_batch once (the committer). It sets each job's `error` itself. */
    unsigned batch_max;
    void (*run_batch)(struct db *db, struct db_job **jobs, size_t count, void *context);
    void *context;
};
/* Starts the threads; strings of the config must outlive the pool. Loop thread. */
MUST_USE enum err db_pool_new(struct db_pool **out, struct uv_loop_s *loop,
                              const struct db_pool_config *config);
/* Loop thread. ERR_FULL or ERR_CLOSED: done will not be called. */
MUST_USE enum err db_submit(struct db_pool *pool, struct db_job *job);
unsigned db_pool_waiting(const struct db_pool *pool);
/* Stops taking jobs, lets those queued run, then calls closed(context) on the loop. The pool's
 * memory is freed after that. */
void db_pool_stop(struct db_pool *pool, void (*closed)(void *context), void *context);

#endif
