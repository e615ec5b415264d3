/* store/outbox on a real MariaDB: each mail is one node's to send, once, and nothing of it is kept.
 */
#include "store/outbox.h"

#include "database.h"
#include "store/node.h"

#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define HOUR INT64_C(3600000)
#define NOW  (1000 * 24 * HOUR)

static struct db *db, *other;
static struct outbox_node a, b;
static struct arena arena;
static struct outbox_mail *mails;
static size_t count;

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(db));
}

static int up(void **unused)
{
    (void)unused;
    struct node_joined joined;
    database_migrate();
    db = database_open();
    other = database_open();
    must(node_join(db, "a", 1, NOW, &joined));
    a = (struct outbox_node){joined.id, joined.incarnation};
    must(node_join(db, "b", 2, NOW, &joined));
    b = (struct outbox_node){joined.id, joined.incarnation};
    return 0;
}

static int down(void **unused)
{
    (void)unused;
    arena_done(&arena);
    db_close(&db);
    db_close(&other);
    return 0;
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

static enum err queue(uint64_t id, uint32_t generation, int64_t at)
{
    struct outbox_row row = {.id = id,
                             .kind = "rotated",
                             .subject = 7,
                             .generation = generation,
                             .recipient = SPAN("0123456789abcdef"),
                             .customer_id = 1,
                             .key_id = 7,
                             .recipient_sealed = SPAN("sealed"),
                             .context = "{}",
                             .with_link = true,
                             .queued_at = at};
    return outbox_insert(db, &row, 1);
}

static size_t claim(struct db *with, const struct outbox_node *node, int64_t now, enum err expected)
{
    arena_done(&arena);
    assert_int_equal(outbox_claim(with, node, now, 100, &arena, &mails, &count), expected);
    return count;
}

static void a_mail_is_queued_once(void **unused)
{
    (void)unused;
    must(queue(1, 1, NOW));
    assert_int_equal(queue(2, 1, NOW), ERR_EXISTS);
    must(queue(3, 2, NOW));
    assert_int_equal(number("SELECT COUNT(*) FROM outbox"), 2);
}

static void it_is_one_nodes_and_leaves_nothing(void **unused)
{
    (void)unused;
    must(queue(1, 1, NOW));
    assert_int_equal(claim(db, &a, NOW - 1, ERR_OK), 0);
    assert_int_equal(claim(db, &a, NOW, ERR_OK), 1);
    assert_string_equal(mails[0].row.kind, "rotated");
    assert_true(mails[0].row.with_link);
    assert_int_equal(mails[0].attempts, 1);
    assert_int_equal(claim(db, &b, NOW, ERR_OK), 0);
    assert_int_equal(outbox_accepted(db, &b, 1, NOW), ERR_NOT_FOUND);
    must(outbox_accepted(db, &a, 1, NOW + 5));
    assert_int_equal(outbox_accepted(db, &a, 1, NOW + 5), ERR_NOT_FOUND);
    assert_int_equal(
        number("SELECT accepted_at FROM outbox WHERE state = 'sent' AND context IS NULL"
               " AND recipient_sealed IS NULL"),
        NOW + 5);
}

static void what_a_dead_node_left_is_taken_over(void **unused)
{
    (void)unused;
    must(queue(1, 1, NOW));
    assert_int_equal(claim(db, &a, NOW, ERR_OK), 1);
    must(node_fence(db, NOW, a.node, a.incarnation, 0));
    assert_int_equal(outbox_accepted(db, &a, 1, NOW), ERR_FENCED);
    assert_int_equal(claim(db, &a, NOW, ERR_FENCED), 0);
    assert_int_equal(claim(db, &b, NOW, ERR_OK), 1);
    assert_int_equal(mails[0].attempts, 2);
    must(outbox_accepted(db, &b, 1, NOW));
}

static void *late_claim(void *error)
{
    *(enum err *)error = outbox_claim(other, &b, NOW, 100, &arena, &mails, &count);
    return NULL;
}

/* By two who picked the same id: the second one comes when the first has it already. */
static void a_mail_that_another_has_taken_meanwhile_stays_its_own(void **unused)
{
    (void)unused;
    struct db *holder = database_open(), *first = database_open();
    struct arena first_arena CLEANUP(arena_done) = {0};
    struct outbox_mail *first_mails;
    size_t first_count;
    enum err error = ERR_OK;
    pthread_t thread;
    must(queue(1, 1, NOW));
    must(db_command(other, "SET SESSION innodb_lock_wait_timeout = 60"));
    must(db_command(holder, "SET SESSION idle_transaction_timeout = 0"));
    must(db_begin(holder));
    must(db_command(holder, "SELECT id FROM node WHERE id = 2 FOR UPDATE"));
    assert_int_equal(pthread_create(&thread, NULL, late_claim, &error), 0);
    int64_t waits = 0;
    for (int i = 0; i < 100000 && !waits; i++) /* it has picked, and waits for its node's row */
        waits = number("SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.GLOBAL_STATUS"
                       " WHERE VARIABLE_NAME = 'INNODB_ROW_LOCK_CURRENT_WAITS'");
    assert_true(waits);
    must(outbox_claim(first, &a, NOW, 100, &first_arena, &first_mails, &first_count));
    assert_int_equal(first_count, 1);
    db_rollback(holder);
    pthread_join(thread, NULL);
    must(error);
    assert_int_equal(count, 0);
    must(outbox_accepted(db, &a, 1, NOW));
    db_close(&holder);
    db_close(&first);
}

static void a_row_that_is_locked_is_passed_over(void **unused)
{
    (void)unused;
    must(queue(1, 1, NOW));
    must(queue(2, 2, NOW));
    must(db_begin(other));
    must(db_execute(other, "UPDATE outbox SET attempts = 0 WHERE id = ?", DB_VALUES(db_u64(1)),
                    NULL));
    assert_int_equal(claim(db, &a, NOW, ERR_OK), 1);
    assert_int_equal(mails[0].row.id, 2);
    db_rollback(other);
}

static void it_is_tried_for_48_hours_then_given_up(void **unused)
{
    (void)unused;
    bool changed;
    must(queue(1, 1, NOW));
    assert_int_equal(claim(db, &a, NOW, ERR_OK), 1);
    must(outbox_failed(db, &a, 1, NOW, NOW + 10, false, "451 later"));
    assert_int_equal(claim(db, &a, NOW + 9, ERR_OK), 0);
    assert_int_equal(claim(db, &a, NOW + 10, ERR_OK), 1);
    must(outbox_failed(db, &a, 1, NOW + 10, NOW + 48 * HOUR + 1, false, "451 later"));
    assert_int_equal(number("SELECT COUNT(*) FROM outbox WHERE state = 'dead'"), 1);
    assert_int_equal(number("SELECT COUNT(*) FROM alert WHERE kind = 'notification_failed'"), 1);
    assert_int_equal(claim(db, &a, NOW + 100 * HOUR, ERR_OK), 0);
    must(outbox_retry(db, 1, NOW + 60 * HOUR, &changed));
    assert_true(changed);
    assert_int_equal(claim(db, &a, NOW + 60 * HOUR, ERR_OK), 1);
    must(outbox_retry(db, 1, NOW, &changed)); /* it is being sent */
    assert_false(changed);
    must(outbox_failed(db, &a, 1, NOW + 60 * HOUR, NOW + 61 * HOUR, true, "550 no such user"));
    assert_int_equal(number("SELECT COUNT(*) FROM outbox WHERE state = 'dead'"), 1);
    assert_int_equal(outbox_retry(db, 99, NOW, &changed), ERR_NOT_FOUND);
}

static void a_time_far_ahead_comes_from_a_wrong_clock(void **unused)
{
    (void)unused;
    must(queue(1, 1, NOW + 48 * HOUR));
    assert_int_equal(claim(db, &a, NOW, ERR_OK), 0);
    must(queue(2, 2, NOW + 48 * HOUR + 1));
    assert_int_equal(claim(db, &a, NOW, ERR_OK), 1);
    assert_int_equal(mails[0].row.id, 2);
}

static int64_t executed(void)
{
    return number("SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.SESSION_STATUS"
                  " WHERE VARIABLE_NAME = 'COM_STMT_EXECUTE'");
}

/* Statements of a claim of the mails `from` to `to`, each of which is as it was queued. */
static int64_t cost(uint32_t from, uint32_t to)
{
    for (uint32_t id = from; id <= to; id++)
        must(queue(id, id, NOW));
    int64_t before = executed();
    assert_int_equal(claim(db, &a, NOW, ERR_OK), to - from + 1);
    int64_t after = executed();
    for (uint32_t id = from; id <= to; id++) {
        const struct outbox_mail *mail = &mails[id - from];
        assert_int_equal(mail->row.id, id);
        assert_int_equal(mail->row.generation, id);
        assert_int_equal(mail->attempts, 1);
        assert_true(span_is(mail->row.recipient_sealed, "sealed"));
    }
    return after - before;
}

static void a_claim_is_two_statements_for_32_mails(void **unused)
{
    (void)unused;
    int64_t few = cost(1, 3);
    assert_int_equal(cost(4, 35), few);
    assert_int_equal(cost(36, 75), few + 2);
    assert_int_equal(number("SELECT COUNT(*) FROM outbox WHERE state = 'sending' AND attempts = 1"),
                     75);
}

static void what_became_of_several_is_written_at_once(void **unused)
{
    (void)unused;
    for (uint64_t id = 1; id <= 4; id++)
        must(queue(id, (uint32_t)id, NOW));
    must(db_execute(db,
                    "INSERT INTO rotation (key_id, generation, step, status, number, look_at,"
                    " waits_for, created_at) VALUES (7, 1, 2, 2, 0, ?, 1, 1)",
                    DB_VALUES(db_i64(NOW + HOUR)), NULL));
    assert_int_equal(claim(db, &a, NOW, ERR_OK), 4);
    must(outbox_failed(db, &a, 4, NOW, NOW, false, "451 later"));
    assert_int_equal(claim(db, &b, NOW, ERR_OK), 1); /* the fourth is another node's now */
    const struct outbox_result results[] = {
        {.id = 1, .accepted = true},
        {.id = 2, .next_at = NOW + 10, .error = "451 later"},
        {.id = 3, .final = true, .next_at = NOW + 10, .error = "550 unknown"},
        {.id = 4, .accepted = true},
    };
    assert_int_equal(outbox_finish(db, &b, results, 3, NOW + 5), ERR_NOT_FOUND);
    must(outbox_finish(db, &a, results, COUNT_OF(results), NOW + 5));
    assert_int_equal(number("SELECT COUNT(*) FROM outbox WHERE (id = 1 AND state = 'sent') OR"
                            " (id = 2 AND state = 'retry' AND error = '451 later') OR"
                            " (id = 3 AND state = 'dead') OR (id = 4 AND state = 'sending')"),
                     4);
    assert_int_equal(number("SELECT waited_at FROM rotation"), NOW + 5);
    assert_int_equal(number("SELECT look_at FROM rotation"), NOW + 5);
    assert_int_equal(number("SELECT COUNT(*) FROM alert"), 1);
    must(outbox_finish(db, &a, NULL, 0, NOW));
    must(node_fence(db, NOW, b.node, b.incarnation, 0));
    assert_int_equal(outbox_finish(db, &b, &results[3], 1, NOW), ERR_FENCED);
    assert_int_equal(number("SELECT state = 'sending' FROM outbox WHERE id = 4"), 1);
}

static void what_a_lost_claim_has_left_is_due_again(void **unused)
{
    (void)unused;
    for (uint64_t id = 1; id <= 3; id++)
        must(queue(id, (uint32_t)id, NOW));
    assert_int_equal(claim(db, &a, NOW, ERR_OK), 3);
    must(queue(4, 4, NOW));
    assert_int_equal(claim(db, &b, NOW, ERR_OK), 1);
    const uint64_t held[] = {2};
    must(outbox_release(db, &a, held, COUNT_OF(held), NOW + 5));
    assert_int_equal(number("SELECT MIN(next_at) FROM outbox WHERE state = 'retry' AND node IS NULL"
                            " AND id IN (1, 3) HAVING COUNT(*) = 2"),
                     NOW + 5);
    assert_int_equal(number("SELECT COUNT(*) FROM outbox WHERE state = 'sending'"), 2);
    assert_int_equal(claim(db, &b, NOW + 5, ERR_OK), 2);
    must(node_fence(db, NOW, a.node, a.incarnation, 0));
    assert_int_equal(outbox_release(db, &a, NULL, 0, NOW + 5), ERR_FENCED);
    assert_int_equal(number("SELECT COUNT(*) FROM outbox WHERE state = 'sending'"), 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        TEST(a_mail_is_queued_once),
        TEST(it_is_one_nodes_and_leaves_nothing),
        TEST(what_a_dead_node_left_is_taken_over),
        TEST(a_mail_that_another_has_taken_meanwhile_stays_its_own),
        TEST(a_row_that_is_locked_is_passed_over),
        TEST(a_claim_is_two_statements_for_32_mails),
        TEST(it_is_tried_for_48_hours_then_given_up),
        TEST(a_time_far_ahead_comes_from_a_wrong_clock),
        TEST(what_became_of_several_is_written_at_once),
        TEST(what_a_lost_claim_has_left_is_due_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
