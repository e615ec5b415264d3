/* The rule of batches: a batch is closed before its feed read is sent, and nothing is answered
 * before that read is through. A relay keeps the read's answer back, so that calls and changes come
 * between. */
#include "database_proxy.h"
#include "meter_fixture.h"
#include "service/meter_private.h"

#include "unit.h"

static uint64_t flusher;

static struct meter *meter(void)
{
    return services[0].meter;
}

static bool nothing_flies(void *unused)
{
    (void)unused;
    return meter()->state == METER_SERVING && !meter()->flying;
}

static bool is_held(void *unused)
{
    (void)unused;
    return database_proxy_holds(flusher);
}

/* The call's batch is closed, its statement ran, and the answer to that does not come. */
static void batch_hold(struct test_call *call, unsigned key)
{
    flusher = database_proxy_find("position, tag, kind, subject");
    loop_until(nothing_flies, NULL);
    assert_true(database_proxy_hold(flusher, true));
    call_start(0, call, key, 1);
    loop_until(is_held, NULL);
    assert_non_null(call->call.batch);
}

static void batch_goes_on(void)
{
    assert_true(database_proxy_hold(flusher, false));
    calls_wait();
}

static void key_disable(unsigned key, bool disabled)
{
    sql("UPDATE api_key SET disabled = %d WHERE id = %u", disabled, key);
    feed_row(FEED_KEY, key);
}

/* The change came behind the read of the batch that flies, and before the call. */
static void a_call_that_comes_later_waits_for_a_read_of_its_own(void **state)
{
    (void)state;
    for (unsigned key = 2; key <= 3; key++) {
        static struct test_call first, later;
        bool disables = key == 2;
        key_add(key, "endless");
        if (!disables) sql("UPDATE api_key SET disabled = 1 WHERE id = %u", key);
        assert_int_equal(verify_until(0, key, 1), disables ? VERIFY_VALID : VERIFY_DISABLED);
        batch_hold(&first, 1);
        key_disable(key, disables);
        call_start(0, &later, key, 1);
        assert_null(later.call.batch);
        batch_goes_on();
        assert_int_equal(first.call.code, VERIFY_VALID);
        assert_int_equal(later.call.code, disables ? VERIFY_DISABLED : VERIFY_VALID);
    }
}

/* The read of a batch brings news that a call of the next one was decided without; that one's own
 * read begins behind them. */
static void news_are_heeded_by_the_calls_that_wait_too(void **state)
{
    (void)state;
    for (unsigned key = 4; key <= 5; key++) {
        static struct test_call first, later;
        bool disables = key == 4;
        key_add(key, "endless");
        if (!disables) sql("UPDATE api_key SET disabled = 1 WHERE id = %u", key);
        assert_int_equal(verify_until(0, key, 1), disables ? VERIFY_VALID : VERIFY_DISABLED);
        loop_until(nothing_flies, NULL);
        key_disable(key, disables);
        batch_hold(&first, 1);
        call_start(0, &later, key, 1);
        batch_goes_on();
        assert_int_equal(first.call.code, VERIFY_VALID);
        assert_int_equal(later.call.code, disables ? VERIFY_DISABLED : VERIFY_VALID);
    }
}

/* Neither what was allowed nor what was denied. */
static void nothing_is_answered_before_its_read_is_through(void **state)
{
    (void)state;
    static struct test_call allowed, denied;
    key_add(6, "endless");
    sql("UPDATE api_key SET disabled = 1 WHERE id = 6");
    assert_int_equal(verify_until(0, 6, 1), VERIFY_DISABLED);
    batch_hold(&denied, 6);
    assert_false(denied.done);
    batch_goes_on();
    assert_int_equal(denied.call.code, VERIFY_DISABLED);
    batch_hold(&allowed, 1);
    assert_false(allowed.done);
    batch_goes_on();
    assert_int_equal(allowed.call.code, VERIFY_VALID);
}

static int begin(void **state)
{
    meter_database = database_proxy_start();
    meter_max_wait = "20s";
    int failed = meter_group_begin(state);
    key_add(1, "endless");
    assert_int_equal(verify_until(0, 1, 1), VERIFY_VALID);
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_comes_later_waits_for_a_read_of_its_own),
        cmocka_unit_test(news_are_heeded_by_the_calls_that_wait_too),
        cmocka_unit_test(nothing_is_answered_before_its_read_is_through),
    };
    return cmocka_run_group_tests(tests, begin, meter_group_finish);
}
