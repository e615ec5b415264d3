/* What only shows after minutes, in large numbers or beside one another: budgets and customers that
 * left memory, a token revoked while the feed could not be read, a dead node of thousands of
 * leases, a fold of thousands of keys beside traffic. */
#include "base/clock.h"
#include "conf/settings.h"
#include "core/period.h"
#include "database_proxy.h"
#include "io/loop.h"
#include "meter_fixture.h"
#include "service/meter_private.h"
#include "service/token_cache.h"
#include "store/fold.h"
#include "store/journal.h"
#include "store/token.h"

#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { MINUTE_MS = 60 * 1000, DEAD = 300 };

static struct meter *meter(void)
{
    return services[0].meter;
}

static uint64_t flusher(void)
{
    return database_proxy_find("position, tag, kind, subject");
}

/* Answers keep away until calls that began meanwhile had 503. */
static uint64_t answers_hold(struct test_call *calls, unsigned count, unsigned key)
{
    int64_t max_wait_us = meter()->max_wait_us;
    uint64_t connection = flusher();
    assert_true(database_proxy_hold(connection, true));
    meter()->max_wait_us = 100 * 1000;
    for (unsigned i = 0; i < count; i++)
        call_start(0, &calls[i], key, 1);
    calls_wait();
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(calls[i].call.code, VERIFY_UNAVAILABLE);
    meter()->max_wait_us = max_wait_us;
    return connection;
}

static struct meter_budget *budget_of(uint64_t customer)
{
    struct budget_key key = {BUDGET_CUSTOMER, customer, period_month_start(clock_wall_ms())};
    return budget_find(meter(), &key);
}

static bool budget_is_gone(void *customer)
{
    return !budget_of(*(uint64_t *)customer);
}

/* ---- over the quota for long ---- */
static void a_budget_that_nobody_asks_for_leaves_memory(void **state)
{
    (void)state;
    uint64_t customer = 1;
    key_add(1, "five");
    assert_int_equal(verify_until(0, 1, 5), VERIFY_VALID);
    assert_int_equal(verify_until(0, 1, 1), VERIFY_QUOTA_EXCEEDED);
    clock_move(0, MINUTE_MS + 1000, 0);
    loop_until(budget_is_gone, &customer);
    assert_int_equal(verify_until(0, 1, 1), VERIFY_QUOTA_EXCEEDED);
    sql("UPDATE tier SET monthly_quota = 6 WHERE slug = 'five'");
    feed_row(FEED_TIER, 0);
    assert_int_equal(verify_until(0, 1, 1), VERIFY_VALID); /* what was spent is still spent */
    assert_int_equal(verify_until(0, 1, 1), VERIFY_QUOTA_EXCEEDED);
    sql("UPDATE tier SET monthly_quota = 5 WHERE slug = 'five'");
    feed_row(FEED_TIER, 0);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = 1"), 6);
}

static void a_customer_over_its_quota_for_minutes_is_denied_all_along(void **state)
{
    (void)state;
    key_add(2, "five");
    assert_int_equal(verify_until(0, 2, 5), VERIFY_VALID);
    for (int seconds = 0; seconds < 150; seconds += 5) {
        assert_int_equal(verify_until(0, 2, 1), VERIFY_QUOTA_EXCEEDED);
        clock_move(0, 5000, 0);
    }
    /* Calls and the sweep of idle budgets in the same moment. */
    static struct test_call calls[20];
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT_OF(calls); i++)
            call_start(0, &calls[i], 2, i % 2);
        clock_move(0, MINUTE_MS + 1000, 0);
        calls_wait();
    }
    assert_int_equal(verify_until(0, 2, 1), VERIFY_QUOTA_EXCEEDED);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = 2"), 5);
}

/* Their callers have 503, their units come back when the batch's outcome is known. */
static void a_charge_in_doubt_keeps_its_budget_in_memory(void **state)
{
    (void)state;
    static struct test_call calls[2];
    uint64_t customer = 3;
    key_add(3, "five");
    assert_int_equal(verify_until(0, 3, 3), VERIFY_VALID);
    uint64_t connection = answers_hold(calls, COUNT_OF(calls), 3);
    clock_move(0, MINUTE_MS + 1000, 0);
    leases_housekeep(meter());
    assert_non_null(budget_of(customer));
    (void)database_proxy_hold(connection, false);
    assert_int_equal(verify_until(0, 3, 2), VERIFY_VALID);
    assert_int_equal(verify_until(0, 3, 1), VERIFY_QUOTA_EXCEEDED);
}

/* ---- a customer that left memory ---- */
static void others_push_out(unsigned key)
{
    unsigned char hash[32];
    unsigned limit = meter()->secret_limit;
    meter()->secret_limit = 16;
    for (unsigned other = 100; other < 140; other++)
        assert_int_equal(verify_until(0, other, 1), VERIFY_NOT_FOUND);
    meter()->secret_limit = limit;
    hash_of(key, hash);
    uint64_t customer = key;
    assert_null(table_find(&meter()->customers, table_mix(customer), &customer));
    assert_non_null(budget_of(customer)); /* its lease stays */
}

static void tier_set(unsigned customer, const char *tier)
{
    sql("UPDATE entitlement SET tier = '%s' WHERE customer_id = %u", tier, customer);
    feed_row(FEED_CUSTOMER, customer);
}

static bool is_applied(void *unused)
{
    (void)unused;
    return meter()->applied.position >= position;
}

static void a_tier_that_changed_while_the_customer_was_out_of_memory(void **state)
{
    (void)state;
    tier_add("hundred", "100", "[]");
    key_add(4, "hundred");
    assert_int_equal(verify_until(0, 4, 5), VERIFY_VALID);
    others_push_out(4);
    tier_set(4, "five");
    loop_until(is_applied, NULL);
    assert_int_equal(verify_until(0, 4, 1), VERIFY_QUOTA_EXCEEDED); /* not from the old lease */
    others_push_out(4);
    tier_set(4, "hundred");
    loop_until(is_applied, NULL);
    assert_int_equal(verify_until(0, 4, 95), VERIFY_VALID); /* nor by the kept verdict */
    assert_int_equal(verify_until(0, 4, 1), VERIFY_QUOTA_EXCEEDED);
}

/* ---- a token revoked while the feed could not be read ---- */
struct asked {
    struct token_look look;
    bool came;
    enum err error;
};

static void on_looked(struct token_look *look, const struct token_entry *entry, enum err error)
{
    struct asked *asked = CONTAINER_OF(look, struct asked, look);
    (void)entry;
    asked->came = true;
    asked->error = error;
}

static bool has_come(void *asked)
{
    return ((struct asked *)asked)->came;
}

static enum err token_ask(const struct token_row *row)
{
    static struct asked asked;
    asked = (struct asked){.look.done = on_looked};
    memcpy(asked.look.hash, row->hash, 32);
    must(token_cache_look(services[0].tokens, &asked.look));
    loop_until(has_come, &asked);
    return asked.error;
}

static void a_token_revoked_while_the_feed_could_not_be_read(void **state)
{
    (void)state;
    static struct test_call call;
    struct token_row row = {.id = 77,
                            .name = "t",
                            .scopes = SCOPE_VERIFY,
                            .hash = {7, 7},
                            .start = "kmt_abcdef",
                            .created_at = 1};
    bool changed;
    key_add(5, "endless");
    assert_int_equal(verify_until(0, 5, 1), VERIFY_VALID);
    must(token_insert(db, &row));
    assert_int_equal(token_ask(&row), ERR_OK);
    assert_non_null(token_cache_find(services[0].tokens, row.hash));

    struct db *revoker = holder_begin("SELECT 1");
    must(token_revoke(revoker, 77, 2, &changed));
    uint64_t let_in = token_cache_generation(services[0].tokens);
    struct feed_row told = {.kind = FEED_TOKEN, .subject = 77};
    must(feed_append(revoker, clock_wall_ms(), &told, 1, NULL, 0, NULL, NULL));
    uint64_t connection = answers_hold(&call, 1, 5); /* nothing more is heard of the feed */
    must(db_commit(revoker));
    db_close(&revoker);
    assert_non_null(token_cache_find(services[0].tokens, row.hash)); /* nobody knows here */

    /* The connection ends: the row that told of the token is never applied. */
    sql("KILL %llu", (unsigned long long)connection);
    (void)database_proxy_hold(connection, false);
    assert_int_equal(verify_until(0, 5, 1), VERIFY_VALID);
    assert_true(token_cache_changed_since(services[0].tokens, let_in, 77));
    assert_null(token_cache_find(services[0].tokens, row.hash));
    assert_int_equal(token_ask(&row), ERR_NOT_FOUND);
}

/* ---- large numbers ---- */
static bool dead_is_settled(void *unused)
{
    (void)unused;
    return number_of("SELECT COUNT(*) FROM lease WHERE node = %d", DEAD) == 0;
}

static void a_dead_node_of_thousands_of_leases_is_settled_whole(void **state)
{
    (void)state;
    enum { LEASES = 5000, FIRST = 100000 };
    int64_t cleared = number_of("SELECT COUNT(*) FROM feed WHERE kind = %d", FEED_CLEAR);
    sql("INSERT INTO budget (kind, subject, period_start, used, leased, exhausted) SELECT 1, "
        "%d + seq, 0, 5, 17, 1 FROM seq_1_to_%d",
        FIRST, LEASES);
    sql("INSERT INTO lease (node, incarnation, kind, subject, period_start, granted, settled) "
        "SELECT %d, 1, kind, subject, 0, 20, 10 FROM budget WHERE subject > %d",
        DEAD, FIRST);
    sql("INSERT INTO fold_owner (node, incarnation) VALUES (%d, 1)", DEAD);
    sql("INSERT INTO node (id, incarnation, fenced, started_at) VALUES (%d, 1, 1, 0)", DEAD);
    loop_until(dead_is_settled, NULL); /* by the meter's own fold */
    assert_int_equal(number_of("SELECT COUNT(*) FROM budget WHERE subject > %d AND leased = 7 AND "
                               "used = 5 AND exhausted = 0",
                               FIRST),
                     LEASES);
    assert_int_equal(number_of("SELECT COUNT(*) FROM feed WHERE kind = %d", FEED_CLEAR) - cleared,
                     LEASES);
    sql("DELETE FROM budget WHERE subject > %d", FIRST);
    sql("DELETE FROM fold_owner WHERE node = %d", DEAD);
    sql("DELETE FROM node WHERE id = %d", DEAD);
}

enum { KEYS = 10000, ROWS = 100, FIRST_KEY = 200000 };

/* A batch of calls of KEYS / ROWS keys, one of them the key that others call meanwhile. */
static void journal_fill(uint64_t seq, unsigned busy)
{
    struct buf payload = {0};
    struct journal_writer writer;
    journal_encode_begin(&writer, &payload);
    for (unsigned i = 0; i < KEYS / ROWS; i++) {
        uint64_t id = i ? FIRST_KEY + (seq - 1) * (KEYS / ROWS) + i : busy;
        struct journal_entry entry = {.secret_id = id,
                                      .key_id = id,
                                      .customer_id = id,
                                      .hour = period_hour_start(clock_wall_ms()),
                                      .period_start = period_month_start(clock_wall_ms()),
                                      .units = 2,
                                      .allowed = 2,
                                      .last_used_ms = 5};
        journal_encode_entry(&writer, &entry);
    }
    journal_encode_end(&writer);
    must(journal_insert(db, (struct journal_id){DEAD, 1, seq}, buf_span(&payload)));
    buf_done(&payload);
}

struct folding {
    struct db *db;
    unsigned node, incarnation;
    enum err error;
    size_t folded;
    atomic_bool over;
};

/* In the name of the node that flushes, so that both want its row. */
static void *fold_main(void *context)
{
    struct folding *folding = context;
    struct fold_owner owner = {.node = DEAD, .incarnation = 1};
    do
        folding->error = fold_one(folding->db, folding->node, folding->incarnation, &owner,
                                  clock_wall_ms(), &folding->folded);
    while (folding->error == ERR_DB_RETRY);
    folding->over = true;
    return NULL;
}

static bool fold_waits(void *unused)
{
    (void)unused;
    return number_of("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT "
                     "INTO secret_last_used%%'") > 0;
}

static void a_fold_of_thousands_of_keys_stops_nobody(void **state)
{
    (void)state;
    enum { BUSY = 6 };
    pthread_t thread;
    key_add(BUSY, "endless");
    assert_int_equal(verify_until(0, BUSY, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, BUSY, 1), VERIFY_VALID); /* a lease without end is there */
    /* What the fold writes last is held: all its other locks are taken, and stay. */
    struct db *holder = holder_begin("INSERT INTO secret_last_used VALUES (209950, 1, '')");
    sql("INSERT INTO fold_owner (node, incarnation) VALUES (%d, 1)", DEAD);
    sql("INSERT INTO node (id, incarnation, started_at) VALUES (%d, 1, 0)", DEAD);
    for (unsigned i = 0; i < ROWS; i++)
        journal_fill(i + 1, BUSY);
    struct folding folding = {
        .db = database_open(), .node = meter()->node, .incarnation = meter()->incarnation};
    must(db_command(folding.db, "SET SESSION innodb_lock_wait_timeout = 60"));
    assert_int_equal(pthread_create(&thread, NULL, fold_main, &folding), 0);
    loop_until(fold_waits, NULL);
    for (int i = 0; i < 50; i++)
        assert_int_equal(verify_on(0, BUSY, 1), VERIFY_VALID);
    /* Still not folded, by whichever fold it is that waits: the meter's own gives way after a
     * second. */
    assert_int_equal(number_of("SELECT COUNT(*) FROM meter_journal WHERE node = %d", DEAD), ROWS);
    int64_t calls = 52;
    holder_end(&holder);
    for (; !folding.over; calls++)
        assert_int_equal(verify_on(0, BUSY, 1), VERIFY_VALID);
    pthread_join(thread, NULL);
    assert_int_equal(folding.error, ERR_OK);
    /* Or the meter's own fold, which comes by each second, was first: the sums tell. */
    assert_true(folding.folded == ROWS || folding.folded == 0);
    db_close(&folding.db);
    fold_all();
    assert_int_equal(number_of("SELECT used FROM budget WHERE subject = %d", BUSY),
                     calls + 2 * ROWS);
    assert_int_equal(number_of("SELECT SUM(used) FROM budget WHERE subject > %d", FIRST_KEY),
                     2 * (KEYS - ROWS));
}

static int begin(void **state)
{
    meter_database = database_proxy_start();
    meter_max_wait = "5s";
    return meter_group_begin(state);
}

/* Batches of a tier with ack = memory are not inserted: what nobody was told of is not counted. */
static void a_charge_that_is_not_written_is_given_back(void **state)
{
    (void)state;
    struct test_call calls[3];
    tier_add("memory", "5", "[]");
    sql("UPDATE tier SET ack = 'memory' WHERE slug = 'memory'");
    key_add(60, "memory");
    feed_row(FEED_TIER, 0);
    assert_int_equal(verify_until(0, 60, 1), VERIFY_VALID);
    uint64_t connection = answers_hold(calls, COUNT_OF(calls), 60);
    assert_true(database_proxy_hold(connection, false));
    for (int i = 0; i < 4; i++)
        assert_int_equal(verify_until(0, 60, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, 60, 1), VERIFY_QUOTA_EXCEEDED);
}

/* ---- far behind ---- */
static bool is_at_the_end(void *unused)
{
    (void)unused;
    return meter()->applied.position == position;
}

/* Another node imports keys by the thousand, while this one stands still for a moment. */
static void rows_come(size_t count)
{
    struct feed_row *rows = calloc(count, sizeof *rows);
    assert_non_null(rows);
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct feed_row){.kind = FEED_KEY, .subject = 1000000 + i};
    must(db_begin(db));
    must(feed_append(db, clock_wall_ms(), rows, count, NULL, 0, &position, &(uint64_t){0}));
    must(db_commit(db));
    position += count - 1;
    free(rows);
}

static void a_feed_of_many_rows_is_caught_up_with(void **state)
{
    (void)state;
    key_add(70, "endless");
    assert_int_equal(verify_until(0, 70, 1), VERIFY_VALID);
    uint64_t resets = meter()->stats.resets;
    rows_come(FEED_READ_MAX);
    loop_until(is_at_the_end, NULL);
    assert_int_equal(meter()->stats.resets, resets);
    rows_come(FEED_READ_MAX + 1); /* too many: everything is read anew */
    loop_until(is_at_the_end, NULL);
    assert_int_equal(meter()->stats.resets, resets + 1);
    assert_int_equal(verify_until(0, 70, 1), VERIFY_VALID);
}

/* ---- calls that nothing comes for ---- */
static bool is_true(void *value)
{
    return *(bool *)value;
}

static void set_true(void *value)
{
    *(bool *)value = true;
}

/* As between two attempts to reach a database that is away. */
static void database_is_away(void)
{
    meter()->max_wait_us = INT64_C(1000) * MINUTE_MS;
    meter()->state = METER_SYNCING;
    meter()->control_retry_us = INT64_MAX;
}

static void a_call_too_many_waits_behind_nobody(void **state)
{
    (void)state;
    struct test_call first, second;
    int64_t max_wait_us = meter()->max_wait_us;
    struct settings *settings = (struct settings *)(uintptr_t)services[0].settings;
    unsigned queue = settings->metering.queue;
    settings->metering.queue = 1;
    database_is_away();
    call_start(0, &first, 70, 1);
    call_start(0, &second, 70, 1);
    loop_until(is_true, &second.done);
    assert_int_equal(second.call.code, VERIFY_UNAVAILABLE);
    assert_int_equal(second.call.cause, METER_CAUSE_QUEUE_FULL);
    assert_false(first.done);
    settings->metering.queue = queue;
    meter()->control_retry_us = 0;
    calls_wait();
    assert_int_equal(first.call.code, VERIFY_VALID);
    meter()->max_wait_us = max_wait_us;
}

static void a_stop_that_waits_no_longer_answers_who_still_waits(void **state)
{
    (void)state;
    struct test_call call;
    bool closed = false;
    database_is_away();
    call_start(0, &call, 70, 1);
    meter_stop(meter(), set_true, &closed);
    clock_move(0, 6000, 0);
    loop_until(is_true, &closed);
    assert_true(call.done);
    assert_int_equal(call.call.code, VERIFY_UNAVAILABLE);
    services[0].meter = NULL;
    meter_finish(0);
    meter_begin(0);
}

static int64_t last_use(unsigned key)
{
    fold_all();
    return number_of("SELECT last_used_at FROM secret_last_used WHERE secret_id = %u", key);
}

/* The wall clock at `into_ms` in a window of five minutes that has not been yet. */
static void window_begin(int64_t into_ms)
{
    const int64_t window_ms = 5 * MINUTE_MS;
    clock_move(window_ms - clock_wall_ms() % window_ms + into_ms, 0, 0);
}

/* Where many secrets are in use, a secret's last use is written once a window, its first always;
 * every call counts. */
static void of_many_secrets_last_uses_are_written_less_often(void **state)
{
    (void)state;
    enum { OFTEN = 11, OTHER = 12, LATER = 13 };
    unsigned many = meter()->uses.many;
    for (unsigned key = OFTEN; key <= LATER; key++)
        key_add(key, "endless");
    for (int crowded = 0; crowded <= 1; crowded++) {
        meter()->uses.many = crowded ? 1 : many;
        window_begin(1000);
        int64_t begun_ms = clock_wall_ms(), then_ms = begun_ms + MINUTE_MS;
        assert_int_equal(verify_until(0, OFTEN, 1), VERIFY_VALID);
        assert_int_equal(verify_until(0, OTHER, 1), VERIFY_VALID);
        assert_in_range(last_use(OFTEN), begun_ms, then_ms - 1);
        clock_move(MINUTE_MS, 0, 0);
        assert_int_equal(verify_until(0, OFTEN, 1), VERIFY_VALID);
        if (crowded)
            assert_in_range(last_use(OFTEN), begun_ms, then_ms - 1);
        else
            assert_true(last_use(OFTEN) >= then_ms);
    }
    int64_t now_ms = clock_wall_ms();
    assert_int_equal(verify_until(0, LATER, 1), VERIFY_VALID);
    assert_true(last_use(LATER) >= now_ms);
    window_begin(0);
    now_ms = clock_wall_ms();
    assert_int_equal(verify_until(0, OFTEN, 1), VERIFY_VALID);
    assert_true(last_use(OFTEN) >= now_ms);
    assert_int_equal(number_of("SELECT SUM(allowed) FROM usage_hour WHERE key_id = %d", OFTEN), 5);
    meter()->uses.many = many;
}

/* A reminder names the networks that still use it. */
static void of_a_replaced_secret_each_last_use_is_written(void **state)
{
    (void)state;
    enum { REPLACED = 14, OTHER = 15 };
    unsigned many = meter()->uses.many;
    meter()->uses.many = 1;
    key_add(REPLACED, "endless");
    key_add(OTHER, "endless");
    sql("UPDATE key_secret SET expires_at = 253402300799000 WHERE id = %d", REPLACED);
    window_begin(1000);
    assert_int_equal(verify_until(0, REPLACED, 1), VERIFY_VALID);
    assert_int_equal(verify_until(0, OTHER, 1), VERIFY_VALID);
    clock_move(MINUTE_MS, 0, 0);
    int64_t now_ms = clock_wall_ms();
    assert_int_equal(verify_until(0, REPLACED, 1), VERIFY_VALID);
    assert_true(last_use(REPLACED) >= now_ms);
    meter()->uses.many = many;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget_that_nobody_asks_for_leaves_memory),
        cmocka_unit_test(a_customer_over_its_quota_for_minutes_is_denied_all_along),
        cmocka_unit_test(a_charge_in_doubt_keeps_its_budget_in_memory),
        cmocka_unit_test(a_tier_that_changed_while_the_customer_was_out_of_memory),
        cmocka_unit_test(a_token_revoked_while_the_feed_could_not_be_read),
        cmocka_unit_test(a_dead_node_of_thousands_of_leases_is_settled_whole),
        cmocka_unit_test(a_fold_of_thousands_of_keys_stops_nobody),
        cmocka_unit_test(a_charge_that_is_not_written_is_given_back),
        cmocka_unit_test(a_feed_of_many_rows_is_caught_up_with),
        cmocka_unit_test(a_call_too_many_waits_behind_nobody),
        cmocka_unit_test(of_many_secrets_last_uses_are_written_less_often),
        cmocka_unit_test(of_a_replaced_secret_each_last_use_is_written),
        cmocka_unit_test(a_stop_that_waits_no_longer_answers_who_still_waits),
    };
    return cmocka_run_group_tests(tests, begin, meter_group_finish);
}
