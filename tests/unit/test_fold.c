/* The rule of the fold: an incarnation's fold_owner row is locked, never the node's own; what is
 * deleted is what was read, or nothing is done; no content stops it; the newest row stays. */
#include "store/fold.h"

#include "core/journal.h"
#include "database.h"
#include "store/journal.h"
#include "store/node.h"

#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

enum { SELF = 7, OWNER = 8, UNITS = 10, TRIES = 3000 };

static struct db *db;
static const struct fold_owner owner = {.node = OWNER, .incarnation = 1};

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(db));
}

static int64_t number(const char *sql)
{
    struct db_rows rows;
    must(db_query(db, sql, DB_NONE, &rows));
    assert_true(db_next(&rows));
    int64_t value = db_get_i64(&rows, 0);
    db_finish(&rows);
    return value;
}

static int setup(void **state)
{
    (void)state;
    database_migrate();
    db = database_open();
    must(db_command(db, "INSERT INTO node (id, incarnation, started_at) VALUES (7, 1, 0), (8, 1, "
                        "0)"));
    must(db_command(db, "INSERT INTO node_heartbeat (node, incarnation, connection, sent_at) "
                        "VALUES (8, 1, 0, 0)"));
    must(db_command(db, "INSERT INTO fold_owner (node, incarnation) VALUES (8, 1)"));
    must(db_command(db, "INSERT INTO budget (kind, subject, period_start) VALUES (1, 5, 0)"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    db_close(&db);
    return 0;
}

static void batch_write(uint64_t seq)
{
    struct buf payload CLEANUP(buf_done) = {0};
    struct journal_writer writer;
    struct journal_entry entry = {
        .secret_id = 9, .key_id = 9, .customer_id = 5, .units = UNITS, .allowed = 1};
    journal_encode_begin(&writer, &payload);
    journal_encode_entry(&writer, &entry);
    journal_encode_end(&writer);
    must(journal_insert(db, (struct journal_id){OWNER, 1, seq}, buf_span(&payload)));
}

static int64_t used(void)
{
    return number("SELECT used FROM budget WHERE subject = 5");
}

static size_t fold(void)
{
    size_t folded;
    must(fold_one(db, SELF, 1, &owner, 1, &folded));
    return folded;
}

static void a_row_is_counted_once_and_the_newest_stays(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 3; seq++)
        batch_write(seq);
    assert_int_equal(fold(), 3);
    assert_int_equal(fold(), 0);
    assert_int_equal(used(), 3 * UNITS);
    assert_int_equal(number("SELECT SUM(allowed) FROM usage_hour"), 3);
    assert_int_equal(number("SELECT COUNT(*) FROM meter_journal"), 1);
    assert_int_equal(number("SELECT seq FROM meter_journal"), 3);
    batch_write(4);
    assert_int_equal(fold(), 1);
    assert_int_equal(used(), 4 * UNITS);
    assert_int_equal(number("SELECT seq FROM meter_journal"), 4);
}

static void what_cannot_be_read_stops_nothing(void **state)
{
    (void)state;
    batch_write(1);
    must(journal_insert(db, (struct journal_id){OWNER, 1, 2}, SPAN("\xff no payload")));
    must(journal_insert(db, (struct journal_id){OWNER, 1, 3}, SPAN("")));
    batch_write(4);
    assert_int_equal(fold(), 4);
    assert_int_equal(used(), 2 * UNITS);
}

/* Each live node's journal, and none is passed over for those that ended. */
static void all_that_live_are_folded_however_many_there_are(void **state)
{
    (void)state;
    static struct fold_owner owners[FOLD_OWNERS_MAX];
    size_t count, live = 0;
    must(db_command(db, "INSERT INTO node (id, incarnation, fenced, started_at) SELECT seq, 1, 1, "
                        "0 FROM seq_9_to_260"));
    must(db_command(db, "INSERT INTO node (id, incarnation, started_at) SELECT seq, 1, 0 FROM "
                        "seq_261_to_511"));
    must(db_command(db, "INSERT INTO fold_owner (node, incarnation) SELECT seq, 1 FROM "
                        "seq_9_to_511"));
    must(db_command(db, "INSERT INTO lease (node, incarnation, kind, subject, period_start, "
                        "granted) SELECT seq, 1, 1, 5, 0, 1 FROM seq_9_to_260"));
    must(fold_owners(db, owners, &count));
    for (size_t i = 0; i < count; i++)
        live += !owners[i].fenced;
    assert_int_equal(live, 1 + 511 - 260);
    assert_int_equal(count - live, 260 - 8);
}

/* ---- two at once ---- */
struct folding {
    pthread_t thread;
    struct db *db;
    size_t folded;
    enum err error;
};

static void *folding_main(void *context)
{
    struct folding *folding = context;
    folding->error = fold_one(folding->db, SELF, 1, &owner, 1, &folding->folded);
    return NULL;
}

static void folding_start(struct folding *folding)
{
    folding->db = database_open();
    must(db_command(folding->db, "SET SESSION innodb_lock_wait_timeout = 60"));
    assert_int_equal(pthread_create(&folding->thread, NULL, folding_main, folding), 0);
}

static enum err folding_end(struct folding *folding)
{
    pthread_join(folding->thread, NULL);
    db_close(&folding->db);
    return folding->error;
}

/* By the counter, which is always fresh; innodb_trx shows what it was asked a moment ago. */
static void wait_for_waiting(int64_t count)
{
    for (int i = 0; i < TRIES; i++) {
        if (number("SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.GLOBAL_STATUS "
                   "WHERE VARIABLE_NAME = 'INNODB_ROW_LOCK_CURRENT_WAITS'") == count)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    fail_msg("nobody waits");
}

/* A connection that has the budget's row, behind which a fold stands that has read its rows. */
static struct db *budget_hold(void)
{
    struct db *holder = database_open();
    must(db_command(holder, "SET SESSION idle_transaction_timeout = 0"));
    must(db_begin(holder));
    must(db_command(holder, "UPDATE budget SET used = used + 0 WHERE subject = 5"));
    must(db_command(holder, "SELECT used FROM budget WHERE subject = 5 FOR UPDATE"));
    return holder;
}

static void of_two_folds_one_waits_and_counts_nothing_again(void **state)
{
    (void)state;
    struct folding first, second;
    batch_write(1);
    batch_write(2);
    struct db *holder = budget_hold();
    folding_start(&first);
    wait_for_waiting(1);
    folding_start(&second);
    wait_for_waiting(2);
    db_rollback(holder);
    assert_int_equal(folding_end(&first), ERR_OK);
    assert_int_equal(folding_end(&second), ERR_OK);
    assert_int_equal(first.folded, 2);
    assert_int_equal(second.folded, 0);
    assert_int_equal(used(), 2 * UNITS);
    db_close(&holder);
}

/* A row that becomes visible behind the read, below what was read. */
static void what_was_not_read_is_not_deleted(void **state)
{
    (void)state;
    struct folding folding;
    batch_write(2);
    batch_write(3);
    struct db *holder = budget_hold();
    folding_start(&folding);
    wait_for_waiting(1);
    batch_write(1);
    db_rollback(holder);
    assert_int_equal(folding_end(&folding), ERR_DB_RETRY);
    assert_int_equal(used(), 0);
    assert_int_equal(number("SELECT COUNT(*) FROM meter_journal"), 3);
    assert_int_equal(fold(), 3);
    assert_int_equal(used(), 3 * UNITS);
    db_close(&holder);
}

/* Lock waits end after a second with an error, so waiting would be seen. */
static void the_node_that_is_folded_goes_on(void **state)
{
    (void)state;
    struct folding folding;
    batch_write(1);
    batch_write(2);
    struct db *holder = budget_hold();
    folding_start(&folding);
    wait_for_waiting(1);
    batch_write(3);
    must(node_heartbeat(db, OWNER, 1, 1));
    must(db_begin(db));
    must(node_hold(db, OWNER, 1));
    must(db_commit(db));
    db_rollback(holder);
    assert_int_equal(folding_end(&folding), ERR_OK);
    assert_int_equal(fold(), 1);
    assert_int_equal(used(), 3 * UNITS);
    db_close(&holder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_row_is_counted_once_and_the_newest_stays),
        TEST(what_cannot_be_read_stops_nothing),
        TEST(all_that_live_are_folded_however_many_there_are),
        TEST(of_two_folds_one_waits_and_counts_nothing_again),
        TEST(what_was_not_read_is_not_deleted),
        TEST(the_node_that_is_folded_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
