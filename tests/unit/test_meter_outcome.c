/* The rule of unknown outcomes: a batch whose insert broke off is neither written twice nor lost.
 * The flusher's connection passes a relay, so that the client's side can end while the server's
 * goes on: the insert waits for a lock of the test's, and commits, or would, behind the break. */
#include "database_proxy.h"
#include "meter_fixture.h"
#include "service/meter_private.h"
#include "store/outcome.h"

#include "unit.h"

#include <stdio.h>

enum { CALLS = 5 };

static const char journal_lock[] = "SELECT seq FROM meter_journal FOR UPDATE";

static struct meter *meter(void)
{
    return services[0].meter;
}

/* An insert that has begun a moment ago (it ends by itself after 200 ms). */
static bool insert_waits(void *id)
{
    *(int64_t *)id = number_of("SELECT id FROM information_schema.processlist WHERE info LIKE "
                               "'INSERT INTO meter_journal%%' AND time_ms < 50");
    return *(int64_t *)id > 0;
}

static bool is_resolving(void *unused)
{
    (void)unused;
    return meter()->state == METER_RESOLVING;
}

static bool was_broken(void *resets)
{
    return meter()->state != METER_SERVING || meter()->stats.resets != *(uint64_t *)resets;
}

static bool is_serving(void *unused)
{
    (void)unused;
    return meter()->state == METER_SERVING;
}

/* Breaks the connection while its insert waits. Where the break came beside the statement, which a
 * busy machine can bring about, once more. */
static int64_t insert_cut(void)
{
    int64_t id = 0;
    do {
        uint64_t resets = meter()->stats.resets;
        loop_until(insert_waits, &id);
        if (!database_proxy_cut((uint64_t)id)) continue;
        loop_until(was_broken, &resets);
    } while (!is_resolving(NULL));
    return id;
}

static int64_t listed(int64_t id)
{
    return number_of("SELECT COUNT(*) FROM information_schema.processlist WHERE id = %lld",
                     (long long)id);
}

static void an_insert_that_was_cut_off_cannot_come_later(void **state)
{
    (void)state;
    struct test_call calls[CALLS];
    key_add(1, "endless");
    assert_int_equal(verify_until(0, 1, 0), VERIFY_VALID);
    struct db *holder = holder_begin(journal_lock);
    for (int i = 0; i < CALLS; i++)
        call_start(0, &calls[i], 1, 1);
    int64_t id = insert_cut();
    loop_until(is_serving, NULL);
    assert_int_equal(listed(id), 0);
    holder_end(&holder); /* here an insert that still waited would be committed */
    calls_wait();
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(calls[i].call.code, VERIFY_VALID);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = 1"), CALLS);
    assert_int_equal(number_of("SELECT SUM(allowed) FROM usage_hour WHERE key_id = 1"), CALLS + 1);
}

static bool row_stands(void *unused)
{
    (void)unused;
    return number_of(
               "SELECT COUNT(*) FROM meter_journal j JOIN fold_owner f ON f.node = j.node AND "
               "f.incarnation = j.incarnation AND j.seq > f.folded WHERE j.node = %u AND "
               "j.incarnation = %u",
               meter()->node, meter()->incarnation) > 0;
}

/* Starts the calls; their insert commits, but the answer to it never comes. False: the mute came
 * beside the statement. */
static bool answer_lost(struct test_call calls[CALLS], unsigned key, int64_t *id)
{
    fold_all();
    struct db *holder = holder_begin(journal_lock);
    for (int i = 0; i < CALLS; i++)
        call_start(0, &calls[i], key, 1);
    do
        loop_until(insert_waits, id);
    while (!database_proxy_mute((uint64_t)*id));
    holder_end(&holder);
    loop_until(row_stands, NULL);
    return meter()->state == METER_SERVING && !calls[0].done && listed(*id) == 1;
}

static bool own_commit_waits(void *call)
{
    return ((struct test_call *)call)->done ||
           number_of("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'UPDATE "
                     "node_heartbeat%%' AND info NOT LIKE '%%CONNECTION_ID%%'") > 0;
}

static void what_was_committed_unseen_is_found_once_and_made_durable(void **state)
{
    (void)state;
    struct test_call calls[CALLS], sixth;
    int64_t id;
    unsigned key = 2;
    do {
        key_add(key, "five");
        assert_int_equal(verify_until(0, key, 0), VERIFY_VALID);
    } while (!answer_lost(calls, key, &id) && (calls_wait(), ++key < 6));
    fold_all(); /* the row stays all the same: the newest of its incarnation */
    struct db *holder = holder_begin("SELECT node FROM node_heartbeat FOR UPDATE");
    uint64_t resets = meter()->stats.resets;
    assert_true(database_proxy_cut((uint64_t)id));
    loop_until(was_broken, &resets);
    assert_int_equal(meter()->state, METER_RESOLVING);
    call_start(0, &sixth, key, 1); /* while its units are in doubt */
    loop_until(own_commit_waits, &calls[0]);
    assert_false(calls[0].done || sixth.done);
    assert_int_equal(listed(id), 0);
    holder_end(&holder);
    calls_wait();
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(calls[i].call.code, VERIFY_VALID);
    assert_int_equal(sixth.call.code, VERIFY_QUOTA_EXCEEDED);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = %u", key), CALLS);
    assert_int_equal(number_of("SELECT SUM(allowed) FROM usage_hour WHERE key_id = %u", key),
                     CALLS + 1);
}

static bool is_unresolved_or_through(void *unused)
{
    return meter()->unresolved || is_serving(unused);
}

/* The heartbeat saw the fence while the insert was under way, and the join stands behind it. */
static void a_node_that_joins_anew_looks_for_its_batch_first(void **state)
{
    (void)state;
    struct test_call call;
    int64_t id = 0;
    unsigned before = meter()->incarnation;
    key_add(7, "endless");
    assert_int_equal(verify_until(0, 7, 0), VERIFY_VALID);
    struct db *holder = holder_begin(journal_lock);
    call_start(0, &call, 7, 1);
    do {
        loop_until(insert_waits, &id);
        meter()->control_retry_us = 0;
        meter_join(meter());
        assert_true(meter()->control_flying);
        if (database_proxy_cut((uint64_t)id)) loop_until(is_unresolved_or_through, NULL);
    } while (!meter()->unresolved);
    holder_end(&holder);
    assert_int_equal(verify_until(0, 7, 1), VERIFY_VALID);
    calls_wait();
    assert_int_equal(call.call.code, VERIFY_VALID);
    assert_true(meter()->incarnation > before);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = 7"), 2);
}

/* A connection that has much to roll back is killed at once and gone much later. */
static void a_killed_connection_is_waited_for(void **state)
{
    (void)state;
    sql("CREATE TABLE heap (id INT PRIMARY KEY, text CHAR(200))");
    struct db *old = holder_begin("INSERT INTO heap SELECT seq, '' FROM seq_1_to_100000");
    int64_t id = (int64_t)db_connection_id(old);
    must(outcome_end_connection(db, (uint64_t)id, 0, 20000));
    assert_int_equal(listed(id), 0);
    assert_int_equal(number_of("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE "
                               "trx_mysql_thread_id = %lld",
                               (long long)id),
                     0);
    assert_int_not_equal(db_commit(old), ERR_OK);
    db_close(&old);
    assert_int_equal(number_of("SELECT COUNT(*) FROM heap"), 0);
}

static int begin(void **state)
{
    meter_database = database_proxy_start();
    meter_max_wait = "20s";
    return meter_group_begin(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_insert_that_was_cut_off_cannot_come_later),
        cmocka_unit_test(what_was_committed_unseen_is_found_once_and_made_durable),
        cmocka_unit_test(a_node_that_joins_anew_looks_for_its_batch_first),
        cmocka_unit_test(a_killed_connection_is_waited_for),
    };
    return cmocka_run_group_tests(tests, begin, meter_group_finish);
}
