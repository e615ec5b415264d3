/* Monthly caps, test keys, overage and ack = memory: what else a tier or a key may say of counting.
 */
#include "meter_fixture.h"

#include "unit.h"

/* One more key of a customer that key_add made. */
static void key_of(unsigned key, unsigned customer, const char *environment, const char *cap)
{
    sql("INSERT INTO api_key (id, customer_id, title, description, environment, label, "
        "permissions, "
        "rate_limits, monthly_cap, allowed_networks, metadata, secret_version, created_at, "
        "updated_at) VALUES (%u, %u, '', '', '%s', 'km_live', '[]', '[]', %s, '[]', '{}', 1, 0, 0)",
        key, customer, environment, cap);
    sql("INSERT INTO key_secret (id, key_id, version, start, fingerprint, created_at) VALUES (%u, "
        "%u, 1, '', '', 0)",
        key, key);
    sql("INSERT INTO key_hash VALUES (UNHEX(REPEAT('%02x', 32)), 'blake2b', '', %u)", key, key);
}

static void accepts(unsigned key, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(verify_until(0, key, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, key, 1), VERIFY_QUOTA_EXCEEDED);
}

static void cap_becomes(unsigned key, const char *cap)
{
    sql("UPDATE api_key SET monthly_cap = %s WHERE id = %u", cap, key);
    feed_row(FEED_KEY, key);
}

static void a_capped_key_takes_from_both(void **state)
{
    (void)state;
    key_add(1, "five");
    key_of(101, 1, "live", "3");
    accepts(101, 3);
    cap_becomes(101, "4");
    accepts(101, 1);
    accepts(1, 1);
    cap_becomes(101, "NULL");
    assert_int_equal(verify_until(0, 101, 1), VERIFY_QUOTA_EXCEEDED); /* the customer's now */
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE kind = 1 AND subject = 1"), 5);
    assert_int_equal(number_of("SELECT used FROM budget WHERE kind = 2 AND subject = 101"), 4);
    assert_int_equal(number_of("SELECT SUM(leased) FROM budget WHERE subject IN (1, 101)"), 0);
}

static void what_does_not_fit_one_is_taken_from_neither(void **state)
{
    (void)state;
    key_add(2, "five");
    key_of(102, 2, "live", "3");
    assert_int_equal(verify_until(0, 102, 4), VERIFY_QUOTA_EXCEEDED);
    accepts(102, 3);
    accepts(2, 2);
}

static void many_at_once_stay_within_the_cap(void **state)
{
    (void)state;
    enum { CALLS = 40 };
    static struct test_call calls[CALLS];
    unsigned valid = 0;
    key_add(3, "endless");
    key_of(103, 3, "live", "7");
    for (int i = 0; i < CALLS; i++)
        call_start(0, &calls[i], i % 2 ? 103 : 3, 1);
    calls_wait();
    for (int i = 1; i < CALLS; i += 2)
        valid += calls[i].call.code == VERIFY_VALID;
    for (int i = 0; i < CALLS; i += 2)
        assert_int_equal(calls[i].call.code, VERIFY_VALID);
    assert_int_equal(valid, 7);
}

static void a_test_key_costs_the_quota_nothing(void **state)
{
    (void)state;
    key_add(4, "five");
    key_of(104, 4, "test", "NULL");
    for (int i = 0; i < 9; i++)
        assert_int_equal(verify_until(0, 104, 1), VERIFY_VALID);
    key_of(114, 4, "test", "2");
    accepts(114, 2);
    accepts(4, 5);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE kind = 1 AND subject = 4"), 5);
    assert_int_equal(number_of("SELECT SUM(allowed) FROM usage_hour WHERE key_id = 104"), 9);
}

static void overage_is_counted_and_allowed(void **state)
{
    (void)state;
    struct test_call call;
    tier_add("over", "5", "[]");
    sql("UPDATE tier SET overage = 'allow' WHERE slug = 'over'");
    feed_row(FEED_TIER, 0);
    key_add(5, "over");
    for (int i = 0; i < 7; i++)
        assert_int_equal(verify_until(0, 5, 1), VERIFY_VALID);
    call_start(0, &call, 5, 1);
    calls_wait();
    assert_int_equal(call.call.code, VERIFY_VALID);
    assert_true(call.call.quota.limited);
    assert_int_equal(call.call.quota.limit, 5);
    assert_int_equal(call.call.quota.used, 8);
    assert_int_equal(call.call.quota.remaining, 0);
}

static bool counted_nine(void *context)
{
    (void)context;
    fold_all();
    return number_of("SELECT SUM(allowed) FROM usage_hour WHERE key_id = 6") == 9;
}

static void memory_waits_for_the_feed_but_not_for_the_insert(void **state)
{
    (void)state;
    tier_add("quick", "100", "[]");
    sql("UPDATE tier SET ack = 'memory' WHERE slug = 'quick'");
    feed_row(FEED_TIER, 0);
    key_add(6, "quick");
    key_add(7, "endless");
    assert_int_equal(verify_until(0, 6, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, 7, 1), VERIFY_VALID);
    /* Nobody can insert now. */
    struct db *holder = holder_begin("SELECT * FROM node WHERE fenced = 0 FOR UPDATE");
    for (int i = 0; i < 8; i++)
        assert_int_equal(verify_on(0, 6, 1), VERIFY_VALID);
    sql("UPDATE api_key SET disabled = 1 WHERE id = 6");
    feed_row(FEED_KEY, 6);
    assert_int_equal(verify_on(0, 6, 1), VERIFY_DISABLED);
    assert_int_equal(verify_on(0, 7, 1), VERIFY_UNAVAILABLE);
    holder_end(&holder);
    loop_until(counted_nine, NULL);
}

/* Nothing is inserted that would find the fence, only the feed tells of it. */
static void a_fenced_node_answers_nobody_from_memory(void **state)
{
    (void)state;
    struct feed_row row = {.kind = FEED_FENCE};
    key_add(8, "quick");
    assert_int_equal(verify_until(0, 8, 1), VERIFY_VALID);
    int64_t incarnation = number_of("SELECT MAX(incarnation) FROM node");
    row.subject =
        (uint64_t)number_of("SELECT id FROM node WHERE fenced = 0") << 32 | (uint64_t)incarnation;
    must(db_begin(db));
    must(db_command(db, "UPDATE node SET fenced = 1"));
    must(feed_append(db, 0, &row, 1, NULL, 0, NULL, NULL));
    must(db_commit(db));
    assert_int_equal(verify_until(0, 8, 1), VERIFY_VALID);
    assert_int_equal(number_of("SELECT MAX(incarnation) FROM node"), incarnation + 1);
}

int main(void)
{
    /* A try that was given up may have been spent all the same, and it is asked again. */
    meter_max_wait = "2s";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_capped_key_takes_from_both),
        cmocka_unit_test(what_does_not_fit_one_is_taken_from_neither),
        cmocka_unit_test(many_at_once_stay_within_the_cap),
        cmocka_unit_test(a_test_key_costs_the_quota_nothing),
        cmocka_unit_test(overage_is_counted_and_allowed),
        cmocka_unit_test(memory_waits_for_the_feed_but_not_for_the_insert),
        cmocka_unit_test(a_fenced_node_answers_nobody_from_memory),
    };
    return cmocka_run_group_tests(tests, meter_group_begin, meter_group_finish);
}
