/* The rule of the one committer: waiting operations share a transaction and a savepoint undoes one
 * of them alone; the head of change feed and audit chain is the last lock taken, so that whoever
 * waits for a key keeps nobody from committing; positions are dense in the order of commits. */
#include "service/committer.h"

#include "crypto/audit_chain.h"
#include "database.h"
#include "io/loop.h"
#include "service/context.h"
#include "service/operation.h"

#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct service service;
static struct db *db;

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(db));
}

static int64_t number(const char *sql)
{
    struct db_rows rows;
    must(db_query(db, sql, DB_NONE, &rows));
    assert_true(db_next(&rows));
    int64_t value = db_get_i64(&rows, 0);
    db_finish(&rows);
    return value;
}

/* ---- operations that change a customer ---- */
struct touch {
    struct operation operation;
    uint64_t customer;
    enum err result; /* after the change */
    bool finished;
};

static unsigned unfinished;

static enum err touch_run(struct db *on, struct operation *operation)
{
    struct touch *touch = CONTAINER_OF(operation, struct touch, operation);
    enum err error = db_execute(on, "UPDATE customer SET updated_at = updated_at + 1 WHERE id = ?",
                                DB_VALUES(db_u64(touch->customer)), NULL);
    if (error) return error;
    operation_feed(operation, FEED_CUSTOMER, touch->customer);
    operation_audit(operation, "touch", "cus_x", touch->customer, NULL);
    return touch->result;
}

static void touch_done(struct operation *operation, enum err error)
{
    struct touch *touch = CONTAINER_OF(operation, struct touch, operation);
    touch->finished = true;
    operation->job.error = error;
    if (!--unfinished) loop_stop(service.loop);
}

static void touch_init(struct touch *touch, uint64_t customer)
{
    *touch = (struct touch){.customer = customer};
    touch->operation.run = touch_run;
    touch->operation.done = touch_done;
    touch->operation.service = &service;
    strcpy(touch->operation.actor, "system");
}

static enum err touch_on(struct db *on, uint64_t customer)
{
    struct touch touch;
    struct operation *operation = &touch.operation;
    touch_init(&touch, customer);
    committer_run(on, &operation, 1, database_start());
    return operation->job.error;
}

/* ---- the chain and the positions, as they stand ---- */
static void audit_is_whole(int64_t count)
{
    unsigned char hash[AUDIT_HASH_SIZE] = {0};
    struct db_rows rows;
    must(db_query(db,
                  "SELECT sequence, id, at, actor, action, subject, customer_id, address, "
                  "request_id, detail, hash FROM audit ORDER BY sequence",
                  DB_NONE, &rows));
    for (int64_t sequence = 1; sequence <= count; sequence++) {
        assert_true(db_next(&rows));
        struct audit_entry entry = {.sequence = (uint64_t)sequence,
                                    .id = db_get_u64(&rows, 1),
                                    .at = db_get_i64(&rows, 2),
                                    .actor = db_get_span(&rows, 3),
                                    .action = db_get_span(&rows, 4),
                                    .subject = db_get_span(&rows, 5),
                                    .customer_id = db_get_u64(&rows, 6),
                                    .address = db_get_span(&rows, 7),
                                    .request_id = db_get_span(&rows, 8),
                                    .detail = db_get_span(&rows, 9)};
        assert_int_equal(db_get_i64(&rows, 0), sequence);
        audit_chain_next(hash, &entry, hash);
        assert_memory_equal(hash, db_get_span(&rows, 10).data, AUDIT_HASH_SIZE);
    }
    assert_false(db_next(&rows));
}

/* One statement, one snapshot: a position without its row would be one that came out of order. */
static void feed_is_dense(void)
{
    assert_int_equal(number("SELECT MAX(position) - COUNT(*) FROM feed"), 0);
}

/* ---- tests ---- */
static void closed(void *unused)
{
    (void)unused;
    loop_stop(service.loop);
}

/* A connection in a transaction that the server does not end. */
static struct db *patient_open(void)
{
    struct db *patient = database_open();
    assert_int_equal(db_command(patient, "SET SESSION idle_transaction_timeout = 0"), ERR_OK);
    assert_int_equal(db_begin(patient), ERR_OK);
    return patient;
}

/* The first one waits for a row, so that all the others gather behind it. */
static void what_waits_is_merged_and_one_refusal_undoes_one(void **state)
{
    (void)state;
    enum { MANY = COMMITTER_BATCH_MAX };
    static struct touch first, touches[MANY];
    struct db *holder = patient_open();
    must(loop_new(&service.loop));
    must(committer_new(&service.committer, service.loop, database_start()));
    must(db_command(holder, "SELECT id FROM customer WHERE id = 200 FOR UPDATE"));
    touch_init(&first, 200);
    must(operation_submit(&first.operation));
    while (db_pool_waiting(service.committer))
        continue; /* until its thread has it */
    unfinished = 1 + MANY;
    for (unsigned i = 0; i < MANY; i++) {
        touch_init(&touches[i], 1 + i);
        if (i % 10 == 5) touches[i].result = ERR_DENIED;
        must(operation_submit(&touches[i].operation));
    }
    db_rollback(holder);
    loop_run(service.loop);
    assert_int_equal(first.operation.job.error, ERR_OK);
    int64_t good = 1;
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(touches[i].finished);
        assert_int_equal(touches[i].operation.job.error, i % 10 == 5 ? ERR_DENIED : ERR_OK);
        good += i % 10 != 5;
    }
    assert_int_equal(number("SELECT SUM(updated_at) FROM customer"), good);
    assert_int_equal(number("SELECT COUNT(*) FROM feed WHERE kind = 2"), good);
    /* A transaction has one tag. */
    assert_int_equal(number("SELECT COUNT(DISTINCT tag) FROM feed WHERE kind = 2"), 2);
    feed_is_dense();
    audit_is_whole(good);
    db_close(&holder);
    db_pool_stop(service.committer, closed, NULL);
    loop_run(service.loop);
    assert_int_equal(loop_free(&service.loop), ERR_OK);
}

struct runner {
    pthread_t thread;
    struct db *db;
    uint64_t customer;
    unsigned rounds, batch;
    enum err error;
};
static atomic_uint running;

static void *runner_main(void *context)
{
    struct runner *runner = context;
    struct touch *touches = calloc(runner->batch, sizeof *touches);
    struct operation **operations = calloc(runner->batch, sizeof(void *));
    for (unsigned round = 0; round < runner->rounds && !runner->error; round++) {
        for (unsigned i = 0; i < runner->batch; i++) {
            touch_init(&touches[i], runner->customer + i);
            touches[i].result = i == 3 ? ERR_DENIED : ERR_OK;
            operations[i] = &touches[i].operation;
        }
        committer_run(runner->db, operations, runner->batch, database_start());
        for (unsigned i = 0; i < runner->batch && !runner->error; i++)
            if (operations[i]->job.error != touches[i].result)
                runner->error = operations[i]->job.error ? operations[i]->job.error : ERR_INVALID;
    }
    free(touches);
    free(operations);
    running--;
    return NULL;
}

static void runner_start(struct runner *runner)
{
    runner->db = database_open();
    running++;
    assert_int_equal(pthread_create(&runner->thread, NULL, runner_main, runner), 0);
}

static enum err runner_join(struct runner *runner)
{
    pthread_join(runner->thread, NULL);
    db_close(&runner->db);
    return runner->error;
}

static void two_committers_leave_no_gap_and_one_chain(void **state)
{
    (void)state;
    struct runner runners[2] = {{.customer = 1, .rounds = 40, .batch = 8},
                                {.customer = 101, .rounds = 40, .batch = 8}};
    for (int i = 0; i < 2; i++)
        runner_start(&runners[i]);
    while (running)
        feed_is_dense();
    for (int i = 0; i < 2; i++)
        assert_int_equal(runner_join(&runners[i]), ERR_OK);
    feed_is_dense();
    assert_int_equal(number("SELECT COUNT(*) FROM feed"), 1 + 2 * 40 * 7);
    assert_int_equal(number("SELECT position FROM feed_head"), 1 + 2 * 40 * 7);
    audit_is_whole(2 * 40 * 7);
}

static enum err nothing_run(struct db *on, struct operation *operation)
{
    (void)on;
    (void)operation;
    return ERR_OK;
}

/* It may have seen that another had done it, and that commit need not be durable yet. */
static void what_changed_nothing_is_answered_behind_a_commit_too(void **state)
{
    (void)state;
    struct touch touch;
    struct operation *operation = &touch.operation;
    int64_t before = number("SELECT position FROM feed_head");
    touch_init(&touch, 1);
    operation->run = nothing_run;
    committer_run(db, &operation, 1, database_start());
    assert_int_equal(operation->job.error, ERR_OK);
    assert_int_equal(number("SELECT position FROM feed_head"), before + 1);
    feed_is_dense();
}

/* ---- several at once ---- */

static unsigned attempts;

/* A customer of 0: nothing is to be done. One whose result is an error fails all of them. */
static enum err touch_many(struct db *on, struct operation **operations, size_t count)
{
    attempts++;
    for (size_t i = 0; i < count; i++) {
        struct touch *touch = CONTAINER_OF(operations[i], struct touch, operation);
        operations[i]->job.error = touch->customer ? ERR_OK : ERR_NOT_FOUND;
        if (!touch->customer) continue;
        enum err error = touch_run(on, operations[i]);
        if (error) return error;
    }
    return ERR_OK;
}

static void one_of_many_that_cannot_be_done_leaves_the_others_alone(void **state)
{
    (void)state;
    enum { COUNT = 20, REFUSED = 3, NOTHING = 7, FAILS = 12, ALONE = 16 };
    struct touch touches[COUNT];
    struct operation *operations[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        touch_init(&touches[i], i == NOTHING ? 0 : 1 + i);
        operations[i] = &touches[i].operation;
        if (i != REFUSED && i != ALONE) operations[i]->run_many = touch_many;
    }
    touches[REFUSED].result = ERR_DENIED;
    touches[FAILS].result = ERR_DB;
    attempts = 0;
    committer_run(db, operations, COUNT, database_start());
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(operations[i]->job.error, i == REFUSED   ? ERR_DENIED
                                                   : i == NOTHING ? ERR_NOT_FOUND
                                                   : i == FAILS   ? ERR_DB
                                                                  : ERR_OK);
    /* 3 before the refused one, 12 with one that fails, 3 behind the one alone. */
    assert_int_equal(attempts, 1 + (1 + 2 + 2 + 2 + 2) + 1);
    assert_int_equal(number("SELECT SUM(updated_at) FROM customer"), COUNT - 3);
    assert_int_equal(number("SELECT COUNT(DISTINCT tag) FROM feed WHERE kind = 2"), 1);
    audit_is_whole(COUNT - 3);
    feed_is_dense();
}

enum { LOOKS = 100000 };

static void wait_for_lock(const char *statement_like)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%s'",
             statement_like);
    struct db *looker = database_open();
    int64_t seen = 0;
    for (int i = 0; i < LOOKS && !seen; i++) {
        struct db_rows rows;
        assert_int_equal(db_query(looker, sql, DB_NONE, &rows), ERR_OK);
        if (db_next(&rows)) seen = db_get_i64(&rows, 0);
        db_finish(&rows);
    }
    db_close(&looker);
    assert_true(seen);
}

/* Another daemon's transaction holds a customer and appends to the feed only later. Whoever waits
 * for that customer has not got the head: neither that transaction nor a third waits for it. */
static void who_waits_for_a_key_does_not_hold_the_head(void **state)
{
    (void)state;
    static struct runner waiter = {.customer = 7, .rounds = 1, .batch = 1};
    struct db *other = patient_open(), *third = database_open();
    struct feed_row row = {.kind = FEED_CUSTOMER, .subject = 7};
    must(db_command(other, "UPDATE customer SET updated_at = 1 WHERE id = 7"));
    runner_start(&waiter);
    wait_for_lock("UPDATE customer SET updated_at = updated_at + 1%");
    assert_int_equal(db_command(third, "SELECT position FROM feed_head FOR UPDATE NOWAIT"), ERR_OK);
    assert_int_equal(touch_on(third, 8), ERR_OK);
    assert_int_equal(feed_append(other, 1, &row, 1, NULL, 0, NULL, NULL), ERR_OK);
    assert_int_equal(db_commit(other), ERR_OK);
    assert_int_equal(runner_join(&waiter), ERR_OK);
    assert_int_equal(number("SELECT updated_at FROM customer WHERE id = 7"), 2);
    feed_is_dense();
    db_close(&other);
    db_close(&third);
}

/* While somebody has the head, an operation that is refused is told so, and locks nothing. */
static void a_refusal_does_not_wait_for_the_head(void **state)
{
    (void)state;
    struct touch touch;
    struct operation *operation = &touch.operation;
    struct db *holder = patient_open(), *other = database_open();
    must(db_command(holder, "SELECT position FROM feed_head FOR UPDATE"));
    touch_init(&touch, 9);
    touch.result = ERR_DENIED;
    committer_run(other, &operation, 1, database_start());
    assert_int_equal(operation->job.error, ERR_DENIED);
    assert_int_equal(touch_on(other, 9), ERR_DB_RETRY); /* it is held all the while */
    db_rollback(holder);
    assert_int_equal(touch_on(other, 9), ERR_OK);
    assert_int_equal(number("SELECT updated_at FROM customer WHERE id = 9"), 1);
    db_close(&holder);
    db_close(&other);
}

static int begin(void **state)
{
    (void)state;
    database_migrate();
    db = database_open();
    return db_command(db, "INSERT INTO customer (id, metadata, created_at, updated_at) SELECT seq, "
                          "'{}', 0, 0 FROM seq_1_to_200");
}

static int finish(void **state)
{
    (void)state;
    db_close(&db);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_is_merged_and_one_refusal_undoes_one, begin,
                                        finish),
        cmocka_unit_test_setup_teardown(two_committers_leave_no_gap_and_one_chain, begin, finish),
        cmocka_unit_test_setup_teardown(what_changed_nothing_is_answered_behind_a_commit_too, begin,
                                        finish),
        cmocka_unit_test_setup_teardown(one_of_many_that_cannot_be_done_leaves_the_others_alone,
                                        begin, finish),
        cmocka_unit_test_setup_teardown(who_waits_for_a_key_does_not_hold_the_head, begin, finish),
        cmocka_unit_test_setup_teardown(a_refusal_does_not_wait_for_the_head, begin, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
