/* Reservations and kept answers on a real MariaDB: who gets a reservation, who may finish it, and
 * that work and answer are committed together or not at all. */
#include "service/idempotency.h"

#include "crypto/keyring.h"
#include "database.h"
#include "service/committer.h"
#include "service/context.h"
#include "service/operation.h"
#include "store/customer.h"
#include "store/node.h"
#include "store/upkeep.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW_MS INT64_C(1800000000000)

static struct service service;
static struct db *db;
static struct node_joined nodes[2];

static int set_up(void **state)
{
    (void)state;
    char directory[] = "/tmp/keymeter-idempotency-XXXXXX", error[KEYRING_ERROR_SIZE];
    char master[64], pepper[64];
    struct keyring *keyring = NULL;
    if (!mkdtemp(directory)) return -1;
    snprintf(master, sizeof master, "%s/master", directory);
    snprintf(pepper, sizeof pepper, "%s/pepper", directory);
    if (keyring_create(master, pepper, error) || keyring_load(&keyring, master, pepper, error))
        return -1;
    service.keyring = keyring;
    unlink(master);
    unlink(pepper);
    return rmdir(directory);
}

static int tear_down(void **state)
{
    (void)state;
    struct keyring *keyring = (struct keyring *)(uintptr_t)service.keyring;
    keyring_free(&keyring);
    return 0;
}

static int open_migrated(void **state)
{
    (void)state;
    database_migrate();
    db = database_open();
    if (node_join(db, "one", 1, NOW_MS, &nodes[0])) return -1;
    return node_join(db, "two", 2, NOW_MS, &nodes[1]);
}

static int close_it(void **state)
{
    (void)state;
    db_close(&db);
    return 0;
}

static int64_t number(const char *sql)
{
    struct db_rows rows;
    assert_int_equal(db_query(db, sql, DB_NONE, &rows), ERR_OK);
    assert_true(db_next(&rows));
    int64_t value = db_get_i64(&rows, 0);
    db_finish(&rows);
    return value;
}

static struct idempotency_claim claim_of(unsigned node, int64_t claim, unsigned char body)
{
    struct idempotency_claim made = {.node = nodes[node].id,
                                     .incarnation = nodes[node].incarnation,
                                     .claim = claim,
                                     .kept_ms = IDEMPOTENCY_KEPT_MS};
    memset(made.id, 7, sizeof made.id);
    memset(made.fingerprint, body, sizeof made.fingerprint);
    return made;
}

/* What a reservation at that time comes to; its answer is dropped. */
static enum idempotency_state reserve(const struct idempotency_claim *claim, int64_t at_ms)
{
    struct arena arena CLEANUP(arena_done) = {0};
    struct idempotency_found found;
    assert_int_equal(idempotency_reserve(db, claim, at_ms, &arena, &found), ERR_OK);
    return found.state;
}

static void fence(unsigned node)
{
    assert_int_equal(node_leave(db, NOW_MS, nodes[node].id, nodes[node].incarnation), ERR_OK);
}

static void one_of_two_gets_it(void **state)
{
    (void)state;
    struct idempotency_claim first = claim_of(0, 1, 'a'), second = claim_of(1, 2, 'a');
    struct idempotency_claim other = claim_of(1, 3, 'b');
    assert_int_equal(reserve(&first, NOW_MS), IDEMPOTENCY_RESERVED);
    assert_int_equal(reserve(&second, NOW_MS), IDEMPOTENCY_IN_FLIGHT);
    assert_int_equal(reserve(&other, NOW_MS), IDEMPOTENCY_MISMATCH);
    assert_int_equal(idempotency_release(db, &second), ERR_OK); /* not theirs: nothing happens */
    assert_int_equal(reserve(&second, NOW_MS), IDEMPOTENCY_IN_FLIGHT);
    assert_int_equal(idempotency_release(db, &first), ERR_OK);
    assert_int_equal(reserve(&other, NOW_MS), IDEMPOTENCY_RESERVED);
}

static void a_kept_answer_lives_for_a_day(void **state)
{
    (void)state;
    struct idempotency_claim first = claim_of(0, 1, 'a'), second = claim_of(1, 2, 'a');
    struct arena arena CLEANUP(arena_done) = {0};
    struct idempotency_found found;
    assert_int_equal(reserve(&first, NOW_MS), IDEMPOTENCY_RESERVED);
    assert_int_equal(idempotency_finish(db, &first, NOW_MS + 5, 201, SPAN("se\0aled")), ERR_OK);
    assert_int_equal(idempotency_finish(db, &first, NOW_MS + 5, 201, SPAN("x")), ERR_NOT_FOUND);
    assert_int_equal(idempotency_release(db, &first), ERR_OK); /* too late: it is done */
    int64_t last_ms = NOW_MS + 4 + IDEMPOTENCY_KEPT_MS;
    assert_int_equal(idempotency_reserve(db, &second, last_ms, &arena, &found), ERR_OK);
    assert_int_equal(found.state, IDEMPOTENCY_KEPT);
    assert_int_equal(found.status, 201);
    assert_true(span_equal(found.answer, SPAN("se\0aled")));
    assert_int_equal(number("SELECT replays FROM idempotency"), 1);
    assert_int_equal(reserve(&second, last_ms + 1), IDEMPOTENCY_RESERVED);
    assert_int_equal(number("SELECT answer IS NULL AND done = 0 FROM idempotency"), 1);
}

static void a_fenced_node_loses_it(void **state)
{
    (void)state;
    struct idempotency_claim dead = claim_of(0, 1, 'a'), other = claim_of(1, 2, 'b');
    struct idempotency_claim heir = claim_of(1, 3, 'a'), late = claim_of(0, 4, 'a');
    struct arena arena CLEANUP(arena_done) = {0};
    struct idempotency_found found;
    assert_int_equal(reserve(&dead, NOW_MS), IDEMPOTENCY_RESERVED);
    fence(0);
    assert_int_equal(reserve(&other, NOW_MS), IDEMPOTENCY_MISMATCH);
    assert_int_equal(reserve(&heir, NOW_MS), IDEMPOTENCY_RESERVED);
    assert_int_equal(idempotency_finish(db, &dead, NOW_MS, 201, SPAN("x")), ERR_NOT_FOUND);
    assert_int_equal(idempotency_release(db, &dead), ERR_OK);
    assert_int_equal(idempotency_finish(db, &heir, NOW_MS, 201, SPAN("y")), ERR_OK);
    memset(late.id, 8, sizeof late.id);
    assert_int_equal(idempotency_reserve(db, &late, NOW_MS, &arena, &found), ERR_FENCED);
    fence(1);
    heir.claim = 5;
    assert_int_equal(idempotency_reserve(db, &heir, NOW_MS, &arena, &found), ERR_OK);
    assert_int_equal(found.state, IDEMPOTENCY_KEPT); /* done is done */
}

static void one_that_was_forgotten_is_taken_over_in_time(void **state)
{
    (void)state;
    struct idempotency_claim lost = claim_of(0, 1, 'a'), heir = claim_of(0, 2, 'a');
    assert_int_equal(reserve(&lost, NOW_MS), IDEMPOTENCY_RESERVED);
    assert_int_equal(reserve(&heir, NOW_MS + IDEMPOTENCY_RESERVED_MS), IDEMPOTENCY_IN_FLIGHT);
    assert_int_equal(reserve(&heir, NOW_MS + IDEMPOTENCY_RESERVED_MS + 1), IDEMPOTENCY_RESERVED);
    assert_int_equal(idempotency_finish(db, &lost, NOW_MS, 201, SPAN("x")), ERR_NOT_FOUND);
}

/* ---- the work's transaction ---- */

struct work {
    struct operation operation;
    struct reservation reservation;
    uint64_t customer_id;
};

static enum err work_run(struct db *connection, struct operation *operation)
{
    struct work *work = CONTAINER_OF(operation, struct work, operation);
    struct customer_row row = {.id = work->customer_id, .metadata = "{}"};
    operation_feed(operation, FEED_CUSTOMER, row.id);
    operation_audit(operation, "customer.create", "cus_x", row.id, NULL);
    return customer_insert(connection, &row);
}

static void work_write(struct operation *operation, struct buf *out)
{
    (void)operation;
    buf_add_text(out, "{\"secret\":\"the-canary\"}");
}

static enum err work_commit(struct work *work, uint64_t customer_id, unsigned node)
{
    struct operation *operation = &work->operation;
    work->customer_id = customer_id;
    work->reservation.claim = claim_of(node, (int64_t)customer_id, 'a');
    work->reservation.scope =
        (struct kept_scope){9, SPAN("POST"), SPAN("/v1/keys"), SPAN("0123456789abcdef"), SPAN("a")};
    operation->service = &service;
    operation->reservation = &work->reservation;
    operation->run = work_run;
    operation->write = work_write;
    operation->status = 201;
    strcpy(operation->actor, "system");
    committer_run(db, &operation, 1, database_start());
    return operation->job.error;
}

static void work_and_answer_are_one_commit(void **state)
{
    (void)state;
    struct work work = {0};
    struct idempotency_claim claim = claim_of(0, 1, 'a'), again = claim_of(1, 2, 'a');
    struct arena arena CLEANUP(arena_done) = {0};
    struct idempotency_found found;
    struct buf plain CLEANUP(buf_done) = {0};
    assert_int_equal(reserve(&claim, NOW_MS), IDEMPOTENCY_RESERVED);
    assert_int_equal(work_commit(&work, 1, 0), ERR_OK);
    assert_true(span_is(buf_span(&work.operation.answer), "{\"secret\":\"the-canary\"}"));
    assert_int_equal(number("SELECT COUNT(*) FROM customer"), 1);
    assert_int_equal(idempotency_reserve(db, &again, work.operation.now_ms, &arena, &found),
                     ERR_OK);
    assert_int_equal(found.state, IDEMPOTENCY_KEPT);
    assert_null(memmem(found.answer.data, found.answer.length, "canary", 6));
    const struct kept_scope *scope = &work.reservation.scope;
    assert_int_equal(kept_answer_open(service.keyring, scope, found.answer, &plain), ERR_OK);
    assert_true(span_equal(buf_span(&plain), buf_span(&work.operation.answer)));
    struct kept_scope others[] = {*scope, *scope, *scope};
    others[0].token_id++;
    others[1].key = SPAN("0123456789abcdeg");
    others[2].link = SPAN("b");
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_int_equal(kept_answer_open(service.keyring, &others[i], found.answer, &plain),
                         ERR_CRYPTO);
    answer_wipe(&work.operation.answer);
}

/* Whoever has lost the reservation does nothing at all. */
static void without_the_reservation_nothing_is_done(void **state)
{
    (void)state;
    struct work work = {0};
    struct idempotency_claim claim = claim_of(0, 1, 'a');
    assert_int_equal(work_commit(&work, 1, 0), ERR_DENIED); /* there is none */
    assert_int_equal(work.operation.problem.status, 409);
    assert_int_equal(reserve(&claim, NOW_MS), IDEMPOTENCY_RESERVED);
    assert_int_equal(work_commit(&work, 2, 0), ERR_DENIED); /* of another attempt */
    fence(0);
    assert_int_equal(work_commit(&work, 1, 0), ERR_FENCED);
    assert_int_equal(number("SELECT COUNT(*) FROM customer"), 0);
    assert_int_equal(number("SELECT COUNT(*) FROM audit"), 0);
    assert_int_equal(number("SELECT SUM(done) FROM idempotency"), 0);
    answer_wipe(&work.operation.answer);
}

static void upkeep_takes_what_has_expired(void **state)
{
    (void)state;
    struct upkeep upkeep = {nodes[0].id, nodes[0].incarnation, NOW_MS + IDEMPOTENCY_KEPT_MS};
    size_t deleted = 0;
    for (unsigned i = 0; i < 103; i++) {
        struct idempotency_claim claim = claim_of(0, 1, 'a');
        claim.id[0] = (unsigned char)i;
        assert_int_equal(reserve(&claim, i < 101 ? NOW_MS : NOW_MS + 1), IDEMPOTENCY_RESERVED);
    }
    assert_int_equal(upkeep_idempotency(db, &upkeep, &deleted), ERR_OK);
    assert_int_equal(deleted, UPKEEP_ROWS);
    assert_int_equal(upkeep_idempotency(db, &upkeep, &deleted), ERR_OK);
    assert_int_equal(deleted, 1);
    assert_int_equal(upkeep_idempotency(db, &upkeep, &deleted), ERR_OK);
    assert_int_equal(deleted, 0);
    assert_int_equal(number("SELECT COUNT(*) FROM idempotency"), 2);
}

static void scopes_do_not_run_together(void **state)
{
    (void)state;
    unsigned char one[KEPT_HASH_SIZE], two[KEPT_HASH_SIZE], body[KEPT_HASH_SIZE];
    struct kept_scope scope = {1, SPAN("POST"), SPAN("/v1/keys"), SPAN("abc"), SPAN("")};
    struct kept_scope shifted = {1, SPAN("POST"), SPAN("/v1/keysa"), SPAN("bc"), SPAN("")};
    struct kept_scope token = {2, SPAN("POST"), SPAN("/v1/keys"), SPAN("abc"), SPAN("")};
    struct kept_scope link = {1, SPAN("POST"), SPAN("/v1/keys"), SPAN("ab"), SPAN("c")};
    kept_answer_id(service.keyring, &scope, one);
    kept_answer_id(service.keyring, &shifted, two);
    assert_memory_not_equal(one, two, sizeof one);
    kept_answer_id(service.keyring, &token, two);
    assert_memory_not_equal(one, two, sizeof one);
    kept_answer_id(service.keyring, &link, two);
    assert_memory_not_equal(one, two, sizeof one);
    kept_answer_fingerprint(service.keyring, one, SPAN("{}"), body);
    kept_answer_fingerprint(service.keyring, two, SPAN("{}"), two);
    assert_memory_not_equal(body, two, sizeof body); /* equal bodies are not seen to be equal */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_of_two_gets_it, open_migrated, close_it),
        cmocka_unit_test_setup_teardown(a_kept_answer_lives_for_a_day, open_migrated, close_it),
        cmocka_unit_test_setup_teardown(a_fenced_node_loses_it, open_migrated, close_it),
        cmocka_unit_test_setup_teardown(one_that_was_forgotten_is_taken_over_in_time, open_migrated,
                                        close_it),
        cmocka_unit_test_setup_teardown(work_and_answer_are_one_commit, open_migrated, close_it),
        cmocka_unit_test_setup_teardown(without_the_reservation_nothing_is_done, open_migrated,
                                        close_it),
        cmocka_unit_test_setup_teardown(upkeep_takes_what_has_expired, open_migrated, close_it),
        cmocka_unit_test(scopes_do_not_run_together),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
