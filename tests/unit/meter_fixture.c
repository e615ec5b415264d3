/* The engine's test fixture (meter_fixture.h). Everything runs on the test's thread, which is the
 * loop's, but for the clocks, which DB threads read too. */
#include "meter_fixture.h"

#include "base/clock.h"
#include "base/log.h"
#include "conf/settings.h"
#include "io/loop.h"
#include "service/token_cache.h"
#include "store/fold.h"

#include "unit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FOLDER = 400, LIMIT_S = 60 };

struct uv_loop_s *loop;
struct service services[METER_NODES];
struct db *db;
uint64_t position = 1;
const struct db_config *meter_database;
const char *meter_max_wait = "250ms";

static struct settings settings[METER_NODES];
static unsigned waiting;

/* ---- clocks ---- */
static _Atomic int64_t wall_moved_ms, mono_moved_ms, boot_moved_ms;

static int64_t system_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static int64_t moved_wall_ms(void)
{
    return system_us(CLOCK_REALTIME) / 1000 + wall_moved_ms;
}

static int64_t moved_mono_us(void)
{
    return system_us(CLOCK_MONOTONIC) + mono_moved_ms * 1000;
}

static int64_t moved_boot_ms(void)
{
    return system_us(CLOCK_BOOTTIME) / 1000 + boot_moved_ms;
}

void clock_move(int64_t wall_ms, int64_t mono_ms, int64_t boot_ms)
{
    wall_moved_ms += wall_ms;
    mono_moved_ms += mono_ms;
    boot_moved_ms += boot_ms;
}

/* ---- the database ---- */
void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db ? db_error_text(db) : "");
}

void sql(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* The meters' own statements may want the same rows: who loses the deadlock asks again. */
    enum err error = db_command(db, text);
    for (int i = 0; error == ERR_DB_RETRY && i < 5; i++)
        error = db_command(db, text);
    must(error);
}

/* By a connection that prepares nothing for good: the text differs each time. */
int64_t number_of(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct db *once = database_open();
    struct db_rows rows;
    must(db_query(once, text, DB_NONE, &rows));
    int64_t number = db_next(&rows) ? db_get_i64(&rows, 0) : -1;
    db_finish(&rows);
    db_close(&once);
    return number;
}

struct db *holder_begin(const char *statement)
{
    struct db *holder = database_open();
    must(db_command(holder, "SET SESSION idle_transaction_timeout = 0"));
    must(db_command(holder, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"));
    must(db_begin(holder));
    must(db_command(holder, statement));
    return holder;
}

void holder_end(struct db **holder)
{
    db_rollback(*holder);
    db_close(holder);
}

/* ---- customers and keys ---- */
void hash_of(unsigned key, unsigned char hash[32])
{
    memset(hash, (int)key, 32);
}

void feed_row(enum feed_kind kind, uint64_t subject)
{
    struct feed_row row = {.kind = kind, .subject = subject};
    must(db_begin(db));
    must(feed_append(db, clock_wall_ms(), &row, 1, NULL, 0, &position, &(uint64_t){0}));
    must(db_commit(db));
}

void feed_hash(unsigned key)
{
    struct feed_row row = {.kind = FEED_HASH, .subject = key, .has_hash = true};
    hash_of(key, row.hash);
    must(db_begin(db));
    must(feed_append(db, clock_wall_ms(), &row, 1, NULL, 0, &position, &(uint64_t){0}));
    must(db_commit(db));
}

void tier_add(const char *slug, const char *quota, const char *limits)
{
    sql("INSERT INTO tier SELECT '%s', name, %s, overage, '%s', max_keys, 0, label, "
        "rotation_days, notice_days, grace_seconds, hard_stop_days, max_overlap_days, "
        "on_unclaimed, on_lapse, permissions, price_references, ack, 0, 0 FROM tier WHERE "
        "slug = 'free'",
        slug, quota, limits);
}

void key_add(unsigned key, const char *tier)
{
    sql("INSERT INTO customer (id, external_id, metadata, created_at, updated_at) VALUES (%u, "
        "'customer-%u', '{}', 0, 0)",
        key, key);
    sql("INSERT INTO entitlement (customer_id, tier, provider, status, updated_at) VALUES "
        "(%u, '%s', 'none', 'active', 0)",
        key, tier);
    sql("INSERT INTO api_key (id, customer_id, title, description, environment, label, "
        "permissions, rate_limits, allowed_networks, metadata, secret_version, created_at, "
        "updated_at) VALUES (%u, %u, '', '', 'live', 'km_live', '[\"a\",\"b\"]', '[]', '[]', "
        "'{}', 1, 0, 0)",
        key, key);
    sql("INSERT INTO key_secret (id, key_id, version, start, fingerprint, created_at) VALUES "
        "(%u, %u, 1, '', '', 0)",
        key, key);
    sql("INSERT INTO key_hash VALUES (UNHEX(REPEAT('%02x', 32)), 'blake2b', '', %u)", key, key);
}

/* ---- calls ---- */
static void on_done(struct verify_call *call)
{
    CONTAINER_OF(call, struct test_call, call)->done = true;
    if (!--waiting) loop_stop(loop);
}

void call_start(unsigned node, struct test_call *test, unsigned key, uint64_t cost)
{
    *test = (struct test_call){.call = {.cost = cost, .done = on_done}};
    hash_of(key, test->call.hash);
    waiting++;
    meter_verify(services[node].meter, &test->call);
}

enum verify_code verify_on(unsigned node, unsigned key, uint64_t cost)
{
    struct test_call test;
    call_start(node, &test, key, cost);
    calls_wait();
    assert_true(test.done);
    return test.call.code;
}

enum verify_code verify_until(unsigned node, unsigned key, uint64_t cost)
{
    int64_t deadline_us = system_us(CLOCK_MONOTONIC) + LIMIT_S * INT64_C(1000000);
    for (;;) {
        enum verify_code code = verify_on(node, key, cost);
        if (code != VERIFY_UNAVAILABLE || system_us(CLOCK_MONOTONIC) > deadline_us) return code;
    }
}

static void stop_loop(void *context)
{
    (void)context;
    loop_stop(loop);
}

void loop_until(bool (*is)(void *context), void *context)
{
    struct loop_timer *timer = NULL;
    must(loop_timer_new(&timer, loop, stop_loop, NULL));
    loop_timer_start(timer, 1, 1);
    int64_t deadline_us = system_us(CLOCK_MONOTONIC) + LIMIT_S * INT64_C(1000000);
    bool holds = is(context);
    while (!holds && system_us(CLOCK_MONOTONIC) < deadline_us) {
        loop_run(loop);
        holds = is(context);
    }
    loop_timer_free(&timer);
    if (!holds) fail_msg("what was waited for did not come");
}

static bool nobody_waits(void *unused)
{
    (void)unused;
    return waiting == 0;
}

void calls_wait(void)
{
    if (waiting) loop_until(nobody_waits, NULL);
}

/* ---- nodes ---- */
void meter_begin(unsigned node)
{
    char name[64], wait[64], error[SETTINGS_ERROR_SIZE];
    snprintf(name, sizeof name, "node.name=test-%u", node);
    snprintf(wait, sizeof wait, "metering.max_wait=%s", meter_max_wait);
    const char *sets[] = {name, wait};
    if (settings_load(&settings[node], "/dev/null", sets, COUNT_OF(sets), error))
        fail_msg("%s", error);
    services[node] =
        (struct service){.loop = loop,
                         .settings = &settings[node],
                         .database = meter_database ? meter_database : database_start()};
    struct db_pool_config readers = {
        .name = "readers", .db = *services[node].database, .threads = 1, .queue_limit = 8};
    must(db_pool_new(&services[node].readers, loop, &readers));
    must(token_cache_new(&services[node].tokens, &services[node]));
    must(meter_new(&services[node].meter, &services[node]));
}

static void on_closed(void *context)
{
    *(bool *)context = true;
    loop_stop(loop);
}

static bool is_closed(void *closed)
{
    return *(bool *)closed;
}

void meter_finish(unsigned node)
{
    bool closed = !services[node].meter;
    if (!closed) meter_stop(services[node].meter, on_closed, &closed);
    loop_until(is_closed, &closed);
    closed = false;
    db_pool_stop(services[node].readers, on_closed, &closed);
    loop_until(is_closed, &closed);
    token_cache_free(&services[node].tokens);
    settings_done(&settings[node]);
}

int meter_group_begin(void **state)
{
    static const struct clock_source source = {moved_wall_ms, moved_mono_us, moved_boot_ms};
    (void)state;
    clock_install(&source);
    log_set_level(LOG_ERROR);
    database_migrate();
    db = database_open();
    /* The schema's first row is of 1970 and pruned as soon as a second one comes: a node that
     * stands at it starts anew then, in the midst of a test. */
    sql("UPDATE feed SET created_at = %lld", (long long)clock_wall_ms());
    tier_add("five", "5", "[]");
    tier_add("endless", "NULL", "[]");
    must(loop_new(&loop));
    meter_begin(0);
    return 0;
}

int meter_group_finish(void **state)
{
    (void)state;
    meter_finish(0);
    assert_int_equal(loop_free(&loop), ERR_OK);
    db_close(&db);
    return 0;
}

void fold_all(void)
{
    struct fold_owner owners[FOLD_OWNERS_MAX];
    size_t count;
    sql("INSERT IGNORE INTO node (id, incarnation, started_at) VALUES (%d, 1, 0)", FOLDER);
    must(fold_owners(db, owners, &count));
    for (size_t i = 0; i < count; i++) {
        enum err error;
        size_t folded = 0;
        do
            error = fold_one(db, FOLDER, 1, &owners[i], clock_wall_ms(), &folded);
        while (error == ERR_DB_RETRY || (!error && folded));
        must(error);
    }
    sql("DELETE FROM node WHERE id = %d", FOLDER);
}
