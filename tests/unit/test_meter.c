/* The engine's rules against a real MariaDB: what is accepted is counted, a quota is exact, a
 * change is obeyed by the very next call, and a database that does not answer gets nobody a yes. */
#include "service/meter.h"

#include "base/clock.h"
#include "base/log.h"
#include "conf/settings.h"
#include "core/period.h"
#include "database.h"
#include "io/loop.h"
#include "service/context.h"
#include "service/token_cache.h"
#include "store/feed.h"
#include "store/fold.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

enum { MAX_WAIT_MS = 250, NODES = 2 };

static struct uv_loop_s *loop;
static struct settings settings[NODES];
static struct service services[NODES];
static struct db *db;
static uint64_t position = 1;

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db ? db_error_text(db) : "");
}

static void sql(const char *text)
{
    must(db_command(db, text));
}

/* ---- a customer, its key and the hash 0xNN… ---- */
static void hash_of(unsigned key, unsigned char hash[32])
{
    memset(hash, (int)key, 32);
}

static void feed_row(enum feed_kind kind, uint64_t subject)
{
    struct feed_row row = {.kind = kind, .subject = subject};
    must(db_begin(db));
    must(feed_append(db, clock_wall_ms(), &row, 1, NULL, 0, &position, &(uint64_t){0}));
    must(db_commit(db));
}

static void tier_add(const char *slug, const char *quota, const char *limits)
{
    char text[700];
    snprintf(text, sizeof text,
             "INSERT INTO tier SELECT '%s', name, %s, overage, '%s', max_keys, 0, label, "
             "rotation_days, notice_days, grace_seconds, hard_stop_days, max_overlap_days, "
             "on_unclaimed, on_lapse, permissions, price_references, ack, 0, 0 FROM tier WHERE "
             "slug = 'free'",
             slug, quota, limits);
    sql(text);
}

static void key_add(unsigned key, const char *tier)
{
    char text[400];
    snprintf(text, sizeof text,
             "INSERT INTO customer (id, external_id, metadata, created_at, updated_at) VALUES (%u, "
             "'customer-%u', '{}', 0, 0)",
             key, key);
    sql(text);
    snprintf(text, sizeof text,
             "INSERT INTO entitlement (customer_id, tier, provider, status, updated_at) VALUES "
             "(%u, '%s', 'none', 'active', 0)",
             key, tier);
    sql(text);
    snprintf(text, sizeof text,
             "INSERT INTO api_key (id, customer_id, title, description, environment, label, "
             "permissions, rate_limits, allowed_networks, metadata, secret_version, created_at, "
             "updated_at) VALUES (%u, %u, '', '', 'live', 'km_live', '[\"a\",\"b\"]', '[]', '[]', "
             "'{}', 1, 0, 0)",
             key, key);
    sql(text);
    snprintf(text, sizeof text,
             "INSERT INTO key_secret (id, key_id, version, start, fingerprint, created_at) VALUES "
             "(%u, %u, 1, '', '', 0)",
             key, key);
    sql(text);
    snprintf(text, sizeof text,
             "INSERT INTO key_hash VALUES (UNHEX(REPEAT('%02x', 32)), 'blake2b', '', %u)", key,
             key);
    sql(text);
}

/* ---- running calls ---- */
static unsigned waiting;

static void on_done(struct verify_call *call)
{
    *(bool *)call->context = true;
    if (!--waiting) loop_stop(loop);
}

static void call_start(unsigned node, struct verify_call *call, unsigned key, uint64_t cost,
                       bool *done)
{
    *call = (struct verify_call){.cost = cost, .done = on_done, .context = done};
    hash_of(key, call->hash);
    *done = false;
    waiting++;
    meter_verify(services[node].meter, call);
}

static enum verify_code verify_on(unsigned node, unsigned key, uint64_t cost)
{
    struct verify_call call;
    bool done;
    call_start(node, &call, key, cost, &done);
    loop_run(loop);
    assert_true(done);
    return call.code;
}

/* 503 is never a wrong answer: asked again until there is another one. */
static enum verify_code verify_until(unsigned node, unsigned key, uint64_t cost)
{
    int64_t deadline_us = clock_mono_us() + 40 * 1000 * 1000;
    for (;;) {
        enum verify_code code = verify_on(node, key, cost);
        if (code != VERIFY_UNAVAILABLE || clock_mono_us() > deadline_us) return code;
    }
}

static void on_meter_closed(void *context)
{
    (void)context;
    loop_stop(loop);
}

static void meter_begin(unsigned node)
{
    char name[64];
    snprintf(name, sizeof name, "node.name=test-%u", node);
    char error[SETTINGS_ERROR_SIZE];
    const char *sets[] = {name, "metering.max_wait=250ms"};
    if (settings_load(&settings[node], "/dev/null", sets, COUNT_OF(sets), error))
        fail_msg("%s", error);
    services[node] =
        (struct service){.loop = loop, .settings = &settings[node], .database = database_start()};
    struct db_pool_config readers = {
        .name = "readers", .db = *database_start(), .threads = 1, .queue_limit = 8};
    must(db_pool_new(&services[node].readers, loop, &readers));
    must(token_cache_new(&services[node].tokens, &services[node]));
    must(meter_new(&services[node].meter, &services[node]));
}

static void meter_finish(unsigned node)
{
    meter_stop(services[node].meter, on_meter_closed, NULL);
    loop_run(loop);
    db_pool_stop(services[node].readers, on_meter_closed, NULL);
    loop_run(loop);
    token_cache_free(&services[node].tokens);
    settings_done(&settings[node]);
}

static int begin(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    database_migrate();
    db = database_open();
    tier_add("five", "5", "[]");
    tier_add("endless", "NULL", "[]");
    must(loop_new(&loop));
    meter_begin(0);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    meter_finish(0);
    assert_int_equal(loop_free(&loop), ERR_OK);
    db_close(&db);
    return 0;
}

static int64_t number_of(const char *query)
{
    struct db_rows rows;
    must(db_query(db, query, DB_NONE, &rows));
    int64_t number = db_next(&rows) ? db_get_i64(&rows, 0) : -1;
    db_finish(&rows);
    return number;
}

static void fold_all(void)
{
    struct fold_owner owners[FOLD_OWNERS_MAX];
    size_t count;
    must(
        db_command(db, "INSERT IGNORE INTO node (id, incarnation, started_at) VALUES (400, 1, 0)"));
    must(fold_owners(db, owners, &count));
    for (size_t i = 0; i < count; i++) {
        enum err error;
        size_t folded = 0;
        do
            error = fold_one(db, 400, 1, &owners[i], clock_wall_ms(), &folded);
        while (error == ERR_DB_RETRY || (!error && folded));
        must(error);
    }
    must(db_command(db, "DELETE FROM node WHERE id = 400"));
}

/* ---- tests ---- */
static void a_quota_is_exact_and_every_call_counted(void **state)
{
    (void)state;
    key_add(1, "five");
    for (int i = 0; i < 5; i++)
        assert_int_equal(verify_until(0, 1, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, 1, 1), VERIFY_QUOTA_EXCEEDED);
    assert_int_equal(verify_until(0, 1, 0), VERIFY_VALID);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = 1"), 5);
    assert_int_equal(number_of("SELECT leased FROM budget WHERE subject = 1"), 0);
    assert_int_equal(number_of("SELECT SUM(allowed) FROM usage_hour WHERE key_id = 1"), 6);
}

static void a_cost_that_does_not_fit_is_denied_and_leaves_the_rest(void **state)
{
    (void)state;
    key_add(2, "five");
    assert_int_equal(verify_until(0, 2, 3), VERIFY_VALID);
    assert_int_equal(verify_until(0, 2, 3), VERIFY_QUOTA_EXCEEDED);
    assert_int_equal(verify_until(0, 2, 2), VERIFY_VALID);
    assert_int_equal(verify_until(0, 2, 1), VERIFY_QUOTA_EXCEEDED);
}

static void many_at_once_accept_exactly_the_quota(void **state)
{
    (void)state;
    enum { CALLS = 64 };
    struct verify_call calls[CALLS];
    bool done[CALLS];
    key_add(3, "five");
    for (int i = 0; i < CALLS; i++)
        call_start(0, &calls[i], 3, 1, &done[i]);
    loop_run(loop);
    int valid = 0, exceeded = 0;
    for (int i = 0; i < CALLS; i++) {
        valid += calls[i].code == VERIFY_VALID;
        exceeded += calls[i].code == VERIFY_QUOTA_EXCEEDED;
    }
    assert_int_equal(valid, 5);
    assert_int_equal(exceeded, CALLS - 5);
}

static void a_change_is_obeyed_by_the_next_call_in_either_direction(void **state)
{
    (void)state;
    key_add(4, "endless");
    assert_int_equal(verify_until(0, 4, 1), VERIFY_VALID);
    for (int i = 0; i < 100; i++) {
        sql("UPDATE api_key SET disabled = 1 WHERE id = 4");
        feed_row(FEED_KEY, 4);
        assert_int_equal(verify_until(0, 4, 1), VERIFY_DISABLED);
        sql("UPDATE api_key SET disabled = 0 WHERE id = 4");
        feed_row(FEED_KEY, 4);
        assert_int_equal(verify_until(0, 4, 1), VERIFY_VALID);
    }
}

static void an_unknown_hash_works_once_it_is_there(void **state)
{
    (void)state;
    assert_int_equal(verify_until(0, 5, 1), VERIFY_NOT_FOUND);
    key_add(5, "endless");
    struct feed_row row = {.kind = FEED_HASH, .subject = 5, .has_hash = true};
    hash_of(5, row.hash);
    must(db_begin(db));
    must(feed_append(db, clock_wall_ms(), &row, 1, NULL, 0, NULL, &(uint64_t){0}));
    must(db_commit(db));
    assert_int_equal(verify_until(0, 5, 1), VERIFY_VALID);
}

static void a_smaller_or_larger_quota_acts_at_once(void **state)
{
    (void)state;
    key_add(6, "five");
    assert_int_equal(verify_until(0, 6, 2), VERIFY_VALID);
    sql("UPDATE tier SET monthly_quota = 2 WHERE slug = 'five'");
    feed_row(FEED_TIER, 0);
    assert_int_equal(verify_until(0, 6, 1), VERIFY_QUOTA_EXCEEDED);
    sql("UPDATE tier SET monthly_quota = 5 WHERE slug = 'five'");
    feed_row(FEED_TIER, 0);
    assert_int_equal(verify_until(0, 6, 3), VERIFY_VALID);
}

static void a_stopped_database_answers_nobody_and_nothing_is_lost(void **state)
{
    (void)state;
    enum { CALLS = 20 };
    struct verify_call calls[CALLS];
    bool done[CALLS];
    key_add(7, "endless");
    assert_int_equal(verify_until(0, 7, 1), VERIFY_VALID);
    database_freeze();
    for (int i = 0; i < CALLS; i++)
        call_start(0, &calls[i], 7, 1, &done[i]);
    loop_run(loop);
    database_thaw();
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(calls[i].code, VERIFY_UNAVAILABLE);
    assert_int_equal(verify_until(0, 7, 1), VERIFY_VALID);
    fold_all();
    while (number_of("SELECT used FROM budget WHERE subject = 7") != 2) {
        assert_int_equal(verify_until(0, 7, 0), VERIFY_VALID); /* takes the refunds along */
        fold_all();
    }
}

static void a_killed_database_loses_no_acknowledged_call(void **state)
{
    (void)state;
    key_add(8, "endless");
    int64_t accepted = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++)
            accepted += verify_until(0, 8, 1) == VERIFY_VALID;
        db_close(&db);
        database_kill();
        assert_int_equal(verify_on(0, 8, 1), VERIFY_UNAVAILABLE);
        database_restart();
        db = database_open();
        accepted += verify_until(0, 8, 1) == VERIFY_VALID;
    }
    assert_int_equal(accepted, 63);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = 8"), accepted);
}

static void two_nodes_accept_exactly_the_quota_between_them(void **state)
{
    (void)state;
    tier_add("fifty", "50", "[]");
    key_add(9, "fifty");
    meter_begin(1);
    int valid = 0;
    for (int i = 0; i < 60; i++)
        valid += verify_until(i % 2, 9, 1) == VERIFY_VALID;
    assert_int_equal(valid, 50);
    meter_finish(1);
}

static void a_restarted_node_takes_back_what_its_former_incarnation_held(void **state)
{
    (void)state;
    tier_add("hundred", "100", "[]");
    key_add(10, "hundred");
    assert_int_equal(verify_until(0, 10, 1), VERIFY_VALID);
    /* As a killed daemon leaves it: units leased to an incarnation that will never hand them back.
     */
    sql("INSERT INTO node (id, incarnation, fenced, started_at) VALUES (300, 1, 1, 0)");
    sql("INSERT INTO fold_owner (node, incarnation) VALUES (300, 1)");
    sql("INSERT INTO lease (node, incarnation, kind, subject, period_start, granted) SELECT 300, "
        "1, "
        "kind, subject, period_start, 60 FROM budget WHERE subject = 10");
    sql("UPDATE budget SET leased = leased + 60 WHERE subject = 10");
    assert_int_equal(verify_until(0, 10, 99), VERIFY_VALID);
    assert_int_equal(verify_until(0, 10, 1), VERIFY_QUOTA_EXCEEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quota_is_exact_and_every_call_counted),
        cmocka_unit_test(a_cost_that_does_not_fit_is_denied_and_leaves_the_rest),
        cmocka_unit_test(many_at_once_accept_exactly_the_quota),
        cmocka_unit_test(a_change_is_obeyed_by_the_next_call_in_either_direction),
        cmocka_unit_test(an_unknown_hash_works_once_it_is_there),
        cmocka_unit_test(a_smaller_or_larger_quota_acts_at_once),
        cmocka_unit_test(a_stopped_database_answers_nobody_and_nothing_is_lost),
        cmocka_unit_test(a_killed_database_loses_no_acknowledged_call),
        cmocka_unit_test(two_nodes_accept_exactly_the_quota_between_them),
        cmocka_unit_test(a_restarted_node_takes_back_what_its_former_incarnation_held),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
