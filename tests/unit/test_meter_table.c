/* The key table's entries: what is spent of a rate limit stays spent through reloads and changes of
 * the limits beside it, wherever it is kept; and a million keys find their place. */
#include "meter_fixture.h"
#include "service/meter_private.h"

#include "unit.h"

static void entries_are_small(void **state)
{
    (void)state;
    /* With malloc's 8 bytes each and two table slots, at most five eighths and at least five
     * sixteenths full: 88 + 104 + 2 * 8 + 2 * 25 at the worst, 240 on average. */
    assert_true(sizeof(struct meter_secret) <= 88);
    assert_true(sizeof(struct meter_key) <= 104);
}

static void limits_become(const char *limits)
{
    sql("UPDATE tier SET rate_limits = '%s' WHERE slug = 'limited'", limits);
    feed_row(FEED_TIER, 0);
}

#define LIMIT(name) "{\"name\":\"" name "\",\"limit\":2,\"window_seconds\":86400}"

static void what_is_spent_stays_spent(void **state)
{
    (void)state;
    tier_add("limited", "NULL", "[" LIMIT("a") "]");
    key_add(1, "limited");
    assert_int_equal(verify_until(0, 1, 1), VERIFY_VALID);
    limits_become("[" LIMIT("b") "," LIMIT("c") "," LIMIT("a") "]"); /* one more than fit inside */
    assert_int_equal(verify_until(0, 1, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, 1, 1), VERIFY_RATE_LIMITED);
    feed_row(FEED_KEY, 1);
    assert_int_equal(verify_until(0, 1, 1), VERIFY_RATE_LIMITED);
    limits_become("[" LIMIT("d") "," LIMIT("a") "]");
    assert_int_equal(verify_until(0, 1, 1), VERIFY_RATE_LIMITED);
    limits_become("[" LIMIT("d") "]");
    assert_int_equal(verify_until(0, 1, 1), VERIFY_VALID);
}

static void a_keys_own_limits_are_its_own(void **state)
{
    (void)state;
    limits_become("[" LIMIT("a") "]");
    key_add(2, "limited");
    key_add(3, "limited");
    sql("UPDATE api_key SET rate_limits = "
        "'[{\"name\":\"a\",\"limit\":1,\"window_seconds\":86400}]' "
        "WHERE id = 2");
    feed_row(FEED_KEY, 2);
    assert_int_equal(verify_until(0, 2, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, 2, 1), VERIFY_RATE_LIMITED);
    assert_int_equal(verify_until(0, 3, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, 3, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, 3, 1), VERIFY_RATE_LIMITED);
    sql("UPDATE api_key SET rate_limits = '[]' WHERE id = 2"); /* 1 of 1 spent is 1 of 2 */
    feed_row(FEED_KEY, 2);
    assert_int_equal(verify_until(0, 2, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, 2, 1), VERIFY_RATE_LIMITED);
}

int main(void)
{
    /* A try that was given up may have been spent all the same, and it is asked again. */
    meter_max_wait = "20s";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_small),
        cmocka_unit_test(what_is_spent_stays_spent),
        cmocka_unit_test(a_keys_own_limits_are_its_own),
    };
    return cmocka_run_group_tests(tests, meter_group_begin, meter_group_finish);
}
