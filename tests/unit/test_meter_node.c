/* The meter as one node of many: what it does when it is fenced, when another process takes its
 * name, and when it is stopped before it has joined. */
#include "base/clock.h"
#include "conf/settings.h"
#include "io/loop.h"
#include "meter_fixture.h"
#include "service/meter_private.h"
#include "store/node.h"

#include "unit.h"

enum { NODE = 1, OTHER_PROCESS = 99 };
#define DAYS_MS(days) ((days)*INT64_C(86400000))

static bool is_ready(void *unused)
{
    (void)unused;
    return meter_is_ready(services[NODE].meter);
}

static unsigned given_up;

static void give_up(void *unused)
{
    (void)unused;
    given_up++;
}

static bool has_given_up(void *unused)
{
    (void)unused;
    return given_up > 0;
}

static void begin(void)
{
    given_up = 0;
    meter_begin(NODE);
    services[NODE].give_up = give_up;
    loop_until(is_ready, NULL);
}

static bool has_joined_again(void *incarnation)
{
    return services[NODE].meter->incarnation > *(unsigned *)incarnation && is_ready(NULL);
}

static void a_fenced_node_joins_anew(void **unused)
{
    (void)unused;
    key_add(1, "endless");
    begin();
    struct meter *meter = services[NODE].meter;
    assert_int_equal(verify_until(NODE, 1, 1), VERIFY_VALID);
    unsigned former = meter->incarnation;
    sql("UPDATE node SET fenced = 1 WHERE id = %u AND incarnation = %u", meter->node, former);
    loop_until(has_joined_again, &former);
    assert_int_equal(verify_until(NODE, 1, 1), VERIFY_VALID);
    assert_int_equal(given_up, 0);
    meter_finish(NODE);
}

static void a_replaced_node_gives_up_and_fences_nobody(void **unused)
{
    (void)unused;
    key_add(2, "endless");
    begin();
    assert_int_equal(verify_until(NODE, 2, 1), VERIFY_VALID);
    struct node_joined other;
    must(node_join(db, "test-1", OTHER_PROCESS, clock_wall_ms(), &other));
    assert_int_equal(other.fenced, 1);
    loop_until(has_given_up, NULL);
    assert_int_equal(verify_on(NODE, 2, 1), VERIFY_UNAVAILABLE);
    assert_int_equal(verify_on(NODE, 2, 1), VERIFY_UNAVAILABLE);
    assert_int_equal(given_up, 1);
    assert_false(meter_is_ready(services[NODE].meter));
    must(node_heartbeat(db, other.id, other.incarnation, clock_wall_ms())); /* lives on */
    meter_finish(NODE);
    must(node_leave(db, clock_wall_ms(), other.id, other.incarnation));
}

static bool waits_to_join(void *unused)
{
    (void)unused;
    const struct meter *meter = services[NODE].meter;
    return meter->state == METER_JOINING && !meter->control_flying;
}

static bool is_closed;

static void on_closed(void *unused)
{
    (void)unused;
    is_closed = true;
}

static bool has_closed(void *unused)
{
    (void)unused;
    return is_closed;
}

/* A node that was fenced holds units and calls, but nothing of them can be written any more. The
 * clock is put back, so that no deadline ends the wait. */
static void a_stop_before_the_join_ends_at_once(void **unused)
{
    (void)unused;
    struct test_call call;
    key_add(3, "endless");
    begin();
    assert_int_equal(verify_until(NODE, 3, 1), VERIFY_VALID);
    struct db *holder = holder_begin("SELECT * FROM node_name FOR UPDATE");
    sql("UPDATE node SET fenced = 1 WHERE id = %u", services[NODE].meter->node);
    loop_until(waits_to_join, NULL);
    call_start(NODE, &call, 3, 1);
    meter_stop(services[NODE].meter, on_closed, NULL);
    clock_move(0, -HOUR_MS, 0);
    loop_until(has_closed, NULL);
    clock_move(0, HOUR_MS, 0);
    assert_true(call.done);
    assert_int_equal(call.call.code, VERIFY_UNAVAILABLE);
    services[NODE].meter = NULL;
    holder_end(&holder);
    meter_finish(NODE);
}

static bool beats(void *unused)
{
    (void)unused;
    return services[NODE].meter->heartbeat_flying;
}

static bool joined_while_it_left;

static bool has_left(void *unused)
{
    (void)unused;
    if (!is_closed && services[NODE].meter->state == METER_JOINING) joined_while_it_left = true;
    return is_closed;
}

/* Leaving is fencing oneself, and the feed tells of it. The heartbeat that waits for its row keeps
 * the stop going for longer than an idle meter leaves between two reads of the feed. */
static void a_node_that_leaves_does_not_take_its_own_fence_for_anothers(void **unused)
{
    (void)unused;
    is_closed = joined_while_it_left = false;
    begin();
    struct db *holder = holder_begin("SELECT * FROM node_heartbeat FOR UPDATE");
    loop_until(beats, NULL);
    meter_stop(services[NODE].meter, on_closed, NULL);
    loop_until(has_left, NULL);
    services[NODE].meter = NULL;
    holder_end(&holder);
    assert_false(joined_while_it_left);
    meter_finish(NODE);
}

/* ---- upkeep ---- */

static bool units_are_back(void *unused)
{
    (void)unused;
    return number_of("SELECT granted - settled FROM lease WHERE subject = 4") == 0;
}

static bool budget_is_gone(void *unused)
{
    (void)unused;
    return number_of("SELECT COUNT(*) FROM budget WHERE subject = 4") == 0;
}

static bool upkeep_was_due(void *before_us)
{
    const struct meter *meter = services[NODE].meter;
    return meter->upkeep_due_us > *(int64_t *)before_us && !meter->upkeep_flying;
}

static bool old_budget_is_gone(void *unused)
{
    (void)unused;
    return number_of("SELECT COUNT(*) FROM budget WHERE subject = 5") == 0;
}

static void upkeep_passes(struct meter *meter)
{
    int64_t due_us = meter->upkeep_due_us;
    loop_until(upkeep_was_due, &due_us);
}

/* The wall clock alone is ahead: somebody has set it. With the machine's own: it was wrong when the
 * daemon started, and the database's tells. */
static void old_rows_go_but_not_by_a_clock_that_is_wrong(void **unused)
{
    (void)unused;
    key_add(4, "five");
    begin();
    struct meter *meter = services[NODE].meter;
    assert_int_equal(verify_until(NODE, 4, 1), VERIFY_VALID);
    clock_move(0, 20 * 1000, 0); /* idle units are handed back */
    loop_until(units_are_back, NULL);
    int64_t feed_rows = number_of("SELECT COUNT(*) FROM feed");
    assert_true(feed_rows > 1);

    sql("INSERT INTO budget (kind, subject, period_start) VALUES (1, 5, 1)");
    clock_move(0, 61 * 1000, 0);
    loop_until(old_budget_is_gone, NULL);

    clock_move(DAYS_MS(94 + 31), 61 * 1000, 0);
    upkeep_passes(meter);
    assert_int_equal(number_of("SELECT COUNT(*) FROM budget WHERE subject = 4"), 1);
    assert_true(number_of("SELECT COUNT(*) FROM feed") >= feed_rows);

    clock_move(0, 61 * 1000, DAYS_MS(94 + 31));
    upkeep_passes(meter);
    assert_int_equal(number_of("SELECT COUNT(*) FROM budget WHERE subject = 4"), 1);

    struct settings *settings = (struct settings *)(uintptr_t)services[NODE].settings;
    settings->node.trust_clock = true;
    clock_move(0, 61 * 1000, 0);
    loop_until(budget_is_gone, NULL);
    assert_int_equal(number_of("SELECT COUNT(*) FROM lease WHERE subject = 4"), 0);
    assert_int_equal(number_of("SELECT COUNT(*) FROM usage_hour WHERE customer_id = 4"), 1);
    clock_move(-DAYS_MS(94 + 31), 0, -DAYS_MS(94 + 31));
    assert_int_equal(verify_until(NODE, 4, 1), VERIFY_VALID);
    meter_finish(NODE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fenced_node_joins_anew),
        cmocka_unit_test(a_replaced_node_gives_up_and_fences_nobody),
        cmocka_unit_test(a_stop_before_the_join_ends_at_once),
        cmocka_unit_test(a_node_that_leaves_does_not_take_its_own_fence_for_anothers),
        cmocka_unit_test(old_rows_go_but_not_by_a_clock_that_is_wrong),
    };
    return cmocka_run_group_tests(tests, meter_group_begin, meter_group_finish);
}
