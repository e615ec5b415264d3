/* core/pace: never more than the rate in any second at the other end, however long the way takes,
 * and little less than it in the long run. */
#include "core/pace.h"

#include "base/compiler.h"

#include "unit.h"

#include <stdlib.h>

enum { SECOND_US = 1000 * 1000, RUN_US = 20 * SECOND_US, STEP_US = 1700, WAY_US = 300 * 1000 };

static struct pace pace;
static int64_t arrived[PACE_MAX * 21], ends[PACE_MAX];
static uint32_t chance = 1;

static int64_t random_to(int64_t most)
{
    chance = chance * 1664525 + 1013904223;
    return (int64_t)(chance >> 8) % (most + 1);
}

static int by_time(const void *one, const void *other)
{
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static void end_those(size_t *flying, int64_t now)
{
    for (size_t i = 0; i < *flying;) {
        if (ends[i] > now) {
            i++;
            continue;
        }
        pace_end(&pace, now);
        ends[i] = ends[--*flying];
    }
}

/* A greedy taker, after a rest; each call arrives somewhere on its way. */
static size_t greedy(size_t rate)
{
    size_t count = 0, flying = 0;
    pace_init(&pace, rate);
    for (int64_t now = 5 * SECOND_US; now < 5 * SECOND_US + RUN_US; now += STEP_US) {
        end_those(&flying, now);
        while (pace_allows(&pace, 1, now)) {
            assert_true(pace_free(&pace, now) > 0 && count < COUNT_OF(arrived));
            pace_begin(&pace);
            int64_t way = random_to(WAY_US);
            ends[flying++] = now + way;
            arrived[count++] = now + random_to(way);
        }
        assert_int_equal(pace_free(&pace, now), 0);
    }
    return count;
}

static void no_second_has_more(void **state)
{
    (void)state;
    static const size_t rates[] = {1, 2, 7, 100, PACE_MAX};
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        size_t count = greedy(rates[i]);
        assert_in_range(count, rates[i] * 15, rates[i] * 20);
        qsort(arrived, count, sizeof *arrived, by_time);
        for (size_t at = rates[i]; at < count; at++)
            assert_true(arrived[at] - arrived[at - rates[i]] > SECOND_US);
    }
}

static void those_free_are_counted(void **state)
{
    (void)state;
    pace_init(&pace, 3);
    assert_int_equal(pace_free(&pace, 1), 3);
    pace_begin(&pace);
    pace_begin(&pace);
    assert_int_equal(pace_free(&pace, 1), 1);
    pace_end(&pace, 100);
    assert_int_equal(pace_free(&pace, 100), 1);
    pace_begin(&pace);
    pace_begin(&pace); /* one too many */
    assert_false(pace_allows(&pace, 1, 200));
    for (int i = 0; i < 3; i++)
        pace_end(&pace, 200);
    assert_int_equal(pace_free(&pace, 2 * SECOND_US), 3);
}

/* Who waits as it says begins as early as one who looks all the time. */
static void the_wait_is_exact(void **state)
{
    (void)state;
    pace_init(&pace, 2);
    assert_int_equal(pace_wait_us(&pace, 1, 1), 0);
    pace_begin(&pace);
    pace_begin(&pace);
    assert_int_equal(pace_wait_us(&pace, 1, 50), -1); /* first one has to end */
    pace_end(&pace, 100);
    int64_t wait_us = pace_wait_us(&pace, 1, 200);
    assert_true(wait_us > SECOND_US - 100);
    assert_false(pace_allows(&pace, 1, 200 + wait_us - 1));
    assert_true(pace_allows(&pace, 1, 200 + wait_us));
    assert_int_equal(pace_free(&pace, 200 + wait_us - 1), 0);
    assert_int_equal(pace_free(&pace, 200 + wait_us), 1);
    assert_int_equal(pace_wait_us(&pace, 2, 200 + wait_us), -1); /* the other is under way */
}

/* A reading that asks several things begins when there is room for all of them. */
static void several_begin_together(void **state)
{
    (void)state;
    pace_init(&pace, 3);
    pace_begin(&pace);
    assert_true(pace_allows(&pace, 2, 1));
    assert_false(pace_allows(&pace, 3, 1));
    pace_end(&pace, 100);
    assert_false(pace_allows(&pace, 3, 200));
    assert_true(pace_allows(&pace, 3, 2 * SECOND_US));
    assert_true(pace_allows(&pace, 4, 2 * SECOND_US)); /* or it never would */
    assert_false(pace_allows(&pace, 4, 200));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_second_has_more),
        cmocka_unit_test(those_free_are_counted),
        cmocka_unit_test(the_wait_is_exact),
        cmocka_unit_test(several_begin_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
