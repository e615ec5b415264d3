/* The rule of sessions: every connection of every pool has the settings that keep a stopped client
 * from freezing the others; where one cannot be set there is no connection; and a client that stops
 * inside a transaction is ended by the server. */
#include "database_proxy.h"
#include "io/loop.h"
#include "meter_fixture.h"
#include "service/committer.h"
#include "service/meter_private.h"
#include "service/operation.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

struct asked {
    struct db_job job;
    struct operation operation; /* for the committer */
    char isolation[32];
    int64_t idle_s, lock_s, statement_ms;
    bool autocommit, done;
    enum err error;
};

static const char session_sql[] =
    "SELECT @@tx_isolation, @@idle_transaction_timeout, @@innodb_lock_wait_timeout, "
    "CAST(@@max_statement_time * 1000 AS SIGNED), @@autocommit";

static enum err session_read(struct db *on, struct asked *asked)
{
    struct db_rows rows;
    enum err error = db_query(on, session_sql, DB_NONE, &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    struct span isolation = db_get_span(&rows, 0);
    snprintf(asked->isolation, sizeof asked->isolation, "%.*s", (int)isolation.length,
             isolation.data);
    asked->idle_s = db_get_i64(&rows, 1);
    asked->lock_s = db_get_i64(&rows, 2);
    asked->statement_ms = db_get_i64(&rows, 3);
    asked->autocommit = db_get_i64(&rows, 4) == 1;
    db_finish(&rows);
    return ERR_OK;
}

static enum err asked_run(struct db *on, struct db_job *job)
{
    return session_read(on, CONTAINER_OF(job, struct asked, job));
}

static void asked_done(struct db_job *job, enum err error)
{
    struct asked *asked = CONTAINER_OF(job, struct asked, job);
    asked->error = error;
    asked->done = true;
}

static enum err operation_run(struct db *on, struct operation *operation)
{
    return session_read(on, CONTAINER_OF(operation, struct asked, operation));
}

static void operation_done(struct operation *operation, enum err error)
{
    asked_done(&CONTAINER_OF(operation, struct asked, operation)->job, error);
}

static bool is_done(void *asked)
{
    return ((struct asked *)asked)->done;
}

static void holds(struct asked *asked, int64_t statement_ms)
{
    loop_until(is_done, asked);
    must(asked->error);
    assert_string_equal(asked->isolation, "READ-COMMITTED");
    assert_int_equal(asked->idle_s, 1);
    assert_int_equal(asked->lock_s, 1);
    assert_int_equal(asked->statement_ms, statement_ms);
    assert_true(asked->autocommit);
}

static void closed(void *done)
{
    *(bool *)done = true;
}

static bool is_true(void *value)
{
    return *(bool *)value;
}

static void every_connection_of_every_pool_keeps_the_rules(void **state)
{
    (void)state;
    struct meter *meter = services[0].meter;
    struct {
        struct db_pool *pool;
        int64_t statement_ms;
    } pools[] = {{meter->flusher, 200},
                 {meter->loader, 2000},
                 {meter->leaser, 2000},
                 {meter->background, 10000},
                 {services[0].readers, 0}};
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        struct asked asked[3] = {0}; /* more than a pool has threads */
        for (size_t j = 0; j < COUNT_OF(asked); j++) {
            asked[j].job = (struct db_job){.run = asked_run, .done = asked_done};
            must(db_submit(pools[i].pool, &asked[j].job));
        }
        for (size_t j = 0; j < COUNT_OF(asked); j++)
            holds(&asked[j], pools[i].statement_ms);
    }
    bool done = false;
    must(committer_new(&services[0].committer, loop, services[0].database));
    struct asked asked = {
        .operation = {.service = &services[0], .run = operation_run, .done = operation_done}};
    must(operation_submit(&asked.operation));
    holds(&asked, 0);
    db_pool_stop(services[0].committer, closed, &done);
    loop_until(is_true, &done);
}

/* What is swallowed on the way, by a pooler or a server's settings, is noticed at the start. */
static void without_its_settings_there_is_no_connection(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *named;
    } swallowed[] = {
        {"LEVEL READ COMMITTED", "LEVEL SERIALIZABLE  ", "isolation"},
        {"idle_transaction_timeout = 1", "idle_transaction_timeout = 9",
         "idle_transaction_timeout"},
        {"innodb_lock_wait_timeout = 1", "innodb_lock_wait_timeout = 9",
         "innodb_lock_wait_timeout"},
        {"max_statement_time = 0.200", "max_statement_time = 0.000", "max_statement_time"},
        {"autocommit = 1", "autocommit = 0", "autocommit"},
    };
    struct db_config config = *database_proxy_start();
    config.max_statement_time_s = 0.2;
    struct db *open;
    for (size_t i = 0; i < COUNT_OF(swallowed); i++) {
        database_proxy_rewrite(swallowed[i].from, swallowed[i].to);
        enum err error = db_open(&open, &config);
        database_proxy_rewrite(NULL, NULL);
        if (error != ERR_DB || !strstr(db_error_text(open), swallowed[i].named))
            fail_msg("%s: %s, %s", swallowed[i].named, err_name(error), db_error_text(open));
        db_close(&open);
        must(db_open(&open, &config));
        db_close(&open);
    }
}

/* The locks of a client that was stopped by SIGSTOP, say, between two statements: its server ends
 * it, so that verifying goes on although nobody lets go. */
static void a_client_that_stops_in_a_transaction_freezes_nobody(void **state)
{
    (void)state;
    static const char *const locks[] = {
        "UPDATE node SET fenced_at = fenced_at", "SELECT seq FROM meter_journal FOR UPDATE",
        "SELECT used FROM budget FOR UPDATE",    "SELECT position FROM feed_head FOR UPDATE",
        "SELECT hash FROM key_hash FOR UPDATE",
    };
    for (unsigned i = 0; i < COUNT_OF(locks); i++) {
        struct db *stopped = database_open(); /* as any daemon's */
        key_add(1 + i, "five");
        must(db_command(stopped, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"));
        must(db_begin(stopped));
        must(db_command(stopped, locks[i]));
        must(db_command(stopped, "UPDATE customer SET updated_at = 1"));
        assert_int_equal(verify_until(0, 1 + i, 1), VERIFY_VALID);
        assert_int_equal(verify_until(0, 1 + i, 5), VERIFY_QUOTA_EXCEEDED);
        db_close(&stopped);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_connection_of_every_pool_keeps_the_rules),
        cmocka_unit_test(without_its_settings_there_is_no_connection),
        cmocka_unit_test(a_client_that_stops_in_a_transaction_freezes_nobody),
    };
    return cmocka_run_group_tests(tests, meter_group_begin, meter_group_finish);
}
