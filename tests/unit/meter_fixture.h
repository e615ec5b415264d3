/* What the tests of the engine share: up to two meters as nodes of one loop on a private MariaDB,
 * customers and keys by a small number, calls that are awaited, locks held by somebody else, and
 * clocks that can be moved. */
#ifndef KEYMETER_TESTS_METER_FIXTURE_H
#define KEYMETER_TESTS_METER_FIXTURE_H

#include "database.h"
#include "service/context.h"
#include "service/meter.h"
#include "store/feed.h"

enum { METER_NODES = 2 };

extern struct uv_loop_s *loop;
extern struct service services[METER_NODES]; /* .meter is the node's */
extern struct db *db;                        /* the test's own connection */
extern uint64_t position;                    /* of the newest feed row a test appended */

/* Read by meter_begin: how the nodes connect (NULL: directly) and their metering.max_wait. */
extern const struct db_config *meter_database;
extern const char *meter_max_wait;

/* Group setup and teardown: schema, tiers `five` and `endless`, node 0. Free of them: meter_begin
 * and meter_finish for node 1 or for a node made anew. A test that has stopped the meter itself
 * sets services[].meter to NULL. */
int meter_group_begin(void **state);
int meter_group_finish(void **state);
void meter_begin(unsigned node);
void meter_finish(unsigned node);

/* ---- the database ---- */
void must(enum err error);
void sql(const char *format, ...) PRINTF_LIKE(1, 2);
int64_t number_of(const char *format, ...) PRINTF_LIKE(1, 2); /* -1: no row */
/* A connection in a transaction of its own that nothing ends but holder_end. REPEATABLE READ: what
 * it locks, it locks with the gaps. */
struct db *holder_begin(const char *statement);
void holder_end(struct db **holder);

/* ---- customers and keys: customer N has key N with secret N of hash 0xNN… ---- */
void hash_of(unsigned key, unsigned char hash[32]);
void tier_add(const char *slug, const char *quota, const char *limits);
void key_add(unsigned key, const char *tier);
void feed_row(enum feed_kind kind, uint64_t subject);
void feed_hash(unsigned key);

/* ---- calls ---- */
struct test_call {
    struct verify_call call;
    bool done;
};
void call_start(unsigned node, struct test_call *test, unsigned key, uint64_t cost);
/* Until all that were started are answered. */
void calls_wait(void);
enum verify_code verify_on(unsigned node, unsigned key, uint64_t cost);
/* 503 is never a wrong answer: asked again until there is another one. */
enum verify_code verify_until(unsigned node, unsigned key, uint64_t cost);

/* Turns the loop until is(context) holds; fails the test after 30 s. */
void loop_until(bool (*is)(void *context), void *context);

/* Folds every journal to its end, in the name of a node that is there for that alone. */
void fold_all(void);

/* ---- clocks: added to the system's, each by itself ---- */
void clock_move(int64_t wall_ms, int64_t mono_ms, int64_t boot_ms);

#endif
