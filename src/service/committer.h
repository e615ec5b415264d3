/* The one committer of this daemon: a pool of one thread that merges the management operations
 * waiting (service/operation.h) into one transaction, a savepoint each, because the change feed's
 * head is one lock for all (engine.md, "one committer").
 *
 * What an operation is told: ERR_OK when it is durable; ERR_DENIED with its problem, or its own
 * error, when it was rolled back alone; ERR_DB_RETRY when the batch could not get its locks;
 * ERR_DB_LOST when nothing was committed; ERR_DB_UNCERTAIN when even the look afterwards failed. */
#ifndef KEYMETER_SERVICE_COMMITTER_H
#define KEYMETER_SERVICE_COMMITTER_H

#include "base/compiler.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct db;
struct db_config;
struct db_pool;
struct operation;
struct uv_loop_s;

enum { COMMITTER_BATCH_MAX = 128, COMMITTER_QUEUE_MAX = 1024, COMMITTER_TRIES = 5 };

/* The committer's pool; stop it with db_pool_stop. `config` and its strings outlive it. */
MUST_USE enum err committer_new(struct db_pool **out, struct uv_loop_s *loop,
                                const struct db_config *config);

/* One batch on a connection: sets each operation's job.error. `config` opens the second connection
 * that finds out what became of a lost commit. DB thread; the pool calls it, tests may. */
void committer_run(struct db *db, struct operation **operations, size_t count,
                   const struct db_config *config);

#endif
