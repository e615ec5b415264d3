/* The rule of fencing: whatever a node writes in its own name holds the node's row in share mode in
 * the same transaction, so that a fence waits for what is under way and nothing comes behind it;
 * and a node is fenced only by successive looks at a counter that stands still. */
#include "base/clock.h"
#include "core/journal.h"
#include "meter_fixture.h"
#include "service/meter_private.h"
#include "store/fold.h"
#include "store/journal.h"
#include "store/node.h"

#include "unit.h"

#include <pthread.h>
#include <stdio.h>

enum { SILENT = 300, SECOND_MS = 1000 };

/* ---- what a node runs in its own name ---- */
enum { CUSTOMER = 5, GRANTED = 10, SPENT = 4 };

static enum err insert_run(struct db *on, unsigned node, unsigned incarnation)
{
    return journal_insert(on, (struct journal_id){node, incarnation, 900}, SPAN("x"));
}

static enum err insert_at_run(struct db *on, unsigned node, unsigned incarnation)
{
    struct feed_place place;
    bool written = false;
    enum err error = feed_newest(on, &place);
    if (!error)
        error = journal_insert_at(on, (struct journal_id){node, incarnation, 901}, SPAN("x"), place,
                                  &written);
    return error || written ? error : ERR_FENCED;
}

static enum err take_run(struct db *on, unsigned node, unsigned incarnation)
{
    struct lease_take take = {
        .key = {BUDGET_CUSTOMER, CUSTOMER, 0}, .spent = SPENT, .need = 1, .want = 7};
    return lease_take(on, node, incarnation, 1, &take, 1);
}

static enum err hand_back_run(struct db *on, unsigned node, unsigned incarnation)
{
    struct lease_take take = {
        .key = {BUDGET_CUSTOMER, CUSTOMER, 0}, .spent = SPENT, .hand_back = true};
    return lease_take(on, node, incarnation, 1, &take, 1);
}

static enum err fold_run(struct db *on, unsigned node, unsigned incarnation)
{
    struct fold_owner owner = {.node = SILENT, .incarnation = 1};
    size_t folded;
    return fold_one(on, node, incarnation, &owner, 1, &folded);
}

static const struct statement {
    const char *name;
    enum err (*run)(struct db *on, unsigned node, unsigned incarnation);
    const char *lock; /* of somebody else's, behind the node's own row */
} statements[] = {
    {"insert", insert_run, "SELECT seq FROM meter_journal FOR UPDATE"},
    {"insert at", insert_at_run, "SELECT seq FROM meter_journal FOR UPDATE"},
    {"take", take_run, "SELECT used FROM budget FOR UPDATE"},
    {"hand back", hand_back_run, "SELECT used FROM budget FOR UPDATE"},
    {"fold", fold_run, "SELECT folded FROM fold_owner FOR UPDATE"},
};

static unsigned node_id, incarnation_now;

/* A node that leads a life of its own beside the meter's, with units, and a journal of SILENT's. */
static void node_make(const char *name, uint64_t tag)
{
    struct node_joined joined;
    must(node_join(db, name, tag, clock_wall_ms(), &joined));
    node_id = joined.id;
    incarnation_now = joined.incarnation;
    sql("REPLACE INTO budget (kind, subject, period_start, used, leased) VALUES (1, %d, 0, 0, %d)",
        CUSTOMER, GRANTED);
    sql("INSERT INTO lease (node, incarnation, kind, subject, period_start, granted) VALUES (%u, "
        "%u, 1, %d, 0, %d)",
        node_id, incarnation_now, CUSTOMER, GRANTED);
    sql("REPLACE INTO entitlement (customer_id, tier, provider, status, updated_at) VALUES (%d, "
        "'endless', 'none', 'active', 0)",
        CUSTOMER);
    sql("REPLACE INTO fold_owner (node, incarnation) VALUES (%d, 1)", SILENT);
    struct buf payload = {0};
    struct journal_writer writer;
    struct journal_entry entry = {.secret_id = 9, .key_id = 9, .customer_id = 9, .units = 3};
    journal_encode_begin(&writer, &payload);
    journal_encode_entry(&writer, &entry);
    journal_encode_end(&writer);
    struct db_value values[] = {db_i64(SILENT), db_span(buf_span(&payload))};
    must(db_execute(db, "REPLACE INTO meter_journal VALUES (?, 1, 1, ?)", values, 2, NULL));
    buf_done(&payload);
}

static int64_t state_sum(void)
{
    return number_of("SELECT CAST((SELECT SUM(used * 3 + leased * 7) FROM budget WHERE subject < "
                     "10) + (SELECT SUM(granted * 11 + settled * 13) FROM lease WHERE subject < "
                     "10) + (SELECT COUNT(*) * 1000 FROM meter_journal WHERE node <> 1) + (SELECT "
                     "COUNT(*) * 10000 FROM usage_hour) AS SIGNED)");
}

static void nothing_is_written_once_fenced(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(statements); i++) {
        node_make("fenced", 41);
        must(node_leave(db, 1, node_id, incarnation_now));
        int64_t before = state_sum();
        if (statements[i].run(db, node_id, incarnation_now) != ERR_FENCED)
            fail_msg("%s", statements[i].name);
        assert_int_equal(state_sum(), before);
    }
    assert_int_equal(node_heartbeat(db, node_id, incarnation_now, 1), ERR_FENCED);
}

static void nothing_is_written_by_a_former_incarnation(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(statements); i++) {
        struct node_joined joined;
        node_make("again", 42);
        must(node_join(db, "again", 42, clock_wall_ms(), &joined));
        assert_true(joined.incarnation > incarnation_now);
        int64_t before = state_sum();
        if (statements[i].run(db, node_id, incarnation_now) != ERR_FENCED)
            fail_msg("%s", statements[i].name);
        assert_int_equal(state_sum(), before);
        assert_int_equal(node_heartbeat(db, node_id, incarnation_now, 1), ERR_FENCED);
        must(node_heartbeat(db, node_id, joined.incarnation, 1));
    }
}

struct running {
    const struct statement *statement;
    struct db *db;
    enum err error;
};

static void *statement_main(void *context)
{
    struct running *running = context;
    running->error = running->statement->run(running->db, node_id, incarnation_now);
    return NULL;
}

static bool fence_is_refused(void *unused)
{
    char sql_text[100];
    (void)unused;
    snprintf(sql_text, sizeof sql_text,
             "SELECT fenced FROM node WHERE id = %u AND incarnation = %u FOR UPDATE NOWAIT",
             node_id, incarnation_now);
    return db_command(db, sql_text) == ERR_DB_RETRY;
}

/* The statement waits for somebody else's lock and has the node's row meanwhile. */
static void a_fence_waits_for_what_is_under_way(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(statements); i++) {
        node_make("underway", 43);
        struct running running = {.statement = &statements[i], .db = database_open()};
        must(db_command(running.db, "SET SESSION innodb_lock_wait_timeout = 60"));
        struct db *holder = holder_begin(statements[i].lock);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, statement_main, &running), 0);
        loop_until(fence_is_refused, NULL);
        holder_end(&holder);
        pthread_join(thread, NULL);
        if (running.error) fail_msg("%s: %s", statements[i].name, err_name(running.error));
        db_close(&running.db);
        must(node_leave(db, 1, node_id, incarnation_now));
        sql("DELETE FROM meter_journal WHERE node = %u", node_id);
    }
}

/* ---- who is silent ---- */
static struct meter *meter(void)
{
    return services[0].meter;
}

static const struct node_watch *watch(void)
{
    for (unsigned i = 0; i < meter()->watch_count; i++)
        if (meter()->watches[i].id == SILENT) return &meter()->watches[i];
    return NULL;
}

static bool is_fenced(void *unused)
{
    (void)unused;
    return number_of("SELECT fenced FROM node WHERE id = %d", SILENT) == 1;
}

/* Who is fenced is not looked at any more. */
static bool has_looked(void *since)
{
    return (watch() && watch()->read_ms > *(int64_t *)since) || is_fenced(NULL);
}

/* The next look at the other nodes comes that much later. */
static void look(int64_t after_ms)
{
    int64_t since = clock_boot_ms();
    clock_move(0, after_ms, after_ms);
    since += after_ms;
    loop_until(has_looked, &since);
}

static void silent_begin(void)
{
    meter()->watch_count = 0;
    sql("REPLACE INTO node (id, incarnation, started_at) VALUES (%d, 1, 0)", SILENT);
    sql("REPLACE INTO node_heartbeat (node, incarnation, heartbeat, connection, sent_at) VALUES "
        "(%d, 1, 5, 0, "
        "0)",
        SILENT);
    look(SECOND_MS);
}

static void a_counter_that_stands_still_for_15_s_is_fenced(void **state)
{
    (void)state;
    silent_begin();
    int64_t first_ms = watch()->since_ms;
    while (watch()->read_ms - first_ms < 15 * SECOND_MS) {
        assert_false(is_fenced(NULL));
        look(SECOND_MS);
        first_ms = watch()->since_ms; /* a busy machine may bring a gap */
    }
    loop_until(is_fenced, NULL);
    assert_int_equal(number_of("SELECT COUNT(*) FROM feed WHERE kind = %d AND subject >> 32 = %d",
                               FEED_FENCE, SILENT),
                     1);
}

/* The one that began first, among as many as there may be. */
static void a_node_is_watched_however_many_there_are(void **state)
{
    (void)state;
    silent_begin();
    sql("INSERT INTO node (id, incarnation, started_at) SELECT seq, 1, 1 FROM seq_310_to_510");
    meter()->watch_count = 0;
    look(SECOND_MS);
    assert_non_null(watch());
    assert_true(meter()->watch_count >= 202);
    sql("DELETE FROM node WHERE id BETWEEN 310 AND 510");
}

static void a_counter_that_moves_is_not_fenced(void **state)
{
    (void)state;
    silent_begin();
    for (int i = 0; i < 40; i++) {
        if (i % 10 == 9)
            sql("UPDATE node_heartbeat SET heartbeat = heartbeat + 1 WHERE node = %d", SILENT);
        look(SECOND_MS);
        if (i % 10 == 9) assert_int_equal(watch()->since_ms, watch()->read_ms);
    }
    assert_false(is_fenced(NULL));
}

/* An observer that slept, or could not read, has seen nothing. */
static void a_gap_between_looks_starts_anew(void **state)
{
    (void)state;
    silent_begin();
    for (int i = 0; i < 10; i++) {
        look(4 * SECOND_MS);
        assert_int_equal(watch()->since_ms, watch()->read_ms);
    }
    for (int i = 0; i < 12; i++)
        look(SECOND_MS);
    look(3600 * SECOND_MS);
    assert_false(is_fenced(NULL));
}

static void wall_clocks_play_no_part(void **state)
{
    (void)state;
    silent_begin();
    for (int i = 0; i < 10; i++) {
        clock_move((i % 2 ? -90 : 90) * (int64_t)DAY_MS, 0, 0);
        look(SECOND_MS);
    }
    assert_false(is_fenced(NULL));
    clock_move(-DAY_MS, 0, 0); /* nor put off */
    for (int i = 0; i < 60 && !is_fenced(NULL); i++)
        look(SECOND_MS);
    assert_true(is_fenced(NULL));
    clock_move(DAY_MS, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_written_once_fenced),
        cmocka_unit_test(nothing_is_written_by_a_former_incarnation),
        cmocka_unit_test(a_fence_waits_for_what_is_under_way),
        cmocka_unit_test(a_counter_that_stands_still_for_15_s_is_fenced),
        cmocka_unit_test(a_node_is_watched_however_many_there_are),
        cmocka_unit_test(a_counter_that_moves_is_not_fenced),
        cmocka_unit_test(a_gap_between_looks_starts_anew),
        cmocka_unit_test(wall_clocks_play_no_part),
    };
    return cmocka_run_group_tests(tests, meter_group_begin, meter_group_finish);
}
