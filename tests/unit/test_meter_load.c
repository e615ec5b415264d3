/* The rule of loads: what a load found is used only when no feed row applied since may concern it,
 * and only for calls that came before it was sent; a miss is asked for once; the table is bounded.
 * A relay keeps a load's rows back while the rest goes on. */
#include "base/clock.h"
#include "database_proxy.h"
#include "meter_fixture.h"
#include "service/meter_private.h"

#include "unit.h"

#include <stdlib.h>

static uint64_t loader;

static struct meter *meter(void)
{
    return services[0].meter;
}

static bool load_is_held(void *unused)
{
    (void)unused;
    return database_proxy_holds(loader);
}

static bool is_applied(void *unused)
{
    (void)unused;
    return meter()->applied.position >= position;
}

static void loads_hold(void)
{
    loader = database_proxy_find("key_hash h JOIN key_secret");
    assert_true(database_proxy_hold(loader, true));
}

static void loads_go_on(void)
{
    assert_true(database_proxy_hold(loader, false));
}

/* A call whose load's statement ran, but whose rows have not come. */
static void load_begin(struct test_call *call, unsigned key)
{
    loads_hold();
    call_start(0, call, key, 1);
    loop_until(load_is_held, NULL);
}

/* ---- poisoned ---- */
static void key_changes(unsigned key)
{
    sql("UPDATE api_key SET disabled = 1 WHERE id = %u", key);
    feed_row(FEED_KEY, key);
}

static void customer_changes(unsigned key)
{
    sql("UPDATE entitlement SET status = 'suspended' WHERE customer_id = %u", key);
    feed_row(FEED_CUSTOMER, key);
}

static void hash_appears(unsigned key)
{
    key_add(key, "endless");
    feed_hash(key);
}

static void much_changes(unsigned key)
{
    key_changes(key);
    struct feed_row *rows = calloc(FEED_RING, sizeof *rows);
    must(db_begin(db));
    must(feed_append(db, clock_wall_ms(), rows, FEED_RING, NULL, 0, &position, &(uint64_t){0}));
    must(db_commit(db));
    position += FEED_RING - 1;
    free(rows);
}

static void a_feed_row_poisons_the_load_it_overtakes(void **state)
{
    (void)state;
    static const struct {
        void (*change)(unsigned key);
        enum verify_code after;
    } changes[] = {{key_changes, VERIFY_DISABLED},
                   {customer_changes, VERIFY_SUSPENDED},
                   {hash_appears, VERIFY_VALID},
                   {much_changes, VERIFY_DISABLED}};
    for (unsigned i = 0; i < COUNT_OF(changes); i++) {
        static struct test_call call;
        unsigned key = 1 + i;
        if (changes[i].change != hash_appears) key_add(key, "endless");
        load_begin(&call, key);
        changes[i].change(key);
        loop_until(is_applied, NULL); /* and only then do the load's rows come */
        loads_go_on();
        calls_wait();
        assert_int_equal(call.call.code, changes[i].after);
        assert_int_equal(verify_until(0, key, 1), changes[i].after);
    }
}

static bool tiers_load(void *unused)
{
    (void)unused;
    return meter()->tiers_loading;
}

/* The tiers' own load: the row of a tier overtakes it. */
static void a_tier_row_poisons_the_load_of_tiers(void **state)
{
    (void)state;
    static struct test_call call;
    key_add(11, "five");
    assert_int_equal(verify_until(0, 11, 0), VERIFY_VALID);
    feed_row(FEED_TIER, 0);
    loop_until(is_applied, NULL);
    loads_hold();
    call_start(0, &call, 11, 0);
    loop_until(load_is_held, NULL);
    assert_true(tiers_load(NULL));
    sql("UPDATE tier SET rate_limits = '[{\"name\":\"day\",\"limit\":1,\"window_seconds\":86400}]' "
        "WHERE slug = 'five'");
    feed_row(FEED_TIER, 0);
    loop_until(is_applied, NULL);
    loads_go_on();
    calls_wait();
    assert_int_equal(call.call.code, VERIFY_VALID); /* the limit's one */
    assert_int_equal(verify_until(0, 11, 0), VERIFY_RATE_LIMITED);
}

/* ---- who joins which load ---- */
static bool is_done(void *call)
{
    return ((struct test_call *)call)->done;
}

static void a_miss_is_asked_for_once(void **state)
{
    (void)state;
    enum { CALLS = 20, LATE = 10 };
    static struct test_call calls[CALLS + LATE], other;
    key_add(21, "endless");
    loads_hold();
    uint64_t before = meter()->stats.loads;
    for (int i = 0; i < CALLS; i++)
        call_start(0, &calls[i], 21, 1);
    loop_until(load_is_held, NULL);
    assert_int_equal(meter()->stats.loads - before, 1);
    for (int i = CALLS; i < CALLS + LATE; i++)
        call_start(0, &calls[i], 21, 1);
    struct meter_secret *secret = calls[CALLS].call.secret;
    assert_false(list_empty(&secret->load->waiters)); /* no load under way is theirs */
    call_start(0, &other, 255, 1);
    loop_until(is_done, &other);
    assert_int_equal(meter()->stats.loads - before, 1); /* nor begins one beside it */
    loads_go_on();
    calls_wait();
    /* One for those who were there, one for all who came after it had been sent. */
    assert_int_equal(meter()->stats.loads - before, 2);
    for (int i = 0; i < CALLS + LATE; i++)
        assert_int_equal(calls[i].call.code, VERIFY_VALID);
    assert_int_equal(verify_until(0, 21, 1), VERIFY_VALID);
    assert_int_equal(meter()->stats.loads - before, 2);
}

static void misses_of_a_turn_go_together(void **state)
{
    (void)state;
    static struct test_call calls[KEY_LOAD_MAX + 8];
    uint64_t before = meter()->stats.loads;
    for (unsigned i = 0; i < COUNT_OF(calls); i++)
        call_start(0, &calls[i], 30 + i, 1);
    calls_wait();
    for (unsigned i = 0; i < COUNT_OF(calls); i++)
        assert_int_equal(calls[i].call.code, VERIFY_NOT_FOUND);
    assert_int_equal(meter()->stats.loads - before, 2);
}

/* ---- bounds ---- */
static void the_table_keeps_to_its_limit(void **state)
{
    (void)state;
    unsigned limit = meter()->secret_limit;
    struct meter_stats stats;
    meter()->secret_limit = 16;
    for (unsigned key = 80; key < 140; key++)
        assert_int_equal(verify_until(0, key, 1), VERIFY_NOT_FOUND);
    meter_get_stats(meter(), &stats);
    assert_int_equal(stats.keys, 16);
    assert_true(meter()->keys.count <= 16 && meter()->customers.count <= 16);
    meter()->secret_limit = limit;
}

/* Calls that are decided and wait for their batch point at entries, too. */
static void what_a_batch_points_at_is_not_evicted(void **state)
{
    (void)state;
    enum { CALLS = 10 };
    static struct test_call calls[CALLS], late[2 * CALLS];
    unsigned limit = meter()->secret_limit;
    for (unsigned i = 0; i < CALLS; i++)
        assert_int_equal(verify_until(0, 80 + i, 1), VERIFY_NOT_FOUND);
    uint64_t flusher = database_proxy_find("position, tag, kind, subject");
    assert_true(database_proxy_hold(flusher, true));
    for (unsigned i = 0; i < CALLS; i++)
        call_start(0, &calls[i], 80 + i, 1);
    meter()->secret_limit = 16;
    for (unsigned i = 0; i < 2 * CALLS; i++)
        call_start(0, &late[i], 100 + i, 1);
    for (unsigned i = 0; i < CALLS; i++) {
        unsigned char hash[32];
        hash_of(80 + i, hash);
        assert_memory_equal(calls[i].call.secret->hash, hash, 32);
    }
    assert_true(database_proxy_hold(flusher, false));
    calls_wait();
    for (unsigned i = 0; i < CALLS; i++)
        assert_int_equal(calls[i].call.code, VERIFY_NOT_FOUND);
    meter()->secret_limit = limit;
}

/* Entries that calls wait for stay, however many come; and those a load is to fill stay too when
 * their callers have gone with 503. */
static void what_is_waited_for_is_not_evicted(void **state)
{
    (void)state;
    enum { CALLS = 40 };
    static struct test_call calls[CALLS], late[CALLS];
    unsigned limit = meter()->secret_limit;
    int64_t max_wait_us = meter()->max_wait_us;
    meter()->secret_limit = 16;
    loads_hold();
    for (unsigned i = 0; i < CALLS; i++)
        call_start(0, &calls[i], 150 + i, 1);
    assert_true(meter()->secrets.count >= CALLS);
    loop_until(load_is_held, NULL);
    for (unsigned i = 0; i < CALLS; i++)
        assert_true(calls[i].call.secret->pins == 1);
    meter()->max_wait_us = 0;
    calls_wait();
    for (unsigned i = 0; i < CALLS; i++)
        assert_int_equal(calls[i].call.code, VERIFY_UNAVAILABLE);
    meter()->max_wait_us = max_wait_us;
    for (unsigned i = 0; i < CALLS; i++)
        call_start(0, &late[i], 200 + i, 1);
    loads_go_on();
    calls_wait();
    for (unsigned i = 0; i < CALLS; i++)
        assert_int_equal(late[i].call.code, VERIFY_NOT_FOUND);
    for (unsigned key = 80; key < 100; key++)
        assert_int_equal(verify_until(0, key, 1), VERIFY_NOT_FOUND);
    assert_int_equal(meter()->secrets.count, 16);
    meter()->secret_limit = limit;
}

static int begin(void **state)
{
    meter_database = database_proxy_start();
    meter_max_wait = "20s";
    int failed = meter_group_begin(state);
    assert_int_equal(verify_until(0, 255, 1), VERIFY_NOT_FOUND); /* the loader is connected */
    return failed;
}

/* ---- not to be read ---- */
/* A key that may be used from some networks only is never taken for one without such a rule. */
static void networks_that_cannot_be_read_admit_nobody(void **state)
{
    (void)state;
    key_add(50, "endless");
    sql("UPDATE api_key SET allowed_networks = '[\"192.0.2.0/24\"' WHERE id = 50");
    assert_int_equal(verify_until(0, 50, 1), VERIFY_IP_NOT_ALLOWED);
}

/* As when memory runs out: no row at all, rather than one that lacks its networks. */
static void a_load_that_does_not_fit_has_failed(void **state)
{
    (void)state;
    unsigned char hash[32];
    struct arena arena = {.limit = 64};
    struct key_load load = {.count = 1, .hashes = {hash}};
    key_add(51, "endless");
    sql("UPDATE api_key SET allowed_networks = CONCAT('[', REPEAT('\"192.0.2.0/24\",', 400), "
        "'\"192.0.2.0/24\"]') WHERE id = 51");
    hash_of(51, hash);
    assert_int_equal(key_load(db, &arena, &load), ERR_NO_MEMORY);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_feed_row_poisons_the_load_it_overtakes),
        cmocka_unit_test(a_tier_row_poisons_the_load_of_tiers),
        cmocka_unit_test(a_miss_is_asked_for_once),
        cmocka_unit_test(misses_of_a_turn_go_together),
        cmocka_unit_test(the_table_keeps_to_its_limit),
        cmocka_unit_test(what_a_batch_points_at_is_not_evicted),
        cmocka_unit_test(what_is_waited_for_is_not_evicted),
        cmocka_unit_test(networks_that_cannot_be_read_admit_nobody),
        cmocka_unit_test(a_load_that_does_not_fit_has_failed),
    };
    return cmocka_run_group_tests(tests, begin, meter_group_finish);
}
