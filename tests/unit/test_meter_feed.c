/* The rule "visible is not durable": when the feed's row at this node's position is not the one it
 * applied, or its connection was lost, then key table, loads in flight, leases and tokens are
 * dropped and read again. What a crash of the database takes away is taken away by hand here: rows
 * change without a feed row that says so. */
#include "database_proxy.h"
#include "meter_fixture.h"
#include "service/meter_private.h"
#include "service/token_cache.h"

#include "unit.h"

static struct meter *meter(void)
{
    return services[0].meter;
}

static bool was_reset(void *resets)
{
    return meter()->state == METER_SERVING && meter()->stats.resets > *(uint64_t *)resets;
}

/* The newest row as another transaction writes it, after a crash that lost the one applied. */
static void row_replace(void)
{
    sql("UPDATE feed SET tag = tag ^ 1, kind = %d, subject = 0 ORDER BY position DESC LIMIT 1",
        FEED_START);
}

static void row_lose(void)
{
    sql("DELETE FROM feed ORDER BY position DESC LIMIT 1");
    sql("UPDATE feed_head SET position = (SELECT MAX(position) FROM feed)");
}

static void flusher_kill(void)
{
    sql("KILL %llu", (unsigned long long)database_proxy_find("position, tag, kind, subject"));
}

static void (*const losses[])(void) = {row_replace, row_lose, flusher_kill};

/* Applied and loaded: the key is disabled. Then that never happened. */
static void what_was_seen_and_lost_is_not_obeyed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(losses); i++) {
        unsigned key = 1 + i;
        key_add(key, "endless");
        assert_int_equal(verify_until(0, key, 1), VERIFY_VALID);
        sql("UPDATE api_key SET disabled = 1 WHERE id = %u", key);
        feed_row(FEED_KEY, key);
        assert_int_equal(verify_until(0, key, 1), VERIFY_DISABLED);
        sql("UPDATE api_key SET disabled = 0 WHERE id = %u", key);
        losses[i]();
        assert_int_equal(verify_until(0, key, 1), VERIFY_VALID);
    }
}

/* The grant was seen and lost, and somebody else was given all that is left. */
static void a_lease_that_was_lost_is_not_spent(void **state)
{
    (void)state;
    tier_add("hundred", "100", "[]");
    for (unsigned i = 0; i < COUNT_OF(losses); i++) {
        unsigned key = 11 + i;
        key_add(key, "hundred");
        assert_int_equal(verify_until(0, key, 1), VERIFY_VALID);
        feed_row(FEED_START, 0); /* the row that is lost */
        assert_int_equal(verify_until(0, key, 1), VERIFY_VALID);
        assert_true(number_of("SELECT granted FROM lease WHERE subject = %u", key) > 2);
        sql("UPDATE lease SET granted = 2 WHERE subject = %u", key);
        sql("INSERT INTO lease (node, incarnation, kind, subject, period_start, granted, zero_at) "
            "SELECT 300, 1, kind, subject, period_start, 98, 1 FROM budget WHERE subject = %u",
            key);
        sql("UPDATE budget SET leased = 100 - used WHERE subject = %u", key);
        losses[i]();
        assert_int_equal(verify_until(0, key, 1), VERIFY_QUOTA_EXCEEDED);
    }
}

static bool is_applied(void *unused)
{
    (void)unused;
    return meter()->applied.position >= position;
}

static bool load_is_held(void *loader)
{
    return database_proxy_holds(*(uint64_t *)loader);
}

/* A load whose statement ran before the loss and whose rows come behind it. */
static void a_load_in_flight_is_dropped_too(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(losses); i++) {
        unsigned key = 21 + i;
        key_add(key, "endless");
        feed_row(FEED_START, 0);
        loop_until(is_applied, NULL);
        uint64_t loader = database_proxy_find("key_hash h JOIN key_secret");
        assert_true(database_proxy_hold(loader, true));
        static struct test_call call;
        call_start(0, &call, key, 1);
        loop_until(load_is_held, &loader);
        sql("UPDATE api_key SET disabled = 1 WHERE id = %u", key);
        uint64_t resets = meter()->stats.resets;
        losses[i]();
        loop_until(was_reset, &resets);
        assert_true(database_proxy_hold(loader, false));
        calls_wait();
        assert_int_equal(verify_until(0, key, 1), VERIFY_DISABLED);
    }
}

static void tokens_are_dropped_with_the_rest(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(losses); i++) {
        feed_row(FEED_START, 0);
        assert_int_equal(verify_until(0, 1, 0), VERIFY_VALID);
        uint64_t resets = meter()->stats.resets;
        uint64_t before = token_cache_generation(services[0].tokens);
        losses[i]();
        loop_until(was_reset, &resets);
        assert_true(token_cache_changed_since(services[0].tokens, before, 4711));
    }
}

static int begin(void **state)
{
    meter_database = database_proxy_start();
    meter_max_wait = "20s";
    return meter_group_begin(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_seen_and_lost_is_not_obeyed),
        cmocka_unit_test(a_lease_that_was_lost_is_not_spent),
        cmocka_unit_test(a_load_in_flight_is_dropped_too),
        cmocka_unit_test(tokens_are_dropped_with_the_rest),
    };
    return cmocka_run_group_tests(tests, begin, meter_group_finish);
}
