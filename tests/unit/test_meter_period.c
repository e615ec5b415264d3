/* Billing-day periods in the engine: a quota begins anew on the customer's own day, and a new day
 * does not begin it. */
#include "base/clock.h"
#include "core/period.h"
#include "meter_fixture.h"

#include "unit.h"

static void months_set(unsigned customer, const struct period_rule *rule)
{
    sql("UPDATE entitlement SET anchor = %lld, kept_start = %lld, kept_until = %lld WHERE "
        "customer_id = %u",
        (long long)rule->anchor_ms, (long long)rule->kept_start_ms, (long long)rule->kept_until_ms,
        customer);
    feed_row(FEED_CUSTOMER, customer);
}

static void spend_all(unsigned key)
{
    for (int i = 0; i < 5; i++)
        assert_int_equal(verify_until(0, key, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, key, 1), VERIFY_QUOTA_EXCEEDED);
}

static void a_quota_begins_anew_on_the_customers_day(void **state)
{
    (void)state;
    /* An hour after its boundary, so that the next one is at least 27 days away. */
    struct period_rule rule = {.anchor_ms = clock_wall_ms() - HOUR_MS};
    key_add(1, "five");
    months_set(1, &rule);
    spend_all(1);
    struct period running = period_at(&rule, clock_wall_ms());
    clock_move(running.next_ms - clock_wall_ms() - 60 * 1000, 0, 0);
    assert_int_equal(verify_until(0, 1, 1), VERIFY_QUOTA_EXCEEDED);
    clock_move(60 * 1000, 0, 0);
    spend_all(1);
    fold_all();
    assert_int_equal(number_of("SELECT COUNT(*) FROM budget WHERE subject = 1 AND used = 5"), 2);
    assert_int_equal(number_of("SELECT SUM(allowed) FROM usage_hour WHERE key_id = 1 AND "
                               "period_start = %lld",
                               (long long)running.next_ms),
                     5);
}

static void a_new_day_keeps_what_was_used(void **state)
{
    (void)state;
    struct period_rule rule = {0};
    key_add(2, "five");
    months_set(2, &rule);
    spend_all(2);
    int64_t now_ms = clock_wall_ms();
    rule = period_anchor(&rule, now_ms - DAY_MS, now_ms);
    months_set(2, &rule);
    assert_int_equal(verify_until(0, 2, 1), VERIFY_QUOTA_EXCEEDED);
    clock_move(rule.kept_until_ms - now_ms - 60 * 1000, 0, 0);
    assert_int_equal(verify_until(0, 2, 1), VERIFY_QUOTA_EXCEEDED);
    clock_move(61 * 1000, 0, 0);
    spend_all(2);
}

int main(void)
{
    /* A try that was given up may have been spent all the same, and it is asked again. */
    meter_max_wait = "20s";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quota_begins_anew_on_the_customers_day),
        cmocka_unit_test(a_new_day_keeps_what_was_used),
    };
    return cmocka_run_group_tests(tests, meter_group_begin, meter_group_finish);
}
