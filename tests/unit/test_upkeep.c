/* store/upkeep: what is old goes, and nothing that anybody still needs. */
#include "store/upkeep.h"

#include "database.h"
#include "store/feed.h"
#include "store/journal.h"
#include "store/node.h"

#include "unit.h"

#include <sodium.h>
#include <stdio.h>

#define DAY_MS INT64_C(86400000)
#define NOW_MS (1000 * DAY_MS)

enum { TAG = 7 };

static struct db *db;
static struct upkeep upkeep;

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(db));
}

static int open_migrated(void **unused)
{
    (void)unused;
    database_migrate();
    db = database_open();
    struct node_joined joined;
    must(node_join(db, "keeper", TAG, NOW_MS, &joined));
    upkeep = (struct upkeep){joined.id, joined.incarnation, NOW_MS};
    return 0;
}

static int close_it(void **unused)
{
    (void)unused;
    db_close(&db);
    return 0;
}

static void sql(const char *format, ...) PRINTF_LIKE(1, 2);
static void sql(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    must(db_command(db, text));
}

static int64_t number(const char *sql_text)
{
    struct db_rows rows;
    must(db_query(db, sql_text, DB_NONE, &rows));
    assert_true(db_next(&rows));
    int64_t value = db_get_i64(&rows, 0);
    db_finish(&rows);
    return value;
}

static size_t run(enum err (*step)(struct db *, const struct upkeep *, size_t *))
{
    size_t deleted = 99;
    must(step(db, &upkeep, &deleted));
    return deleted;
}

static void append(int64_t at_ms)
{
    struct feed_row row = {.kind = FEED_KEY, .subject = 1};
    must(db_begin(db));
    must(feed_append(db, at_ms, &row, 1, NULL, 0, NULL, NULL));
    must(db_commit(db));
}

/* ---- the feed ---- */

static void the_feed_keeps_an_hour_and_never_loses_its_newest_row(void **unused)
{
    (void)unused;
    append(NOW_MS - DAY_MS);
    append(NOW_MS - DAY_MS);
    assert_int_equal(run(upkeep_feed), 2); /* and the schema's first row */
    assert_int_equal(number("SELECT COUNT(*) FROM feed"), 1);
    assert_int_equal(run(upkeep_feed), 0);
    append(NOW_MS - 1000);
    assert_int_equal(run(upkeep_feed), 1);
    append(NOW_MS);
    assert_int_equal(run(upkeep_feed), 0);
    assert_int_equal(number("SELECT MIN(position) FROM feed"), 4);
}

/* A node whose clock is slow writes rows that look old at once. Deleting one between others would
 * hide it from every node that has not read it yet. */
static void the_feed_gets_no_gap_by_a_slow_clock(void **unused)
{
    (void)unused;
    struct feed_place read;
    append(NOW_MS - 1000);
    must(feed_newest(db, &read));
    append(NOW_MS - 2 * DAY_MS);
    append(NOW_MS);
    run(upkeep_feed);
    struct arena arena = {0};
    struct feed_read feed;
    must(feed_read(db, read, &arena, &feed));
    assert_int_equal(feed.count, 2);
    arena_done(&arena);
}

/* Whoever is behind what was deleted learns it: the row it read last is missing. */
static void a_node_behind_the_feed_is_told_to_read_everything_anew(void **unused)
{
    (void)unused;
    struct feed_place read;
    append(NOW_MS - 2 * DAY_MS);
    must(feed_newest(db, &read));
    append(NOW_MS - 2 * DAY_MS);
    append(NOW_MS);
    run(upkeep_feed);
    struct arena arena = {0};
    struct feed_read feed;
    assert_int_equal(feed_read(db, read, &arena, &feed), ERR_NOT_FOUND);
    arena_done(&arena);
}

/* ---- the journal ---- */

static void only_ended_incarnations_lose_their_newest_journal_row(void **unused)
{
    (void)unused;
    /* live; fenced just now; fenced long ago with a row unfolded; fenced long ago */
    for (int i = 1; i <= 4; i++) {
        int64_t fenced_at = i == 2 ? NOW_MS - 1000 : NOW_MS - DAY_MS;
        sql("INSERT INTO node (id, incarnation, fenced, fenced_at, started_at) VALUES (9, %d, %d, "
            "%lld, 0)",
            i, i > 1, (long long)(i > 1 ? fenced_at : 0));
        sql("INSERT INTO fold_owner VALUES (9, %d, 5)", i);
        sql("INSERT INTO meter_journal VALUES (9, %d, 5, '')", i);
        if (i == 3) sql("INSERT INTO meter_journal VALUES (9, %d, 6, '')", i);
    }
    assert_int_equal(run(upkeep_journal), 2);
    assert_int_equal(number("SELECT COUNT(*) FROM meter_journal WHERE seq = 5"), 2);
    assert_int_equal(number("SELECT COUNT(*) FROM meter_journal WHERE incarnation <= 2"), 2);
    assert_int_equal(number("SELECT seq FROM meter_journal WHERE incarnation = 3"), 6);
    assert_int_equal(run(upkeep_journal), 0);
    assert_int_equal(number("SELECT COUNT(*) FROM node"), 5);
    assert_int_equal(number("SELECT COUNT(*) FROM fold_owner"), 5);
}

/* ---- nodes ---- */

static void ended_add(int incarnation, int64_t fenced_at)
{
    sql("INSERT INTO node (id, incarnation, tag, fenced, fenced_at, started_at) VALUES (9, %d, 5, "
        "%d, %lld, 0)",
        incarnation, fenced_at > 0, (long long)fenced_at);
    sql("INSERT INTO node_heartbeat (node, incarnation, connection, sent_at) VALUES (9, %d, 0, 0)",
        incarnation);
    sql("INSERT INTO fold_owner VALUES (9, %d, 5)", incarnation);
}

/* One of each, and nothing that still speaks of it may be there: then its number is in no row. */
static void an_ended_incarnation_goes_when_nothing_speaks_of_it(void **unused)
{
    (void)unused;
    static const char *const speaks[] = {
        "INSERT INTO meter_journal VALUES (9, 2, 6, '')",
        "INSERT INTO meter_journal VALUES (9, 2, 5, '')",
        "INSERT INTO lease (node, incarnation, kind, subject, period_start, granted) VALUES (9, 2, "
        "1, 1, 0, 0)",
        "INSERT INTO idempotency (id, fingerprint, node, incarnation, claim, reserved_at, "
        "expires_at) VALUES ('i', 'f', 9, 2, 1, 0, 0)",
        "INSERT INTO outbox (id, kind, subject, generation, recipient, customer_id, state, "
        "next_at, node, incarnation, first_queued_at) VALUES (1, 'k', 1, 1, 'r', 1, 'sending', 0, "
        "9, 2, 0)"};
    static const char *const gone[] = {"meter_journal", "meter_journal", "lease", "idempotency",
                                       "outbox"};
    ended_add(2, NOW_MS - 31 * DAY_MS);
    ended_add(3, NOW_MS - 29 * DAY_MS); /* too young */
    ended_add(4, NOW_MS - 31 * DAY_MS); /* the newest: it keeps the number */
    for (size_t i = 0; i < COUNT_OF(speaks); i++) {
        sql("%s", speaks[i]);
        assert_int_equal(run(upkeep_nodes), 0);
        sql("DELETE FROM %s", gone[i]);
    }
    assert_int_equal(run(upkeep_nodes), 1);
    assert_int_equal(run(upkeep_nodes), 0);
    assert_int_equal(number("SELECT COUNT(*) FROM node WHERE id = 9"), 2);
    assert_int_equal(number("SELECT COUNT(*) FROM node_heartbeat WHERE node = 9"), 2);
    assert_int_equal(number("SELECT COUNT(*) FROM fold_owner WHERE node = 9"), 2);
    assert_int_equal(number("SELECT COUNT(*) FROM node WHERE id = 9 AND incarnation = 2"), 0);
}

static void a_living_incarnation_stays_however_old_it_is(void **unused)
{
    (void)unused;
    ended_add(2, 0);
    ended_add(3, 0);
    assert_int_equal(run(upkeep_nodes), 0);
    assert_int_equal(number("SELECT COUNT(*) FROM node WHERE id = 9"), 2);
}

/* ---- leases and budgets ---- */

static void budget_add(int subject, int64_t age_days)
{
    sql("INSERT INTO budget (kind, subject, period_start, used) VALUES (1, %d, %lld, 3)", subject,
        (long long)(NOW_MS - age_days * DAY_MS));
}

static void lease_add(int subject, int64_t age_days, int granted, int settled)
{
    sql("INSERT INTO lease (node, incarnation, kind, subject, period_start, granted, settled) "
        "VALUES (1, 1, 1, %d, %lld, %d, %d)",
        subject, (long long)(NOW_MS - age_days * DAY_MS), granted, settled);
}

static void leases_go_when_they_are_settled_and_their_period_is_over(void **unused)
{
    (void)unused;
    lease_add(1, 20, 5, 5); /* the running period */
    lease_add(2, 32, 5, 5); /* not yet a day */
    lease_add(3, 33, 5, 5);
    lease_add(4, 33, 5, 4); /* a unit is still out */
    assert_int_equal(run(upkeep_leases), 1);
    assert_int_equal(number("SELECT COUNT(*) FROM lease WHERE subject <> 3"), 3);
}

static void budgets_go_62_days_after_their_period_and_their_last_lease(void **unused)
{
    (void)unused;
    budget_add(1, 20);
    budget_add(2, 93);
    budget_add(3, 94);
    budget_add(4, 94);
    lease_add(4, 94, 5, 4);
    assert_int_equal(run(upkeep_budgets), 1);
    assert_int_equal(number("SELECT COUNT(*) FROM budget WHERE subject <> 3"), 3);
    sql("UPDATE lease SET settled = 5");
    assert_int_equal(run(upkeep_leases), 1);
    assert_int_equal(run(upkeep_budgets), 1);
    assert_int_equal(run(upkeep_budgets), 0);
}

static void one_call_deletes_a_bounded_number(void **unused)
{
    (void)unused;
    for (int i = 0; i < UPKEEP_ROWS + 3; i++)
        budget_add(100 + i, 100);
    assert_int_equal(run(upkeep_budgets), UPKEEP_ROWS);
    assert_int_equal(run(upkeep_budgets), 3);
}

static void a_fenced_node_deletes_nothing(void **unused)
{
    (void)unused;
    size_t deleted;
    budget_add(1, 200);
    must(node_leave(db, NOW_MS, upkeep.node, upkeep.incarnation));
    assert_int_equal(upkeep_budgets(db, &upkeep, &deleted), ERR_FENCED);
    assert_int_equal(deleted, 0);
    ended_add(2, NOW_MS - 31 * DAY_MS);
    ended_add(3, 0);
    assert_int_equal(upkeep_nodes(db, &upkeep, &deleted), ERR_FENCED);
    assert_int_equal(number("SELECT COUNT(*) FROM node WHERE id = 9"), 2);
    assert_int_equal(deleted, 0);
    assert_int_equal(number("SELECT COUNT(*) FROM budget"), 1);
}

static void what_rotation_leaves_goes_after_90_days(void **unused)
{
    (void)unused;
    long long old = NOW_MS - 91 * DAY_MS, young = NOW_MS - 89 * DAY_MS;
    for (int i = 0; i < 2; i++) {
        long long then = i ? young : old;
        sql("INSERT INTO rotation (key_id, generation, step, status, done_at, created_at) VALUES"
            " (%d, 1, 3, 5, %lld, 1), (%d, 0, 4, 0, %lld, 1)",
            i, then, i, then);
        sql("INSERT INTO rotation (key_id, generation, step, status, look_at, created_at) VALUES"
            " (%d, 2, 1, 1, 1, 1)",
            i);
        sql("INSERT INTO outbox (id, kind, subject, generation, recipient, customer_id, state,"
            " next_at, first_queued_at) VALUES (%d, 'rotated', %d, 1, 'r', 1, 'sent', %lld, 1),"
            " (%d, 'retired', %d, 1, 'r', 1, 'retry', %lld, 1)",
            10 + i, i, then, 20 + i, i, then);
        sql("INSERT INTO claim (hash, key_id, generation, issued_at, ended_at) VALUES (REPEAT('%d',"
            " 32), 1, 1, 1, %lld), (REPEAT('%c', 32), 1, 1, 1, NULL)",
            i, then, 'a' + i);
        sql("INSERT INTO alert (id, kind, subject, open, detail, created_at, last_at) VALUES"
            " (%lld, 'k', 's%d', NULL, '{}', 1, 1), (%lld, 'k', 's%d', 1, '{}', 1, 1)",
            then << 21, i, (then << 21) + 1, i);
    }
    assert_int_equal(run(upkeep_rotation), 1);
    assert_int_equal(number("SELECT COUNT(*) FROM rotation"), 5);
    assert_int_equal(run(upkeep_outbox), 1);
    assert_int_equal(number("SELECT COUNT(*) FROM outbox"), 3);
    assert_int_equal(run(upkeep_claims), 1);
    assert_int_equal(number("SELECT COUNT(*) FROM claim"), 3);
    assert_int_equal(run(upkeep_alerts), 1);
    assert_int_equal(number("SELECT COUNT(*) FROM alert"), 3);
}

static void networks_go_40_days_after(void **unused)
{
    (void)unused;
    long long old = NOW_MS - 41 * DAY_MS, young = NOW_MS - 39 * DAY_MS;
    sql("INSERT INTO secret_network (secret_id, network, last_used_at) VALUES (1, 'aaaa', %lld),"
        " (1, 'bbbb', %lld), (2, 'aaaa', %lld)",
        old, old, young);
    assert_int_equal(run(upkeep_secret_networks), 2);
    assert_int_equal(number("SELECT COUNT(*) FROM secret_network"), 1);
}

/* With the forms that were sent in them; one without any goes too. */
static void visits_go_a_day_after_their_end(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        sql("INSERT INTO portal_session (id, customer_id, link_hash, may, created_by, created_at,"
            " ends_at) VALUES (%d, 1, REPEAT('%c', 32), 0, 't', 1, %lld)",
            i + 1, 'a' + i, i < 2 ? 1LL : 9000000000000LL);
    sql("INSERT INTO portal_form (session_id, form) VALUES (1, REPEAT('a', 16)),"
        " (1, REPEAT('b', 16)), (3, REPEAT('c', 16))");
    assert_true(run(upkeep_portal) >= 2);
    assert_int_equal(number("SELECT COUNT(*) FROM portal_session"), 1);
    assert_int_equal(number("SELECT COUNT(*) FROM portal_form"), 1);
}

int main(void)
{
    if (sodium_init() < 0) return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_migrated, close_it)
    const struct CMUnitTest tests[] = {
        TEST(the_feed_keeps_an_hour_and_never_loses_its_newest_row),
        TEST(the_feed_gets_no_gap_by_a_slow_clock),
        TEST(a_node_behind_the_feed_is_told_to_read_everything_anew),
        TEST(only_ended_incarnations_lose_their_newest_journal_row),
        TEST(an_ended_incarnation_goes_when_nothing_speaks_of_it),
        TEST(a_living_incarnation_stays_however_old_it_is),
        TEST(leases_go_when_they_are_settled_and_their_period_is_over),
        TEST(budgets_go_62_days_after_their_period_and_their_last_lease),
        TEST(what_rotation_leaves_goes_after_90_days),
        TEST(one_call_deletes_a_bounded_number),
        TEST(a_fenced_node_deletes_nothing),
        TEST(visits_go_a_day_after_their_end),
        TEST(networks_go_40_days_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
