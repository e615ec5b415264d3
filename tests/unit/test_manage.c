/* Management writes on a real MariaDB: the committer's batches, lost commits, the audit chain, and
 * the life of a key from issue to revocation. */
#include "service/committer.c"

#include "base/codec.h"
#include "core/api_key.h"
#include "crypto/audit_chain.h"
#include "crypto/key_hash.h"
#include "crypto/keyring.h"
#include "database.h"
#include "service/context.h"
#include "service/key_edit.h"
#include "service/rotate.h"
#include "store/entitlement.h"
#include "store/tier.h"

#include "unit.h"

#include <stdio.h>
#include <unistd.h>

static struct service service;
static char directory[] = "/tmp/keymeter-manage-XXXXXX";

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

static enum err run_one(struct db *db, struct operation *operation)
{
    operation->service = &service;
    strcpy(operation->actor, "system");
    committer_run(db, &operation, 1, database_start());
    return operation->job.error;
}

/* ---- the committer ---- */

struct probe {
    struct operation operation;
    uint64_t id;
    enum err result;
    unsigned runs, conflicts;
};

static enum err probe_run(struct db *db, struct operation *operation)
{
    struct probe *probe = CONTAINER_OF(operation, struct probe, operation);
    struct customer_row row = {.id = probe->id, .metadata = "{}"};
    probe->runs++;
    enum err error = customer_insert(db, &row);
    if (error) return error;
    operation_feed(operation, FEED_CUSTOMER, probe->id);
    operation_audit(operation, "probe", "cus_x", probe->id, NULL);
    if (probe->conflicts) {
        probe->conflicts--;
        return ERR_DB_RETRY;
    }
    return probe->result;
}

static void denies_one_and_commits_the_others(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    struct probe probes[3] = {{.id = 1}, {.id = 2, .result = ERR_DENIED}, {.id = 3}};
    struct operation *batch[3];
    for (int i = 0; i < 3; i++) {
        probes[i].operation.run = probe_run;
        probes[i].operation.service = &service;
        batch[i] = &probes[i].operation;
    }
    committer_run(db, batch, 3, database_start());
    assert_int_equal(batch[0]->job.error, ERR_OK);
    assert_int_equal(batch[1]->job.error, ERR_DENIED);
    assert_int_equal(batch[2]->job.error, ERR_OK);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM customer"), 2);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM feed WHERE kind = 2"), 2);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM audit"), 2);
    assert_int_equal(number(db, "SELECT position FROM feed_head"), 3);
    assert_int_equal(number(db, "SELECT audit_sequence FROM feed_head"), 2);
    db_close(&db);
}

static void runs_a_batch_again_after_a_conflict(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    struct probe first = {.id = 1}, second = {.id = 2, .conflicts = 2};
    struct operation *batch[2] = {&first.operation, &second.operation};
    for (int i = 0; i < 2; i++) {
        batch[i]->run = probe_run;
        batch[i]->service = &service;
    }
    committer_run(db, batch, 2, database_start());
    assert_int_equal(first.operation.job.error, ERR_OK);
    assert_int_equal(second.operation.job.error, ERR_OK);
    assert_int_equal(first.runs, 3);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM audit"), 2);
    struct probe never = {.id = 9, .conflicts = 100};
    never.operation.run = probe_run;
    assert_int_equal(run_one(db, &never.operation), ERR_DB_RETRY);
    assert_int_equal(never.runs, COMMITTER_TRIES);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM customer WHERE id = 9"), 0);
    db_close(&db);
}

static void refuses_a_token_that_was_revoked(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    struct probe probe = {.id = 1};
    probe.operation.run = probe_run;
    probe.operation.token_id = 4711;
    assert_int_equal(run_one(db, &probe.operation), ERR_DENIED);
    assert_int_equal(probe.operation.problem.status, 401);
    assert_int_equal(probe.runs, 0);
    db_close(&db);
}

/* An open transaction that the client has lost sight of must not be able to commit later. */
static void ends_a_lost_commit_before_it_looks(void **state)
{
    (void)state;
    database_migrate();
    struct db *old = database_open(), *other = database_open();
    struct feed_row row = {.kind = FEED_TIER, .slug = "free"};
    struct batch batch = {.db = old, .feed_count = 1, .started_us = clock_mono_us()};
    assert_int_equal(db_begin(old), ERR_OK);
    assert_int_equal(feed_append(old, 1, &row, 1, NULL, 0, &batch.position, &batch.tag), ERR_OK);
    assert_int_equal(batch_look(&batch, database_start()), ERR_DB_LOST);
    assert_int_not_equal(db_commit(old), ERR_OK);
    assert_int_equal(number(other, "SELECT position FROM feed_head"), 1);
    db_close(&old);
    db_close(&other);
}

static void finds_a_lost_commit_and_commits_behind_it(void **state)
{
    (void)state;
    database_migrate();
    struct db *old = database_open(), *other = database_open();
    struct feed_row row = {.kind = FEED_TIER, .slug = "free"};
    struct batch batch = {.db = old, .feed_count = 1, .started_us = clock_mono_us()};
    assert_int_equal(db_begin(old), ERR_OK);
    assert_int_equal(feed_append(old, 1, &row, 1, NULL, 0, &batch.position, &batch.tag), ERR_OK);
    assert_int_equal(db_commit(old), ERR_OK);
    assert_int_equal(batch_look(&batch, database_start()), ERR_OK);
    assert_int_equal(number(other, "SELECT position FROM feed_head"), batch.position + 1);
    batch.tag++; /* another's row at that position is not ours */
    batch.db = other;
    assert_int_equal(batch_look(&batch, database_start()), ERR_DB_LOST);
    db_close(&old);
    db_close(&other);
}

/* Nothing changed that a node has in memory: there is no row of the feed to look for. */
static void finds_a_lost_commit_by_its_audit_row(void **state)
{
    (void)state;
    database_migrate();
    struct db *old = database_open(), *other = database_open();
    struct audit_row audit = {.id = 7, .at = 5};
    struct batch batch = {.db = old, .audit_id = audit.id, .started_us = clock_mono_us()};
    assert_int_equal(db_begin(old), ERR_OK);
    assert_int_equal(feed_append(old, 1, NULL, 0, &audit, 1, NULL, NULL), ERR_OK);
    assert_int_equal(db_commit(old), ERR_OK);
    assert_int_equal(number(other, "SELECT position FROM feed_head"), 1);
    assert_int_equal(batch_look(&batch, database_start()), ERR_OK);
    assert_int_equal(number(other, "SELECT position FROM feed_head"), 2); /* its own behind it */
    batch.audit_id = 8;
    batch.db = other;
    assert_int_equal(batch_look(&batch, database_start()), ERR_DB_LOST);
    db_close(&old);
    db_close(&other);
}

static void chains_audit_rows(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    struct audit_row audits[10] = {0};
    for (unsigned i = 0; i < 10; i++) {
        audits[i] = (struct audit_row){.id = i + 1, .at = 5, .detail = "{\"a\":1}"};
        strcpy(audits[i].actor, "system");
    }
    struct feed_row row = {.kind = FEED_START};
    assert_int_equal(db_begin(db), ERR_OK);
    assert_int_equal(feed_append(db, 5, &row, 1, audits, 10, NULL, NULL), ERR_OK);
    assert_int_equal(db_commit(db), ERR_OK);
    unsigned char previous[32] = {0};
    struct db_rows rows;
    assert_int_equal(
        db_query(db, "SELECT sequence, id, hash FROM audit ORDER BY sequence", DB_NONE, &rows),
        ERR_OK);
    for (unsigned i = 0; i < 10; i++) {
        assert_true(db_next(&rows));
        struct audit_entry entry = {.sequence = i + 1,
                                    .id = i + 1,
                                    .at = 5,
                                    .actor = SPAN("system"),
                                    .action = SPAN(""),
                                    .subject = SPAN(""),
                                    .address = SPAN(""),
                                    .request_id = SPAN(""),
                                    .detail = SPAN("{\"a\":1}")};
        audit_chain_next(previous, &entry, previous);
        assert_memory_equal(previous, db_get_span(&rows, 2).data, 32);
    }
    db_finish(&rows);
    db_close(&db);
}

/* ---- keys ---- */

static void customer_make(struct db *db, uint64_t id, const char *external_id, const char *tier)
{
    struct customer_row row = {.id = id, .external_id = external_id, .metadata = "{}"};
    struct entitlement_row entitlement = {
        .customer_id = id, .tier = tier, .provider = "none", .status = "active"};
    assert_int_equal(customer_insert(db, &row), ERR_OK);
    assert_int_equal(entitlement_insert(db, &entitlement), ERR_OK);
}

static enum err issue_one(struct db *db, struct issue *issue, const char *external_id)
{
    issue->customer.external_id = span_text(external_id);
    issue_init(issue);
    return run_one(db, &issue->change.operation);
}

static void issues_up_to_the_tiers_maximum(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    customer_make(db, 1, "acme", "free");
    struct issue first = {0}, second = {0}, nobody = {0};
    first.settings.permissions = "csv_export,user_info";
    assert_int_equal(issue_one(db, &first, "acme"), ERR_OK);
    struct api_key_parts parts;
    assert_true(api_key_parse(secret_span(first.change.secret), &parts));
    assert_true(span_is(parts.label, "km_live"));
    assert_int_equal(first.change.view.status, KEY_ACTIVE);
    assert_string_equal(first.change.view.row.permissions, "[\"csv_export\",\"user_info\"]");
    assert_int_equal(first.change.view.secret_count, 1);
    unsigned char hash[32];
    uint64_t found = 0;
    key_hash(service.keyring, secret_span(first.change.secret), hash);
    assert_int_equal(
        key_hash_find(db, hash, KEY_HASH_ALGORITHM, keyring_pepper_id(service.keyring), &found),
        ERR_OK);
    assert_int_equal(found, first.change.view.row.id);
    assert_int_equal(issue_one(db, &second, "acme"), ERR_DENIED);
    assert_string_equal(second.change.operation.problem.code, "key_limit_reached");
    assert_int_equal(issue_one(db, &nobody, "nobody"), ERR_DENIED);
    assert_int_equal(nobody.change.operation.problem.status, 422);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM api_key"), 1);
    key_change_done(&first.change);
    key_change_done(&second.change);
    key_change_done(&nobody.change);
    db_close(&db);
}

static void issue_prepare(struct issue *issues, struct operation **batch, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        issue_init(&issues[i]);
        batch[i] = &issues[i].change.operation;
        batch[i]->service = &service;
        strcpy(batch[i]->actor, "system");
    }
}

/* The rows of a batch's keys are written behind all of its operations: the second must count the
 * first all the same. */
static void counts_the_keys_of_the_same_batch(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    customer_make(db, 1, "acme", "free");
    customer_make(db, 2, "umbrella", "free");
    struct issue issues[3] = {{.customer.id = 1}, {.customer.id = 1}, {.customer.id = 2}};
    struct operation *batch[3];
    issue_prepare(issues, batch, 3);
    committer_run(db, batch, 3, database_start());
    assert_int_equal(batch[0]->job.error, ERR_OK);
    assert_int_equal(batch[1]->job.error, ERR_DENIED);
    assert_int_equal(batch[2]->job.error, ERR_OK);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM api_key JOIN key_secret s ON s.key_id ="
                                " api_key.id JOIN key_hash h ON h.secret_id = s.id"
                                " JOIN rotation r ON r.key_id = api_key.id"),
                     2);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM api_key WHERE label = 'km_live'"), 2);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM audit WHERE action = 'key.create'"), 2);
    for (int i = 0; i < 3; i++)
        key_change_done(&issues[i].change);
    db_close(&db);
}

/* Leaves a key of an id that stands already. */
static enum err double_run(struct db *db, struct operation *operation)
{
    (void)db;
    struct new_key *key = new_keys_next(&operation->gathered->keys);
    key->row = (struct api_key_row){.id = 77,
                                    .customer_id = 1,
                                    .title = "",
                                    .description = "",
                                    .environment = "live",
                                    .label = "km_live",
                                    .permissions = "[]",
                                    .rate_limits = "[]",
                                    .allowed_networks = "[]",
                                    .metadata = "{}",
                                    .secret_version = 1};
    key->tier = "free";
    operation_feed(operation, FEED_KEY, 77);
    operation_audit(operation, "key.create", "key_x", 1, NULL);
    return ERR_OK;
}

static void a_key_that_cannot_be_written_fails_alone(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    customer_make(db, 1, "acme", "pro");
    struct issue issues[3];
    struct operation *batch[3];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            issues[i] = (struct issue){.customer.id = 1};
        issue_prepare(issues, batch, 3);
        batch[1]->run = double_run;
        committer_run(db, batch, 3, database_start());
        assert_int_equal(batch[0]->job.error, ERR_OK);
        assert_int_equal(batch[1]->job.error, round ? ERR_EXISTS : ERR_OK);
        assert_int_equal(batch[2]->job.error, ERR_OK);
        for (int i = 0; i < 3; i++)
            key_change_done(&issues[i].change);
    }
    assert_int_equal(number(db, "SELECT COUNT(*) FROM api_key"), 5);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM audit WHERE action = 'key.create'"), 5);
    db_close(&db);
}

static void refuses_what_the_tier_does_not_allow(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    customer_make(db, 1, "acme", "pro");
    struct issue issue = {0};
    issue.settings.permissions = "root";
    assert_int_equal(issue_one(db, &issue, "acme"), ERR_DENIED);
    assert_string_equal(issue.change.operation.problem.code, "permission_not_allowed");
    issue.settings.permissions = "csv_export";
    issue.settings.within = "user_info";
    assert_int_equal(issue_one(db, &issue, "acme"), ERR_DENIED);
    issue.settings.within = NULL;
    issue.settings.rate_limits[0] = (struct rate_limit){"minute", 601, 60};
    issue.settings.rate_limit_count = 1;
    assert_int_equal(issue_one(db, &issue, "acme"), ERR_DENIED);
    assert_string_equal(issue.change.operation.problem.fields[0].location, "body.rate_limits[0]");
    issue.settings.may_loosen = true;
    assert_int_equal(issue_one(db, &issue, "acme"), ERR_OK);
    key_change_done(&issue.change);
    struct entitlement_row lapsed = {
        .customer_id = 1, .tier = "pro", .provider = "http", .status = "suspended"};
    assert_int_equal(entitlement_update(db, &lapsed), ERR_OK);
    assert_int_equal(issue_one(db, &issue, "acme"), ERR_DENIED);
    assert_int_equal(issue.change.operation.problem.status, 402);
    key_change_done(&issue.change);
    db_close(&db);
}

static enum err rotate_one(struct db *db, uint64_t key_id, uint32_t grace_s, struct rotate *rotate)
{
    key_change_done(&rotate->change);
    *rotate = (struct rotate){.change.key_id = key_id};
    rotate_init(rotate, grace_s);
    return run_one(db, &rotate->change.operation);
}

static void rotates_with_an_overlap_and_regenerates(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    customer_make(db, 1, "acme", "free");
    struct issue issue = {0};
    struct rotate rotate = {0};
    assert_int_equal(issue_one(db, &issue, "acme"), ERR_OK);
    uint64_t id = issue.change.view.row.id;
    assert_int_equal(rotate_one(db, id, 3600, &rotate), ERR_OK);
    assert_int_equal(rotate.change.view.status, KEY_ROTATING);
    assert_int_equal(rotate.change.view.secret_count, 2);
    assert_int_equal(rotate.change.view.row.secret_version, 2);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM key_hash"), 2);
    assert_int_equal(rotate_one(db, id, 3600, &rotate), ERR_DENIED);
    assert_string_equal(rotate.change.operation.problem.code, "rotation_in_progress");
    struct key_change end = {.key_id = id};
    rotate_end_init(&end);
    assert_int_equal(run_one(db, &end.operation), ERR_OK);
    assert_int_equal(end.view.status, KEY_ACTIVE);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM key_hash"), 1);
    assert_int_equal(rotate_one(db, id, 0, &rotate), ERR_OK);
    assert_int_equal(rotate.change.view.status, KEY_ACTIVE);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM key_hash"), 1);
    assert_int_equal(rotate_one(db, id, 3600, &rotate), ERR_OK);
    struct key_change again = {.key_id = id};
    regenerate_init(&again);
    assert_int_equal(run_one(db, &again.operation), ERR_OK);
    assert_int_equal(again.view.row.secret_version, 5);
    assert_int_equal(again.view.secret_count, 1);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM key_hash"), 1);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM feed WHERE kind = 5"), 5);
    key_change_done(&issue.change);
    key_change_done(&rotate.change);
    key_change_done(&end);
    key_change_done(&again);
    db_close(&db);
}

static enum err set_state(struct db *db, uint64_t id, enum key_state state, enum key_status *status)
{
    struct key_state_change change = {.change.key_id = id};
    key_state_init(&change, state);
    enum err error = run_one(db, &change.change.operation);
    *status = change.change.view.status;
    key_change_done(&change.change);
    return error;
}

static void revoking_is_final_and_idempotent(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    customer_make(db, 1, "acme", "free");
    struct issue issue = {0};
    enum key_status status;
    assert_int_equal(issue_one(db, &issue, "acme"), ERR_OK);
    uint64_t id = issue.change.view.row.id;
    assert_int_equal(set_state(db, id, KEY_STATE_DISABLE, &status), ERR_OK);
    assert_int_equal(status, KEY_DISABLED);
    assert_int_equal(set_state(db, id, KEY_STATE_ENABLE, &status), ERR_OK);
    assert_int_equal(status, KEY_ACTIVE);
    assert_int_equal(set_state(db, id, KEY_STATE_REVOKE, &status), ERR_OK);
    assert_int_equal(status, KEY_REVOKED);
    assert_int_equal(set_state(db, id, KEY_STATE_REVOKE, &status), ERR_OK);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM audit WHERE action = 'key.revoke'"), 1);
    assert_int_equal(set_state(db, id, KEY_STATE_ENABLE, &status), ERR_DENIED);
    assert_int_equal(set_state(db, 12345, KEY_STATE_REVOKE, &status), ERR_DENIED);
    key_change_done(&issue.change);
    db_close(&db);
}

/* The SQL of the filter and core/key_status.h must say the same of every mix of facts. */
static void the_status_filter_says_what_the_rules_say(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    struct arena arena = {0};
    customer_make(db, 1, "acme", "enterprise");
    for (unsigned facts = 0; facts < 32; facts++) {
        struct issue issue = {0};
        assert_int_equal(issue_one(db, &issue, "acme"), ERR_OK);
        struct api_key_row row = issue.change.view.row;
        row.revoked_at = facts & 1 ? 1 : 0;
        row.suspended = facts & 2;
        row.disabled = facts & 4;
        row.expires_at = facts & 8 ? 1 : 0;
        row.secret_version = facts & 16 ? 2 : 1;
        assert_int_equal(api_key_update(db, &row), ERR_OK);
        if (facts & 16) {
            struct key_secret_row secret = {.id = id_new(),
                                            .key_id = row.id,
                                            .version = 2,
                                            .hash = {(unsigned char)facts},
                                            .algorithm = "blake2b",
                                            .pepper_id = "00000000"};
            assert_int_equal(key_secret_retire(db, row.id, INT64_MAX), ERR_OK);
            assert_int_equal(key_secret_insert(db, &secret, 1), ERR_OK);
        }
        key_change_done(&issue.change);
    }
    size_t total = 0;
    for (unsigned status = 0; status < KEY_STATUS_COUNT; status++) {
        struct key_filter filter = {.external_id = SPAN("acme"),
                                    .has_status = true,
                                    .status = (enum key_status)status,
                                    .limit = 100};
        struct key_view *views;
        size_t count;
        uint64_t next;
        assert_int_equal(key_view_list(db, &filter, clock_wall_ms(), &arena, &views, &count, &next),
                         ERR_OK);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(views[i].status, status);
        total += count;
    }
    assert_int_equal(total, 32);
    arena_done(&arena);
    db_close(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(denies_one_and_commits_the_others),
        cmocka_unit_test(runs_a_batch_again_after_a_conflict),
        cmocka_unit_test(refuses_a_token_that_was_revoked),
        cmocka_unit_test(ends_a_lost_commit_before_it_looks),
        cmocka_unit_test(finds_a_lost_commit_and_commits_behind_it),
        cmocka_unit_test(finds_a_lost_commit_by_its_audit_row),
        cmocka_unit_test(chains_audit_rows),
        cmocka_unit_test(issues_up_to_the_tiers_maximum),
        cmocka_unit_test(counts_the_keys_of_the_same_batch),
        cmocka_unit_test(a_key_that_cannot_be_written_fails_alone),
        cmocka_unit_test(refuses_what_the_tier_does_not_allow),
        cmocka_unit_test(rotates_with_an_overlap_and_regenerates),
        cmocka_unit_test(revoking_is_final_and_idempotent),
        cmocka_unit_test(the_status_filter_says_what_the_rules_say),
    };
    return cmocka_run_group_tests(tests, keyring_up, keyring_down);
}
