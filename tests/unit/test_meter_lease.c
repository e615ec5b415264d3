/* What a node remembers of its leases, and what it finds again in the database. */
#include "base/clock.h"
#include "core/period.h"
#include "meter_fixture.h"

#include "unit.h"

#include <stdio.h>

/* As a take leaves it whose commit was lost on the way back: the row knows of units, memory does
 * not. */
static void units_of_a_take_whose_answer_was_lost_are_found_again(void **state)
{
    (void)state;
    long long period = period_month_start(clock_wall_ms());
    key_add(4, "endless");
    assert_int_equal(verify_until(0, 4, 1), VERIFY_VALID); /* the node has joined */
    key_add(1, "five");
    sql("INSERT INTO budget (kind, subject, period_start, leased) VALUES (1, 1, %lld, 5)", period);
    sql("INSERT INTO lease (node, incarnation, kind, subject, period_start, granted) SELECT id, "
        "incarnation, 1, 1, %lld, 5 FROM node WHERE fenced = 0",
        period);
    for (int i = 0; i < 5; i++)
        assert_int_equal(verify_until(0, 1, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, 1, 1), VERIFY_QUOTA_EXCEEDED);
}

static bool no_units_out(void *context)
{
    (void)context;
    return number_of("SELECT granted FROM lease WHERE subject = 2") == 3;
}

static bool no_budgets(void *context)
{
    struct meter_stats stats;
    meter_get_stats(context, &stats);
    return !stats.budgets;
}

static void a_budget_that_left_memory_knows_what_was_spent(void **state)
{
    (void)state;
    key_add(2, "five");
    for (int i = 0; i < 3; i++)
        assert_int_equal(verify_until(0, 2, 1), VERIFY_VALID);
    clock_move(0, 20 * 1000, 0); /* idle: what is unspent is handed back */
    loop_until(no_units_out, NULL);
    clock_move(0, 100 * 1000, 0);
    loop_until(no_budgets, services[0].meter);
    assert_int_equal(verify_until(0, 2, 3), VERIFY_QUOTA_EXCEEDED);
    assert_int_equal(verify_until(0, 2, 2), VERIFY_VALID);
    assert_int_equal(verify_until(0, 2, 1), VERIFY_QUOTA_EXCEEDED);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = 2"), 5);
    assert_int_equal(number_of("SELECT leased FROM budget WHERE subject = 2"), 0);
}

static int64_t accepted;

static bool all_is_settled(void *context)
{
    (void)context;
    fold_all();
    return number_of("SELECT leased FROM budget WHERE subject = 3") == 0 &&
           number_of("SELECT used FROM budget WHERE subject = 3") == accepted;
}

/* A call that got 503 is given back also when the incarnation that charged it has ended. */
static void a_fenced_node_begins_anew_and_the_sum_is_right(void **state)
{
    (void)state;
    tier_add("fifty", "50", "[]");
    key_add(3, "fifty");
    for (int round = 0; round < 5; round++) {
        struct test_call calls[8];
        for (int i = 0; i < 8; i++)
            call_start(0, &calls[i], 3, 1);
        sql("UPDATE node SET fenced = 1 WHERE fenced = 0");
        calls_wait();
        for (int i = 0; i < 8; i++)
            accepted += calls[i].call.code == VERIFY_VALID;
    }
    while (accepted < 50)
        accepted += verify_until(0, 3, 1) == VERIFY_VALID;
    assert_int_equal(verify_until(0, 3, 1), VERIFY_QUOTA_EXCEEDED);
    loop_until(all_is_settled, NULL);
}

static bool is_handed_back(void *context)
{
    (void)context;
    return number_of("SELECT granted FROM lease WHERE subject = 5") < 5;
}

/* A call waits for more than is there, so that all that is unspent is being handed back; it has
 * gone with its 503 before that is through, and the next call finds nobody waiting. */
static void units_that_are_being_handed_back_are_not_spent(void **state)
{
    (void)state;
    uint64_t taken = 1;
    struct test_call call;
    key_add(5, "five");
    assert_int_equal(verify_until(0, 5, 1), VERIFY_VALID);
    assert_int_equal(number_of("SELECT granted FROM lease WHERE subject = 5"), 5);
    struct db *holder = holder_begin("SELECT * FROM budget WHERE subject = 5 FOR UPDATE");
    assert_int_equal(verify_on(0, 5, 5), VERIFY_UNAVAILABLE);
    call_start(0, &call, 5, 1);
    calls_wait();
    taken += call.call.code == VERIFY_VALID;
    holder_end(&holder);
    loop_until(is_handed_back, NULL);
    meter_begin(1);
    taken += verify_until(1, 5, 4) == VERIFY_VALID ? 4 : 0;
    meter_finish(1);
    assert_true(taken <= 5);
}

static bool only_the_answered_are_counted(void *context)
{
    (void)context;
    fold_all();
    return number_of("SELECT SUM(allowed) FROM usage_hour WHERE key_id = 9") == 1 &&
           number_of("SELECT used FROM budget WHERE subject = 9") == 1;
}

static void a_call_answered_503_is_in_no_count(void **state)
{
    (void)state;
    struct test_call calls[6];
    key_add(9, "endless");
    assert_int_equal(verify_until(0, 9, 1), VERIFY_VALID);
    database_freeze();
    for (int i = 0; i < 6; i++)
        call_start(0, &calls[i], 9, (uint64_t)i % 2);
    calls_wait();
    database_thaw();
    for (int i = 0; i < 6; i++)
        assert_int_equal(calls[i].call.code, VERIFY_UNAVAILABLE);
    loop_until(only_the_answered_are_counted, NULL);
}

static void ask_append(uint64_t customer, unsigned node, unsigned incarnation)
{
    struct feed_row row = {.kind = FEED_ASK, .subject = customer};
    snprintf(row.slug, sizeof row.slug, "1:%lld:%u:%u",
             (long long)period_month_start(clock_wall_ms()), node, incarnation);
    must(db_begin(db));
    must(feed_append(db, clock_wall_ms(), &row, 1, NULL, 0, NULL, NULL));
    must(db_commit(db));
}

static int64_t unspent_of(uint64_t customer)
{
    return number_of("SELECT leased FROM budget WHERE subject = %d", (int)customer) - 1;
}

static bool is_given_up(void *customer)
{
    fold_all();
    return number_of("SELECT leased FROM budget WHERE subject = %d", *(int *)customer) == 0;
}

/* The feed may bring the row before the take that made it has answered. */
static void its_own_ask_is_not_another_nodes(void **state)
{
    (void)state;
    unsigned node, incarnation;
    for (unsigned key = 10; key <= 11; key++) {
        key_add(key, "endless");
        assert_int_equal(verify_until(0, key, 1), VERIFY_VALID);
    }
    int64_t unspent = unspent_of(10);
    assert_true(unspent > 0 && unspent_of(11) > 0);
    assert_true(meter_identity(services[0].meter, &node, &incarnation));
    ask_append(10, node, incarnation);
    ask_append(11, node + 1, incarnation); /* applied after it */
    loop_until(is_given_up, &(int){11});
    assert_true(unspent_of(10) >= unspent - 1);
    ask_append(10, node, incarnation + 1);
    loop_until(is_given_up, &(int){10});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_of_a_take_whose_answer_was_lost_are_found_again),
        cmocka_unit_test(units_that_are_being_handed_back_are_not_spent),
        cmocka_unit_test(a_budget_that_left_memory_knows_what_was_spent),
        cmocka_unit_test(its_own_ask_is_not_another_nodes),
        cmocka_unit_test(a_call_answered_503_is_in_no_count),
        cmocka_unit_test(a_fenced_node_begins_anew_and_the_sum_is_right),
    };
    return cmocka_run_group_tests(tests, meter_group_begin, meter_group_finish);
}
