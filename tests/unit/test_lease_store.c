/* Takes of many budgets in one transaction, against a real MariaDB. What nodes do with leases is
 * tested by test_meter. */
#include "store/lease.h"

#include "database.h"

#include "unit.h"

#include <stdio.h>

enum { NODE = 7, INCARNATION = 3, CUSTOMERS = 45 }; /* one full statement of keys and a bit */

static struct db *db, *other;

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(db));
}

static int setup(void **state)
{
    (void)state;
    database_migrate();
    db = database_open();
    other = database_open();
    must(db_command(db,
                    "INSERT INTO node (id, incarnation, started_at) VALUES (7, 3, 0), (8, 1, 0)"));
    must(db_command(db,
                    "INSERT INTO tier SELECT 'small', name, 10, overage, rate_limits, max_keys, "
                    "0, label, rotation_days, notice_days, grace_seconds, hard_stop_days, "
                    "max_overlap_days, on_unclaimed, on_lapse, permissions, price_references, "
                    "ack, 0, 0 FROM tier WHERE slug = 'free'"));
    must(db_command(db, "INSERT INTO tier SELECT 'endless', name, NULL, overage, rate_limits, "
                        "max_keys, 0, label, rotation_days, notice_days, grace_seconds, "
                        "hard_stop_days, max_overlap_days, on_unclaimed, on_lapse, permissions, "
                        "price_references, ack, 0, 0 FROM tier WHERE slug = 'free'"));
    for (unsigned id = 1; id <= CUSTOMERS; id++) {
        char text[200];
        snprintf(text, sizeof text,
                 "INSERT INTO entitlement (customer_id, tier, provider, status, updated_at) VALUES "
                 "(%u, '%s', 'none', 'active', 0)",
                 id, id % 2 ? "small" : "endless");
        must(db_command(db, text));
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    db_close(&db);
    db_close(&other);
    return 0;
}

static struct lease_take take_of(uint64_t customer, uint64_t need, uint64_t want)
{
    return (struct lease_take){
        .key = {BUDGET_CUSTOMER, customer, 0}, .hand_back = true, .need = need, .want = want};
}

static void take(struct lease_take *takes, size_t count, unsigned node, unsigned incarnation)
{
    must(lease_take(db, node, incarnation, 0, takes, count));
}

static void each_gets_its_own(void **state)
{
    (void)state;
    struct lease_take takes[CUSTOMERS];
    for (size_t i = 0; i < CUSTOMERS; i++)
        takes[i] = take_of(i + 1, i + 1, 100);
    take(takes, CUSTOMERS, NODE, INCARNATION);
    for (size_t i = 0; i < CUSTOMERS; i++) {
        bool small = (i + 1) % 2;
        assert_int_equal(takes[i].limited, small);
        assert_int_equal(takes[i].limit, small ? 10 : 0);
        bool enough = !small || i + 1 <= 10;
        assert_int_equal(takes[i].verdict, enough ? TAKE_GRANTED : TAKE_EXCEEDED);
        assert_int_equal(takes[i].granted, !enough ? 0 : small ? 10 : 100);
    }
    for (size_t i = 0; i < CUSTOMERS; i++) { /* again, half of it spent */
        takes[i].spent = takes[i].granted / 2;
        takes[i].need = takes[i].want = 1;
    }
    take(takes, CUSTOMERS, NODE, INCARNATION);
    for (size_t i = 0; i < CUSTOMERS; i++)
        assert_int_equal(takes[i].granted, takes[i].spent + 1);
}

static void one_knows_of_another(void **state)
{
    (void)state;
    struct lease_take takes[40], ask = take_of(1, 5, 5);
    for (size_t i = 0; i < COUNT_OF(takes); i++)
        takes[i] = take_of(i + 1, 1, 8);
    take(takes, COUNT_OF(takes), 8, 1);
    take(&ask, 1, NODE, INCARNATION);
    assert_int_equal(ask.verdict, TAKE_WAIT);
    assert_true(ask.asked);
    takes[0].spent = 8; /* all gone, and said so */
    takes[0].want = takes[0].need = 0;
    take(takes, 1, 8, 1);
    take(&ask, 1, NODE, INCARNATION);
    assert_int_equal(ask.verdict, TAKE_EXCEEDED);
    assert_int_equal(ask.available, 2);
}

static int64_t feed_rows(enum feed_kind kind)
{
    struct db_rows rows;
    must(db_query(db, "SELECT COUNT(*) FROM feed WHERE kind = ?", DB_VALUES(db_i64(kind)), &rows));
    assert_true(db_next(&rows));
    int64_t count = db_get_i64(&rows, 0);
    db_finish(&rows);
    return count;
}

/* However often a node comes again while it waits; another's shortage is another ask. */
static void a_shortage_is_asked_about_once(void **state)
{
    (void)state;
    struct lease_take all = take_of(1, 1, 10), ask = take_of(1, 5, 5), third = ask;
    must(db_command(db, "INSERT INTO node (id, incarnation, started_at) VALUES (9, 1, 0)"));
    take(&all, 1, 8, 1);
    assert_int_equal(all.granted, 10);
    for (int i = 0; i < 3; i++) {
        take(&ask, 1, NODE, INCARNATION);
        assert_int_equal(ask.verdict, TAKE_WAIT);
        assert_int_equal(feed_rows(FEED_ASK), 1);
    }
    take(&third, 1, 9, 1);
    assert_int_equal(feed_rows(FEED_ASK), 2);
}

/* A verdict is kept by nodes that do not ask again until the feed says that units came back; what
 * comes back while nobody has a verdict is nobody's news. */
static void units_that_come_back_void_verdicts(void **state)
{
    (void)state;
    struct lease_take holder = take_of(1, 1, 8), ask = take_of(1, 5, 5);
    take(&holder, 1, 8, 1);
    holder.spent = 2;
    holder.want = 6;
    take(&holder, 1, 8, 1);
    assert_int_equal(feed_rows(FEED_CLEAR), 0);
    holder.spent = holder.granted;
    holder.need = holder.want = 0;
    take(&holder, 1, 8, 1);
    take(&ask, 1, NODE, INCARNATION);
    assert_int_equal(ask.verdict, TAKE_EXCEEDED);
    assert_int_equal(feed_rows(FEED_CLEAR), 0);
    holder.spent -= 3; /* calls that were not committed after all */
    take(&holder, 1, 8, 1);
    assert_int_equal(feed_rows(FEED_CLEAR), 1);
    take(&ask, 1, NODE, INCARNATION);
    assert_int_equal(ask.verdict, TAKE_GRANTED);
}

/* A lock that is waited for ends with an error after a second. */
static void takes_lock_nothing_else(void **state)
{
    (void)state;
    struct lease_take takes[CUSTOMERS];
    for (size_t i = 0; i < CUSTOMERS; i++)
        takes[i] = take_of(i + 1, 1, 1);
    take(takes, CUSTOMERS, NODE, INCARNATION);
    must(db_command(other, "SET SESSION idle_transaction_timeout = 60"));
    must(db_begin(other));
    must(db_command(other, "UPDATE budget SET used = used WHERE subject = 20"));
    take(takes, 19, NODE, INCARNATION);
    take(takes + 20, CUSTOMERS - 20, NODE, INCARNATION);
    assert_int_equal(lease_take(db, NODE, INCARNATION, 0, takes + 19, 1), ERR_DB_RETRY);
    must(db_commit(other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_gets_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(one_knows_of_another, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shortage_is_asked_about_once, setup, teardown),
        cmocka_unit_test_setup_teardown(units_that_come_back_void_verdicts, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_lock_nothing_else, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
