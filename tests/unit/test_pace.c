/* core/pace: never more than the rate in any second, and no less than it in the long run. */
#include "core/pace.h"

#include "base/compiler.h"

#include "unit.h"

enum { SECOND_US = 1000 * 1000, RUN_US = 20 * SECOND_US, STEP_US = 1700 };

/* A greedy taker, after a rest: what it began. */
static size_t greedy(size_t rate, int64_t *begun, size_t room)
{
    static struct pace pace;
    size_t count = 0;
    pace_init(&pace, rate);
    for (int64_t now = 5 * SECOND_US; now < 5 * SECOND_US + RUN_US; now += STEP_US)
        while (pace_allows(&pace, now)) {
            assert_true(pace_free(&pace, now) > 0 && count < room);
            pace_take(&pace, now);
            begun[count++] = now;
        }
    assert_int_equal(pace_free(&pace, 60 * SECOND_US), rate);
    return count;
}

static void no_second_has_more(void **state)
{
    (void)state;
    static const size_t rates[] = {1, 2, 7, 100, PACE_MAX};
    static int64_t begun[PACE_MAX * 21];
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        size_t count = greedy(rates[i], begun, COUNT_OF(begun));
        assert_in_range(count, rates[i] * 18, rates[i] * 21);
        for (size_t at = rates[i]; at < count; at++)
            assert_true(begun[at] - begun[at - rates[i]] > SECOND_US);
    }
}

static void those_free_are_counted(void **state)
{
    (void)state;
    static struct pace pace;
    pace_init(&pace, 3);
    assert_int_equal(pace_free(&pace, 1), 3);
    pace_take(&pace, 100);
    pace_take(&pace, 2 * SECOND_US);
    assert_int_equal(pace_free(&pace, 2 * SECOND_US), 2);
    pace_take(&pace, 2 * SECOND_US);
    pace_take(&pace, 2 * SECOND_US); /* one too many pushes the oldest out */
    assert_false(pace_allows(&pace, 3 * SECOND_US));
    assert_true(pace_allows(&pace, 4 * SECOND_US));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_second_has_more),
        cmocka_unit_test(those_free_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
