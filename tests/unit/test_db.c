/* io/db against a real MariaDB: what goes in comes out, what each failure is called, and that every
 * job of a pool comes to `done` once. */
#include "base/clock.h"
#include "database.h"
#include "io/db_pool.h"
#include "io/loop.h"

#include "unit.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct db *one, *two;

static void must(struct db *db, enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(db));
}

static int open_two(void **state)
{
    (void)state;
    database_reset();
    one = database_open();
    two = database_open();
    must(one, db_command(one, "CREATE TABLE thing (id BIGINT UNSIGNED PRIMARY KEY, number BIGINT, "
                              "bytes LONGBLOB, name VARCHAR(20) UNIQUE, ascii_name VARCHAR(20) "
                              "CHARACTER SET ascii COLLATE ascii_bin)"));
    return 0;
}

static int close_two(void **state)
{
    (void)state;
    db_close(&one);
    db_close(&two);
    return 0;
}

static const char insert_thing[] = "INSERT INTO thing (id, number, bytes) VALUES (?, ?, ?)";
static const char select_thing[] = "SELECT id, number, bytes FROM thing WHERE id = ?";

static void expect_bytes(uint64_t id, const void *data, size_t length)
{
    struct db_rows rows;
    must(one, db_query(one, select_thing, DB_VALUES(db_u64(id)), &rows));
    assert_true(db_next(&rows));
    assert_int_equal(rows.columns, 3);
    assert_int_equal(rows.values[0].type, DB_U64);
    assert_int_equal(db_get_u64(&rows, 0), id);
    assert_false(db_is_null(&rows, 2));
    assert_true(span_equal(db_get_span(&rows, 2), span_of(data, length)));
    assert_false(db_next(&rows));
    assert_false(db_next(&rows));
}

static void values_come_back(void **state)
{
    (void)state;
    struct db_rows rows;
    uint64_t affected;
    static const char odd[] = "a\0b\xFF\xFE\xC3\x28'\"\\";
    char *big = malloc(1 << 20);
    for (size_t i = 0; i < 1 << 20; i++) {
        big[i] = (char)(i * 7 + (i >> 8));
    }
    must(one, db_execute(one, insert_thing,
                         DB_VALUES(db_u64(UINT64_MAX), db_i64(INT64_MIN), db_null()), &affected));
    assert_int_equal(affected, 1);
    must(one, db_execute(one, insert_thing,
                         DB_VALUES(db_u64(1), db_i64(-1), db_bytes(odd, sizeof odd)), NULL));
    must(one,
         db_execute(one, insert_thing, DB_VALUES(db_u64(2), db_null(), db_bytes(NULL, 0)), NULL));
    must(one, db_execute(one, insert_thing,
                         DB_VALUES(db_u64(3), db_i64(INT64_MAX), db_bytes(big, 1 << 20)), NULL));
    must(one, db_execute(one,
                         "INSERT INTO thing (id, bytes) SELECT ?, ? FROM thing WHERE id = 1 LOCK "
                         "IN SHARE MODE",
                         DB_VALUES(db_u64(4), db_bytes(odd, sizeof odd)), &affected));
    assert_int_equal(affected, 1);

    must(one, db_query(one, select_thing, DB_VALUES(db_u64(UINT64_MAX)), &rows));
    assert_true(db_next(&rows));
    assert_true(db_get_u64(&rows, 0) == UINT64_MAX);
    assert_int_equal(rows.values[1].type, DB_I64);
    assert_true(db_get_i64(&rows, 1) == INT64_MIN);
    assert_true(db_is_null(&rows, 2));
    assert_int_equal(db_get_span(&rows, 2).length, 0);
    db_finish(&rows);
    assert_false(db_next(&rows));

    expect_bytes(1, odd, sizeof odd);
    expect_bytes(2, "", 0);
    expect_bytes(3, big, 1 << 20);
    expect_bytes(4, odd, sizeof odd);
    expect_bytes(1, odd, sizeof odd); /* behind a longer one */
    free(big);

    must(one,
         db_query(one, "SELECT SUM(number), COUNT(*) FROM thing WHERE id < 4", DB_NONE, &rows));
    assert_true(db_next(&rows));
    assert_true(db_get_i64(&rows, 0) == INT64_MAX - 1);
    assert_int_equal(db_get_i64(&rows, 1), 3);
    db_finish(&rows);
}

static void many_rows_keep_their_order_and_length(void **state)
{
    (void)state;
    char text[2048];
    memset(text, 'x', sizeof text);
    must(one, db_begin(one));
    for (uint64_t i = 0; i < 100; i++) {
        must(one, db_execute(one, insert_thing,
                             DB_VALUES(db_u64(1000 + i), db_null(), db_bytes(text, i * 20)), NULL));
    }
    must(one, db_commit(one));
    struct db_rows rows;
    uint64_t at = 0;
    must(one,
         db_query(one, "SELECT id, bytes FROM thing WHERE id BETWEEN 1000 AND 1099 ORDER BY id",
                  DB_NONE, &rows));
    for (; db_next(&rows); at++) {
        assert_int_equal(db_get_u64(&rows, 0), 1000 + at);
        assert_true(span_equal(db_get_span(&rows, 1), span_of(text, at * 20)));
    }
    assert_int_equal(at, 100);
    assert_false(db_is_lost(one));
}

static void misuse_is_an_error(void **state)
{
    (void)state;
    struct db_rows rows;
    assert_int_equal(db_execute(one, insert_thing, DB_VALUES(db_u64(1)), NULL), ERR_DB);
    assert_int_equal(db_execute(one, "SELECT 1", DB_NONE, NULL), ERR_DB);
    assert_int_equal(db_query(one, "DELETE FROM thing WHERE id = 99", DB_NONE, &rows), ERR_DB);
    assert_int_equal(db_execute(one, "SELEKT", DB_NONE, NULL), ERR_DB);
    assert_false(db_is_lost(one));
    must(one, db_query(one, "SELECT 1", DB_NONE, &rows));
    assert_true(db_next(&rows));
    db_finish(&rows);
}

static void a_duplicate_is_told_without_its_value(void **state)
{
    (void)state;
    static const char sql[] = "INSERT INTO thing (id, name) VALUES (?, ?)";
    must(one, db_begin(one));
    must(one, db_execute(one, sql, DB_VALUES(db_u64(50), db_text("canary")), NULL));
    must(one, db_savepoint(one));
    must(one, db_execute(one, sql, DB_VALUES(db_u64(52), db_null()), NULL));
    assert_int_equal(db_execute(one, sql, DB_VALUES(db_u64(51), db_text("canary")), NULL),
                     ERR_EXISTS);
    assert_int_equal(db_error_number(one), 1062);
    assert_null(strstr(db_error_text(one), "canary"));
    must(one, db_rollback_to_savepoint(one));
    must(one, db_execute(one, sql, DB_VALUES(db_u64(53), db_text("other")), NULL));
    must(one, db_commit(one));
    struct db_rows rows;
    must(one,
         db_query(one, "SELECT COUNT(*) FROM thing WHERE id IN (50, 51, 52, 53)", DB_NONE, &rows));
    assert_true(db_next(&rows));
    assert_int_equal(db_get_i64(&rows, 0), 2);
    db_finish(&rows);
}

static void the_session_is_as_promised(void **state)
{
    (void)state;
    struct db_rows rows;
    must(one, db_query(one,
                       "SELECT @@tx_isolation, @@time_zone, @@sql_mode LIKE '%STRICT_ALL%', "
                       "@@idle_transaction_timeout, @@innodb_lock_wait_timeout, "
                       "@@character_set_connection",
                       DB_NONE, &rows));
    assert_true(db_next(&rows));
    assert_true(span_is(db_get_span(&rows, 0), "READ-COMMITTED"));
    assert_true(span_is(db_get_span(&rows, 1), "+00:00"));
    assert_int_equal(db_get_i64(&rows, 2), 1);
    assert_int_equal(db_get_i64(&rows, 3), 1);
    assert_int_equal(db_get_i64(&rows, 4), 1);
    assert_true(span_is(db_get_span(&rows, 5), "utf8mb4"));
    db_finish(&rows);
    /* found rows off: a change to what stands already affects nothing */
    uint64_t affected;
    must(one, db_execute(one, "UPDATE thing SET number = number WHERE id = 1", DB_NONE, &affected));
    assert_int_equal(affected, 0);
}

static void a_lock_wait_dooms_the_transaction(void **state)
{
    (void)state;
    static const char sql[] = "UPDATE thing SET number = ? WHERE id = 1";
    must(one, db_begin(one));
    must(one, db_execute(one, sql, DB_VALUES(db_i64(5)), NULL));
    must(two, db_begin(two));
    must(two, db_execute(two, "UPDATE thing SET number = 77 WHERE id = 2", DB_NONE, NULL));
    /* both within one second, else idle_transaction_timeout would end `one` */
    must(two, db_command(two, "SET SESSION innodb_lock_wait_timeout = 0"));
    assert_int_equal(db_execute(two, sql, DB_VALUES(db_i64(6)), NULL), ERR_DB_RETRY);
    assert_int_equal(db_execute(two, sql, DB_VALUES(db_i64(6)), NULL), ERR_DB_RETRY);
    assert_int_equal(db_commit(two), ERR_DB_RETRY);
    must(one, db_commit(one));
    struct db_rows rows;
    must(two,
         db_query(two, "SELECT number FROM thing WHERE id IN (1, 2) ORDER BY id", DB_NONE, &rows));
    assert_true(db_next(&rows));
    assert_int_equal(db_get_i64(&rows, 0), 5);
    assert_true(db_next(&rows));
    assert_true(db_is_null(&rows, 0));
    db_finish(&rows);
}

static void *update_two_then_one(void *error)
{
    *(enum err *)error = db_execute(two, "UPDATE thing SET number = 9 WHERE id = 1", DB_NONE, NULL);
    return NULL;
}

static void a_deadlock_is_to_be_run_again(void **state)
{
    (void)state;
    pthread_t thread;
    enum err other = ERR_INVALID;
    must(two, db_command(two, "SET SESSION innodb_lock_wait_timeout = 20"));
    must(one, db_command(one, "SET SESSION innodb_lock_wait_timeout = 20"));
    must(one, db_begin(one));
    must(one, db_execute(one, "UPDATE thing SET number = 9 WHERE id = 1", DB_NONE, NULL));
    must(two, db_begin(two));
    must(two, db_execute(two, "UPDATE thing SET number = 9 WHERE id = 2", DB_NONE, NULL));
    pthread_create(&thread, NULL, update_two_then_one, &other);
    enum err mine = db_execute(one, "UPDATE thing SET number = 9 WHERE id = 2", DB_NONE, NULL);
    if (mine) db_rollback(one);
    pthread_join(thread, NULL);
    assert_true((mine == ERR_DB_RETRY) != (other == ERR_DB_RETRY));
    assert_true(mine == ERR_OK || other == ERR_OK);
    db_rollback(one);
    db_rollback(two);
    assert_false(db_is_lost(one) || db_is_lost(two));
}

static void kill_connection(struct db *killer, struct db *victim)
{
    char sql[64];
    snprintf(sql, sizeof sql, "KILL CONNECTION %" PRIu64, db_connection_id(victim));
    must(killer, db_command(killer, sql));
}

static void a_killed_connection_is_lost_or_uncertain(void **state)
{
    (void)state;
    static const char sql[] = "UPDATE thing SET number = number + 1 WHERE id = ?";
    struct db *victim = database_open();
    must(victim, db_execute(victim, sql, DB_VALUES(db_u64(1)), NULL));
    kill_connection(one, victim);
    assert_int_equal(db_execute(victim, sql, DB_VALUES(db_u64(1)), NULL), ERR_DB_UNCERTAIN);
    assert_true(db_is_lost(victim));
    assert_int_equal(db_execute(victim, sql, DB_VALUES(db_u64(1)), NULL), ERR_DB_LOST);
    db_close(&victim);

    victim = database_open();
    must(victim, db_begin(victim));
    must(victim, db_execute(victim, sql, DB_VALUES(db_u64(1)), NULL));
    kill_connection(one, victim);
    assert_int_equal(db_execute(victim, sql, DB_VALUES(db_u64(1)), NULL), ERR_DB_LOST);
    db_close(&victim);

    victim = database_open();
    must(victim, db_begin(victim));
    must(victim, db_execute(victim, sql, DB_VALUES(db_u64(1)), NULL));
    kill_connection(one, victim);
    assert_int_equal(db_commit(victim), ERR_DB_UNCERTAIN);
    assert_int_equal(db_commit(victim), ERR_DB_LOST);
    db_close(&victim);
}

static void a_slow_statement_times_out(void **state)
{
    (void)state;
    struct db_config config = *database_start();
    struct db *db;
    struct db_rows rows;
    config.max_statement_time_s = 0.05;
    assert_int_equal(db_open(&db, &config), ERR_OK);
    must(db, db_execute(db, "UPDATE thing SET number = 1 WHERE id = 1", DB_NONE, NULL));
    assert_int_equal(db_query(db,
                              "SELECT COUNT(*) FROM thing a, thing b, thing c, thing d, thing e",
                              DB_NONE, &rows),
                     ERR_TIMEOUT);
    assert_false(db_is_lost(db));
    db_close(&db);
}

static void no_server_and_no_encryption_are_refused(void **state)
{
    (void)state;
    struct db *db;
    struct db_config config = {.socket = "/nonexistent/socket", .user = "x"};
    assert_int_equal(db_open(&db, &config), ERR_DB_LOST);
    assert_non_null(strstr(db_error_text(db), "/nonexistent/socket"));
    db_close(&db);
    static const char *const bad[] = {"", "[::1", "host:", "host:0", "host:65536", "host:1x", ":1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        config = (struct db_config){.hosts = bad[i], .user = "x"};
        assert_int_equal(db_open(&db, &config), ERR_INVALID);
        db_close(&db);
    }
}

/* ---- the pool ---- */

struct test_job {
    struct db_job job;
    uint64_t id;
    enum err result;
    int done;
};
static struct uv_loop_s *loop;
static struct db_pool *pool;
static int done_count, closed_count, expected_done;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static uint64_t finished_ids[4096];

static void pool_closed(void *context)
{
    (void)context;
    closed_count++;
}

static void job_done(struct db_job *job, enum err error)
{
    struct test_job *test = CONTAINER_OF(job, struct test_job, job);
    test->result = error;
    test->done++;
    finished_ids[done_count++] = test->id;
    if (done_count == expected_done) loop_stop(loop);
}

static enum err insert_run(struct db *db, struct db_job *job)
{
    struct test_job *test = CONTAINER_OF(job, struct test_job, job);
    return db_execute(db, insert_thing, DB_VALUES(db_u64(test->id), db_null(), db_null()), NULL);
}

static enum err gated_run(struct db *db, struct db_job *job)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return insert_run(db, job);
}

static void start_pool(const struct db_pool_config *config)
{
    done_count = closed_count = 0;
    expected_done = -1;
    assert_int_equal(loop_new(&loop), ERR_OK);
    assert_int_equal(db_pool_new(&pool, loop, config), ERR_OK);
}

static void stop_pool(void)
{
    db_pool_stop(pool, pool_closed, NULL);
    loop_run(loop);
    assert_int_equal(closed_count, 1);
    assert_int_equal(loop_free(&loop), ERR_OK);
}

static void run_until(int count)
{
    expected_done = count;
    if (done_count < count) loop_run(loop);
    assert_int_equal(done_count, count);
}

static void a_pool_runs_every_job_once(void **state)
{
    (void)state;
    static struct test_job jobs[500];
    memset(jobs, 0, sizeof jobs);
    start_pool(&(struct db_pool_config){
        .name = "test", .db = *database_start(), .threads = 4, .queue_limit = 500});
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        jobs[i].id = 10000 + i / 2; /* every second one a duplicate */
        jobs[i].job.run = insert_run;
        jobs[i].job.done = job_done;
        assert_int_equal(db_submit(pool, &jobs[i].job), ERR_OK);
        assert_int_equal(jobs[i].done, 0);
    }
    stop_pool(); /* what is queued runs to its end */
    unsigned ok = 0, exists = 0;
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        assert_int_equal(jobs[i].done, 1);
        ok += jobs[i].result == ERR_OK;
        exists += jobs[i].result == ERR_EXISTS;
    }
    assert_int_equal(ok, 250);
    assert_int_equal(exists, 250);
}

static void a_full_queue_refuses(void **state)
{
    (void)state;
    struct test_job jobs[8];
    memset(jobs, 0, sizeof jobs);
    start_pool(&(struct db_pool_config){
        .name = "test", .db = *database_start(), .threads = 1, .queue_limit = 3});
    pthread_mutex_lock(&gate);
    unsigned accepted = 0, full = 0;
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        jobs[i].id = 20000 + i;
        jobs[i].job.run = gated_run;
        jobs[i].job.done = job_done;
        enum err error = db_submit(pool, &jobs[i].job);
        accepted += error == ERR_OK;
        full += error == ERR_FULL;
        if (i == 0) {
            /* until the thread holds it at the gate */
            while (db_pool_waiting(pool) > 0) {
            }
        }
    }
    assert_int_equal(accepted, 4);
    assert_int_equal(full, 4);
    assert_int_equal(db_pool_waiting(pool), 3);
    pthread_mutex_unlock(&gate);
    run_until(4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(finished_ids[i], 20000 + i);
        assert_int_equal(jobs[i].result, ERR_OK);
    }
    db_pool_stop(pool, pool_closed, NULL);
    assert_int_equal(db_submit(pool, &jobs[5].job), ERR_CLOSED);
    loop_run(loop);
    assert_int_equal(closed_count, 1);
    assert_int_equal(loop_free(&loop), ERR_OK);
}

static size_t largest_batch;
static void insert_batch(struct db *db, struct db_job **jobs, size_t count, void *context)
{
    assert_string_equal(context, "context");
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    if (count > largest_batch) largest_batch = count;
    enum err error = db_begin(db);
    for (size_t i = 0; i < count; i++) {
        jobs[i]->error = error ? error : insert_run(db, jobs[i]);
    }
    if (!error) error = db_commit(db);
    for (size_t i = 0; error && i < count; i++) {
        jobs[i]->error = error;
    }
}

static void a_batch_takes_what_waits(void **state)
{
    (void)state;
    static struct test_job jobs[100];
    static char context[] = "context";
    memset(jobs, 0, sizeof jobs);
    start_pool(&(struct db_pool_config){.name = "committer",
                                        .db = *database_start(),
                                        .threads = 1,
                                        .queue_limit = 100,
                                        .batch_max = 32,
                                        .run_batch = insert_batch,
                                        .context = context});
    pthread_mutex_lock(&gate);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        jobs[i].id = 30000 + i;
        jobs[i].job.done = job_done;
        assert_int_equal(db_submit(pool, &jobs[i].job), ERR_OK);
    }
    pthread_mutex_unlock(&gate);
    run_until(100);
    assert_int_equal(largest_batch, 32);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        assert_int_equal(jobs[i].result, ERR_OK);
        assert_int_equal(finished_ids[i], 30000 + i);
    }
    stop_pool();
}

static enum err leave_open_run(struct db *db, struct db_job *job)
{
    enum err error = db_begin(db);
    return error ? error : insert_run(db, job);
}

static void a_forgotten_transaction_is_rolled_back(void **state)
{
    (void)state;
    struct test_job jobs[2] = {{.job.run = leave_open_run, .job.done = job_done, .id = 40000},
                               {.job.run = insert_run, .job.done = job_done, .id = 40000}};
    start_pool(&(struct db_pool_config){
        .name = "test", .db = *database_start(), .threads = 1, .queue_limit = 3});
    assert_int_equal(db_submit(pool, &jobs[0].job), ERR_OK);
    assert_int_equal(db_submit(pool, &jobs[1].job), ERR_OK);
    run_until(2);
    assert_int_equal(jobs[0].result, ERR_OK);
    assert_int_equal(jobs[1].result, ERR_OK);
    stop_pool();
}

static void a_job_without_server_ends_lost_and_the_pool_heals(void **state)
{
    (void)state;
    struct test_job jobs[4];
    memset(jobs, 0, sizeof jobs);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        jobs[i].job.run = insert_run;
        jobs[i].job.done = job_done;
        jobs[i].id = 50000 + i;
    }
    start_pool(&(struct db_pool_config){
        .name = "test", .db = *database_start(), .threads = 2, .queue_limit = 3});
    assert_int_equal(db_submit(pool, &jobs[0].job), ERR_OK);
    run_until(1);
    assert_int_equal(jobs[0].result, ERR_OK);
    database_kill();
    assert_int_equal(db_submit(pool, &jobs[1].job), ERR_OK);
    run_until(2);
    assert_int_equal(jobs[1].result, ERR_DB_LOST);
    database_restart();
    /* the connection that died while nobody used it is not tried: the next job just works */
    assert_int_equal(db_submit(pool, &jobs[2].job), ERR_OK);
    run_until(3);
    assert_int_equal(jobs[2].result, ERR_OK);
    database_kill();
    assert_int_equal(db_submit(pool, &jobs[3].job), ERR_OK);
    stop_pool();
    assert_true(jobs[3].result == ERR_CLOSED || jobs[3].result == ERR_DB_LOST);
    database_restart();
}

static void a_server_that_hangs_does_not_hold_the_jobs(void **state)
{
    (void)state;
    struct test_job jobs[2];
    struct db_config config = *database_start();
    memset(jobs, 0, sizeof jobs);
    config.connect_timeout_s = 2;
    start_pool(
        &(struct db_pool_config){.name = "test", .db = config, .threads = 1, .queue_limit = 3});
    database_freeze();
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        jobs[i].id = 60000 + i;
        jobs[i].job.run = insert_run;
        jobs[i].job.done = job_done;
        assert_int_equal(db_submit(pool, &jobs[i].job), ERR_OK);
    }
    /* while the server is still frozen: nobody thaws it before this returns */
    run_until(2);
    assert_int_equal(jobs[0].result, ERR_DB_LOST);
    assert_int_equal(jobs[1].result, ERR_DB_LOST);
    database_thaw();
    jobs[0].done = 0;
    assert_int_equal(db_submit(pool, &jobs[0].job), ERR_OK);
    stop_pool();
    assert_int_equal(jobs[0].done, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(many_rows_keep_their_order_and_length),
        cmocka_unit_test(misuse_is_an_error),
        cmocka_unit_test(a_duplicate_is_told_without_its_value),
        cmocka_unit_test(the_session_is_as_promised),
        cmocka_unit_test(a_lock_wait_dooms_the_transaction),
        cmocka_unit_test(a_deadlock_is_to_be_run_again),
        cmocka_unit_test(a_killed_connection_is_lost_or_uncertain),
        cmocka_unit_test(a_slow_statement_times_out),
        cmocka_unit_test(no_server_and_no_encryption_are_refused),
        cmocka_unit_test(a_pool_runs_every_job_once),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(a_batch_takes_what_waits),
        cmocka_unit_test(a_forgotten_transaction_is_rolled_back),
        cmocka_unit_test(a_job_without_server_ends_lost_and_the_pool_heals),
        cmocka_unit_test(a_server_that_hangs_does_not_hold_the_jobs),
    };
    return cmocka_run_group_tests(tests, open_two, close_two);
}
