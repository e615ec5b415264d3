/* The engine's rules against a real MariaDB: what is accepted is counted, a quota is exact, a
 * change is obeyed by the very next call, and a database that does not answer gets nobody a yes. */
#include "meter_fixture.h"

#include "unit.h"

static void a_quota_is_exact_and_every_call_counted(void **state)
{
    (void)state;
    key_add(1, "five");
    for (int i = 0; i < 5; i++)
        assert_int_equal(verify_until(0, 1, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, 1, 1), VERIFY_QUOTA_EXCEEDED);
    assert_int_equal(verify_until(0, 1, 0), VERIFY_VALID);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = 1"), 5);
    assert_int_equal(number_of("SELECT leased FROM budget WHERE subject = 1"), 0);
    assert_int_equal(number_of("SELECT SUM(allowed) FROM usage_hour WHERE key_id = 1"), 6);
}

static void a_cost_that_does_not_fit_is_denied_and_leaves_the_rest(void **state)
{
    (void)state;
    key_add(2, "five");
    assert_int_equal(verify_until(0, 2, 3), VERIFY_VALID);
    assert_int_equal(verify_until(0, 2, 3), VERIFY_QUOTA_EXCEEDED);
    assert_int_equal(verify_until(0, 2, 2), VERIFY_VALID);
    assert_int_equal(verify_until(0, 2, 1), VERIFY_QUOTA_EXCEEDED);
}

static void many_at_once_accept_exactly_the_quota(void **state)
{
    (void)state;
    enum { CALLS = 64 };
    struct test_call calls[CALLS];
    key_add(3, "five");
    for (int i = 0; i < CALLS; i++)
        call_start(0, &calls[i], 3, 1);
    calls_wait();
    int valid = 0, exceeded = 0;
    for (int i = 0; i < CALLS; i++) {
        valid += calls[i].call.code == VERIFY_VALID;
        exceeded += calls[i].call.code == VERIFY_QUOTA_EXCEEDED;
    }
    assert_int_equal(valid, 5);
    assert_int_equal(exceeded, CALLS - 5);
}

static void a_change_is_obeyed_by_the_next_call_in_either_direction(void **state)
{
    (void)state;
    key_add(4, "endless");
    assert_int_equal(verify_until(0, 4, 1), VERIFY_VALID);
    for (int i = 0; i < 100; i++) {
        sql("UPDATE api_key SET disabled = 1 WHERE id = 4");
        feed_row(FEED_KEY, 4);
        assert_int_equal(verify_until(0, 4, 1), VERIFY_DISABLED);
        sql("UPDATE api_key SET disabled = 0 WHERE id = 4");
        feed_row(FEED_KEY, 4);
        assert_int_equal(verify_until(0, 4, 1), VERIFY_VALID);
    }
}

static void an_unknown_hash_works_once_it_is_there(void **state)
{
    (void)state;
    assert_int_equal(verify_until(0, 5, 1), VERIFY_NOT_FOUND);
    key_add(5, "endless");
    feed_hash(5);
    assert_int_equal(verify_until(0, 5, 1), VERIFY_VALID);
}

static void a_smaller_or_larger_quota_acts_at_once(void **state)
{
    (void)state;
    key_add(6, "five");
    assert_int_equal(verify_until(0, 6, 2), VERIFY_VALID);
    sql("UPDATE tier SET monthly_quota = 2 WHERE slug = 'five'");
    feed_row(FEED_TIER, 0);
    assert_int_equal(verify_until(0, 6, 1), VERIFY_QUOTA_EXCEEDED);
    sql("UPDATE tier SET monthly_quota = 5 WHERE slug = 'five'");
    feed_row(FEED_TIER, 0);
    assert_int_equal(verify_until(0, 6, 3), VERIFY_VALID);
}

static void a_stopped_database_answers_nobody_and_nothing_is_lost(void **state)
{
    (void)state;
    enum { CALLS = 20 };
    struct test_call calls[CALLS];
    key_add(7, "endless");
    assert_int_equal(verify_until(0, 7, 1), VERIFY_VALID);
    database_freeze();
    for (int i = 0; i < CALLS; i++)
        call_start(0, &calls[i], 7, 1);
    calls_wait();
    database_thaw();
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(calls[i].call.code, VERIFY_UNAVAILABLE);
    assert_int_equal(verify_until(0, 7, 1), VERIFY_VALID);
    fold_all();
    int64_t used = 0;
    for (int i = 0; i < 1000 && used != 2; i++) {
        assert_int_equal(verify_until(0, 7, 0), VERIFY_VALID); /* takes the refunds along */
        fold_all();
        used = number_of("SELECT used FROM budget WHERE subject = 7");
    }
    assert_int_equal(used, 2);
}

/* Also when the test failed: a frozen one would keep the others waiting. */
static int thaw(void **state)
{
    (void)state;
    database_thaw();
    return 0;
}

static void a_killed_database_loses_no_acknowledged_call(void **state)
{
    (void)state;
    key_add(8, "endless");
    int64_t accepted = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++)
            accepted += verify_until(0, 8, 1) == VERIFY_VALID;
        db_close(&db);
        database_kill();
        assert_int_equal(verify_on(0, 8, 1), VERIFY_UNAVAILABLE);
        database_restart();
        db = database_open();
        accepted += verify_until(0, 8, 1) == VERIFY_VALID;
    }
    assert_int_equal(accepted, 63);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = 8"), accepted);
}

static void two_nodes_accept_exactly_the_quota_between_them(void **state)
{
    (void)state;
    tier_add("fifty", "50", "[]");
    key_add(9, "fifty");
    meter_begin(1);
    int valid = 0;
    for (int i = 0; i < 60; i++)
        valid += verify_until(i % 2, 9, 1) == VERIFY_VALID;
    assert_int_equal(valid, 50);
    meter_finish(1);
}

static void a_restarted_node_takes_back_what_its_former_incarnation_held(void **state)
{
    (void)state;
    tier_add("hundred", "100", "[]");
    key_add(10, "hundred");
    assert_int_equal(verify_until(0, 10, 1), VERIFY_VALID);
    /* As a killed daemon leaves it: units leased to an incarnation that will never hand them back.
     */
    sql("INSERT INTO node (id, incarnation, fenced, started_at) VALUES (300, 1, 1, 0)");
    sql("INSERT INTO fold_owner (node, incarnation) VALUES (300, 1)");
    sql("INSERT INTO lease (node, incarnation, kind, subject, period_start, granted) SELECT 300, "
        "1, "
        "kind, subject, period_start, 60 FROM budget WHERE subject = 10");
    sql("UPDATE budget SET leased = leased + 60 WHERE subject = 10");
    assert_int_equal(verify_until(0, 10, 99), VERIFY_VALID);
    assert_int_equal(verify_until(0, 10, 1), VERIFY_QUOTA_EXCEEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quota_is_exact_and_every_call_counted),
        cmocka_unit_test(a_cost_that_does_not_fit_is_denied_and_leaves_the_rest),
        cmocka_unit_test(many_at_once_accept_exactly_the_quota),
        cmocka_unit_test(a_change_is_obeyed_by_the_next_call_in_either_direction),
        cmocka_unit_test(an_unknown_hash_works_once_it_is_there),
        cmocka_unit_test(a_smaller_or_larger_quota_acts_at_once),
        cmocka_unit_test_teardown(a_stopped_database_answers_nobody_and_nothing_is_lost, thaw),
        cmocka_unit_test(a_killed_database_loses_no_acknowledged_call),
        cmocka_unit_test(two_nodes_accept_exactly_the_quota_between_them),
        cmocka_unit_test(a_restarted_node_takes_back_what_its_former_incarnation_held),
    };
    return cmocka_run_group_tests(tests, meter_group_begin, meter_group_finish);
}
