/* core/clock_watch: what a wall clock may do and still be believed. */
#include "core/clock_watch.h"

#include "unit.h"

enum { START = 1000000000, MINUTE = 60 * 1000 };

static struct clock_watch watch;

static int64_t off(int64_t wall, int64_t boot, int64_t database, int64_t node)
{
    struct clock_reading now = {START + wall, boot, START + database, node ? START + node : 0};
    return clock_watch_off_ms(&watch, &now);
}

static void judges_by_all_three(void **state)
{
    (void)state;
    clock_watch_begin(&watch, START, 7);
    assert_int_equal(off(0, 7, 0, 0), 0);
    assert_int_equal(off(90 * MINUTE, 7 + 90 * MINUTE, 90 * MINUTE, 0), 0); /* time passes */
    assert_int_equal(off(95 * MINUTE, 7 + 90 * MINUTE, 95 * MINUTE, 0), 0); /* slewed */
    assert_int_equal(off(96 * MINUTE, 7 + 90 * MINUTE, 96 * MINUTE, 0), 6 * MINUTE);
    assert_int_equal(off(84 * MINUTE, 7 + 90 * MINUTE, 84 * MINUTE, 0), -6 * MINUTE);
    assert_int_equal(off(0, 7, 6 * MINUTE, 0), -6 * MINUTE); /* the database is ahead */
    assert_int_equal(off(0, 7, -6 * MINUTE, 0), 6 * MINUTE);
    assert_int_equal(off(0, 7, 0, 6 * MINUTE), -6 * MINUTE); /* a node is ahead */
    assert_int_equal(off(0, 7, 0, 4 * MINUTE), 0);
    assert_int_equal(off(0, 7, 0, -600 * MINUTE), 0); /* a node that has been silent */
}

static void what_is_confirmed_is_right(void **state)
{
    (void)state;
    clock_watch_begin(&watch, START, 7);
    struct clock_reading now = {START + 90 * MINUTE, 7, START, START + 100 * MINUTE};
    assert_int_equal(clock_watch_off_ms(&watch, &now), 90 * MINUTE);
    clock_watch_confirm(&watch, &now);
    assert_int_equal(clock_watch_off_ms(&watch, &now), 0);
    assert_int_equal(off(91 * MINUTE, 7 + MINUTE, MINUTE, 101 * MINUTE), 0);
    assert_int_equal(off(0, 7 + MINUTE, MINUTE, 0), -91 * MINUTE); /* and back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_by_all_three),
        cmocka_unit_test(what_is_confirmed_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
