/* Keys that are issued together, on a real MariaDB: what is read for all of them at once decides as
 * what each of them would have read by itself. */
#include "core/tier.h"
#include "crypto/envelope.h"
#include "crypto/keyring.h"
#include "database.h"
#include "service/committer.h"
#include "service/context.h"
#include "service/issue.h"
#include "service/key_edit.h"
#include "service/operation.h"
#include "store/entitlement.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MANY = 64 };

static struct service service;
static char directory[] = "/tmp/keymeter-issue-XXXXXX";

static int keyring_up(void **state)
{
    (void)state;
    char master[64], pepper[64], text[KEYRING_ERROR_SIZE];
    struct keyring *keyring = NULL;
    if (!mkdtemp(directory)) return -1;
    snprintf(master, sizeof master, "%s/master", directory);
    snprintf(pepper, sizeof pepper, "%s/pepper", directory);
    if (keyring_create(master, pepper, text) || keyring_load(&keyring, master, pepper, text))
        return -1;
    service.keyring = keyring;
    unlink(master);
    unlink(pepper);
    return rmdir(directory);
}

static int keyring_down(void **state)
{
    (void)state;
    struct keyring *keyring = (struct keyring *)(uintptr_t)service.keyring;
    keyring_free(&keyring);
    return 0;
}

static uint64_t number(struct db *db, const char *sql)
{
    struct db_rows rows;
    assert_int_equal(db_query(db, sql, DB_NONE, &rows), ERR_OK);
    assert_true(db_next(&rows));
    uint64_t value = db_get_u64(&rows, 0);
    db_finish(&rows);
    return value;
}

static void customer_make(struct db *db, uint64_t id, const char *tier, const char *status)
{
    char external_id[32];
    struct buf sealed = {0};
    snprintf(external_id, sizeof external_id, "c%u", (unsigned)id);
    assert_int_equal(
        envelope_seal(service.keyring, CUSTOMER_EMAIL, id, SPAN("dev@example.com"), &sealed),
        ERR_OK);
    struct customer_row row = {.id = id,
                               .external_id = external_id,
                               .email_sealed = buf_span(&sealed),
                               .email_index = SPAN("0123456789abcdef"),
                               .metadata = "{}"};
    struct entitlement_row entitlement = {
        .customer_id = id, .tier = tier, .provider = "none", .status = status};
    assert_int_equal(customer_insert(db, &row), ERR_OK);
    assert_int_equal(entitlement_insert(db, &entitlement), ERR_OK);
    buf_done(&sealed);
}

struct issues {
    struct issue issues[MANY];
    struct operation *batch[MANY];
};

/* Issues to these customers; MANY operations at most. */
static void issues_for(struct issues *issues, const uint64_t *customers, size_t count)
{
    *issues = (struct issues){0};
    for (size_t i = 0; i < count; i++) {
        struct issue *issue = &issues->issues[i];
        issue->customer.id = customers[i];
        issue->settings.title = "one";
        issue_init(issue);
        issue->change.operation.service = &service;
        strcpy(issue->change.operation.actor, "system");
        issues->batch[i] = &issue->change.operation;
    }
}

static void issues_done(struct issues *issues, size_t count)
{
    for (size_t i = 0; i < count; i++)
        key_change_done(&issues->issues[i].change);
}

static uint64_t executed(struct db *db)
{
    return number(db,
                  "SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.SESSION_STATUS"
                  " WHERE VARIABLE_NAME = 'COM_STMT_EXECUTE'");
}

/* Statements of a batch of `count` keys, a customer each. */
static uint64_t cost(struct db *db, size_t count)
{
    static struct issues issues;
    uint64_t customers[MANY];
    for (size_t i = 0; i < count; i++)
        customers[i] = count - i;
    issues_for(&issues, customers, count);
    uint64_t before = executed(db);
    committer_run(db, issues.batch, count, database_start());
    uint64_t after = executed(db);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(issues.batch[i]->job.error, ERR_OK);
    issues_done(&issues, count);
    return after - before;
}

static void costs_no_statement_a_key(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    for (uint64_t id = 1; id <= MANY; id++)
        customer_make(db, id, "pro", "active");
    for (int mails = 0; mails < 2; mails++) {
        service.mails = mails;
        uint64_t few = cost(db, 8);
        assert_int_equal(cost(db, 16), few); /* both are sizes that are sent at once */
    }
    service.mails = false;
    assert_int_equal(number(db, "SELECT COUNT(*) FROM api_key"), 48);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM outbox o JOIN api_key k ON k.id = o.key_id"
                                " WHERE o.kind = 'key_issued' AND o.subject = k.id"
                                " AND o.customer_id = k.customer_id"),
                     24);
    db_close(&db);
}

static void each_is_denied_for_itself(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    customer_make(db, 1, "free", "active");
    customer_make(db, 2, "free", "suspended");
    customer_make(db, 3, "pro", "active");
    static struct issues issues;
    issues_for(&issues, (uint64_t[]){3, 1, 99, 2, 1, 3}, 6);
    issues.issues[5].settings.permissions = "root";
    committer_run(db, issues.batch, 6, database_start());
    const struct {
        enum err error;
        unsigned status;
    } wanted[6] = {{ERR_OK, 0},       {ERR_OK, 0},       {ERR_DENIED, 422},
                   {ERR_DENIED, 402}, {ERR_DENIED, 403}, {ERR_DENIED, 422}};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(issues.batch[i]->job.error, wanted[i].error);
        assert_int_equal(issues.batch[i]->problem.status, wanted[i].status);
    }
    issues_done(&issues, 6);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM api_key"), 2);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM audit WHERE action = 'key.create'"), 2);
    db_close(&db);
}

/* What stands between two that read ahead may change what they go by. */
static void counts_again_behind_a_revocation(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    customer_make(db, 1, "free", "active");
    customer_make(db, 2, "free", "active");
    static struct issues first, issues;
    issues_for(&first, (uint64_t[]){1}, 1);
    committer_run(db, first.batch, 1, database_start());
    assert_int_equal(first.batch[0]->job.error, ERR_OK);
    struct key_state_change revoke = {.change.key_id = first.issues[0].change.view.row.id};
    key_state_init(&revoke, KEY_STATE_REVOKE);
    revoke.change.operation.service = &service;
    strcpy(revoke.change.operation.actor, "system");
    issues_for(&issues, (uint64_t[]){1, 2, 1, 1}, 4);
    struct operation *batch[5] = {issues.batch[0], issues.batch[1], &revoke.change.operation,
                                  issues.batch[2], issues.batch[3]};
    committer_run(db, batch, 5, database_start());
    const enum err wanted[5] = {ERR_DENIED, ERR_OK, ERR_OK, ERR_OK, ERR_DENIED};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(batch[i]->job.error, wanted[i]);
    assert_int_equal(issues.batch[0]->problem.status, 403);
    key_change_done(&revoke.change);
    issues_done(&first, 1);
    issues_done(&issues, 4);
    db_close(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_no_statement_a_key),
        cmocka_unit_test(each_is_denied_for_itself),
        cmocka_unit_test(counts_again_behind_a_revocation),
    };
    return cmocka_run_group_tests(tests, keyring_up, keyring_down);
}
