/* core/quota_notice: each threshold once for a limit. */
#include "core/quota_notice.h"

#include "unit.h"

static struct quota_told told;

/* What is due, written down as told: 0, 80, 100, or 180 for both. */
static int use(uint64_t limit, uint64_t used)
{
    struct quota_notices due = quota_notices_due(limit, used, &told);
    if (due.at_80) told.at_80 = limit;
    if (due.at_100) told.at_100 = limit;
    return due.at_80 * 80 + due.at_100 * 100;
}

static int nothing_told(void **state)
{
    (void)state;
    told = (struct quota_told){0};
    return 0;
}

static void each_is_told_once(void **state)
{
    (void)state;
    assert_int_equal(use(1000, 0), 0);
    assert_int_equal(use(1000, 799), 0);
    assert_int_equal(use(1000, 800), 80);
    assert_int_equal(use(1000, 801), 0);
    assert_int_equal(use(1000, 999), 0);
    assert_int_equal(use(1000, 1000), 100);
    assert_int_equal(use(1000, 5000), 0);
}

static void one_step_may_reach_both(void **state)
{
    (void)state;
    assert_int_equal(use(1000, 1000), 180);
    assert_int_equal(use(1000, 1000), 0);
}

static void a_higher_limit_counts_anew(void **state)
{
    (void)state;
    assert_int_equal(use(1000, 1000), 180);
    assert_int_equal(use(100000, 1000), 0);
    assert_int_equal(use(100000, 79999), 0);
    assert_int_equal(use(100000, 80000), 80);
    assert_int_equal(use(1000, 80000), 0);
    assert_int_equal(use(100000, 80001), 0);
    assert_int_equal(use(100000, 100000), 100);
}

static void a_lower_limit_is_told_when_it_was_not_reached_before(void **state)
{
    (void)state;
    assert_int_equal(use(2000, 1600), 80);
    assert_int_equal(use(1800, 1600), 0);
    assert_int_equal(use(1600, 1600), 100);
}

static void thresholds_are_rounded_up_and_never_overflow(void **state)
{
    (void)state;
    assert_int_equal(use(1, 0), 0);
    assert_int_equal(use(1, 1), 180);
    told = (struct quota_told){0};
    assert_int_equal(use(7, 5), 0); /* 5.6 */
    assert_int_equal(use(7, 6), 80);
    told = (struct quota_told){0};
    assert_int_equal(use(UINT64_MAX, UINT64_MAX / 5 * 4 - 1), 0);
    assert_int_equal(use(UINT64_MAX, UINT64_MAX / 5 * 4), 80);
}

static void a_limit_of_nothing_is_never_told(void **state)
{
    (void)state;
    assert_int_equal(use(0, 0), 0);
    assert_int_equal(use(0, 10), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_is_told_once, nothing_told),
        cmocka_unit_test_setup(one_step_may_reach_both, nothing_told),
        cmocka_unit_test_setup(a_higher_limit_counts_anew, nothing_told),
        cmocka_unit_test_setup(a_lower_limit_is_told_when_it_was_not_reached_before, nothing_told),
        cmocka_unit_test_setup(thresholds_are_rounded_up_and_never_overflow, nothing_told),
        cmocka_unit_test_setup(a_limit_of_nothing_is_never_told, nothing_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
