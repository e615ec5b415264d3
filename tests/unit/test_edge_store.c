/* store/token, store/tier, store/usage on a real MariaDB: what is kept comes back, revoked tokens
 * are dead, and usage counts a call once, folded or not. */
#include "core/journal.h"
#include "core/period.h"
#include "database.h"
#include "store/tier.h"
#include "store/token.h"
#include "store/usage.h"

#include "unit.h"

#include <stdio.h>

static void tokens_live_and_die(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    struct arena arena = {0};
    struct token_row row = {.id = 77,
                            .name = "ci",
                            .scopes = SCOPE_READ | SCOPE_ISSUE,
                            .permissions = "a,b",
                            .hash = {1, 2, 3},
                            .start = "kmt_abcdef",
                            .created_at = 5,
                            .expires_at = 100},
                     back;
    assert_int_equal(token_insert(db, &row), ERR_OK);
    assert_int_equal(token_find_hash(db, row.hash, &arena, &back), ERR_OK);
    assert_int_equal(back.id, 77);
    assert_int_equal(back.scopes, SCOPE_READ | SCOPE_ISSUE);
    assert_string_equal(back.permissions, "a,b");
    assert_int_equal(token_is_live(db, 77, 99), ERR_OK);
    assert_int_equal(token_is_live(db, 77, 100), ERR_DENIED);
    assert_int_equal(token_is_live(db, 78, 1), ERR_DENIED);
    bool changed = false;
    assert_int_equal(token_revoke(db, 77, 50, &changed), ERR_OK);
    assert_true(changed);
    assert_int_equal(token_is_live(db, 77, 51), ERR_DENIED);
    assert_int_equal(token_revoke(db, 77, 60, &changed), ERR_OK);
    assert_false(changed);
    assert_int_equal(token_revoke(db, 1, 60, &changed), ERR_NOT_FOUND);
    struct token_row *rows;
    size_t count;
    assert_int_equal(token_list(db, 0, 51, 10, &arena, &rows, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(token_list(db, 0, 0, 10, &arena, &rows, &count), ERR_OK);
    assert_int_equal(count, 1);
    arena_done(&arena);
    db_close(&db);
}

static void tiers_come_back_as_saved(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    struct tier_row row, back;
    bool created;
    assert_int_equal(tier_row_find(db, SPAN("nothing"), &row), ERR_NOT_FOUND);
    assert_int_equal(tier_row_find(db, SPAN("pro"), &row), ERR_OK);
    assert_int_equal(row.tier.monthly_quota, 100000);
    assert_int_equal(row.tier.rate_limit_count, 2);
    assert_string_equal(row.tier.permissions, "csv_export,user_info,sso_verify");
    row.tier.has_quota = false;
    row.tier.on_lapse = ON_LAPSE_FREE;
    snprintf(row.tier.slug, sizeof row.tier.slug, "team");
    assert_int_equal(tier_save(db, &row, 9000, &created), ERR_OK);
    assert_true(created);
    assert_int_equal(tier_save(db, &row, 9500, &created), ERR_OK);
    assert_false(created);
    assert_int_equal(tier_row_find(db, SPAN("team"), &back), ERR_OK);
    assert_memory_equal(&row.tier, &back.tier, sizeof row.tier.slug);
    assert_false(back.tier.has_quota);
    assert_int_equal(back.tier.on_lapse, ON_LAPSE_FREE);
    assert_int_equal(back.created_at, 9000);
    assert_int_equal(back.updated_at, 9500);
    assert_int_equal(back.tier.rate_limits[1].limit, row.tier.rate_limits[1].limit);
    db_close(&db);
}

static const int64_t month = INT64_C(1767225600000); /* 2026-01-01T00:00:00Z */

static void journal_row(struct db *db, uint64_t seq, uint64_t key, int64_t hour, int64_t units,
                        uint8_t flags)
{
    struct buf payload CLEANUP(buf_done) = {0};
    struct journal_writer writer;
    struct journal_entry entry = {.secret_id = key + 100,
                                  .key_id = key,
                                  .customer_id = 5,
                                  .hour = hour,
                                  .period_start = month,
                                  .last_used_ms = hour,
                                  .units = units,
                                  .allowed = 1,
                                  .flags = flags};
    journal_encode_begin(&writer, &payload);
    journal_encode_entry(&writer, &entry);
    journal_encode_end(&writer);
    assert_int_equal(
        db_execute(db,
                   "INSERT INTO meter_journal (node, incarnation, seq, payload) VALUES (1, 1, "
                   "?, ?)",
                   DB_VALUES(db_u64(seq), db_span(buf_span(&payload))), NULL),
        ERR_OK);
}

/* In a snapshot of its own. */
static uint64_t used_of(struct db *db, enum usage_kind kind, uint64_t subject)
{
    struct usage_subject one = {kind, subject, month, 0};
    assert_int_equal(usage_snapshot_begin(db), ERR_OK);
    assert_int_equal(usage_used_many(db, &one, 1), ERR_OK);
    usage_snapshot_end(db);
    return one.used;
}

static void usage_counts_a_call_once(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open();
    assert_int_equal(db_command(db, "INSERT INTO fold_owner VALUES (1, 1, 3)"), ERR_OK);
    assert_int_equal(db_command(db, "INSERT INTO budget (kind, subject, period_start, used) VALUES "
                                    "(1, 5, 1767225600000, 40)"),
                     ERR_OK);
    assert_int_equal(db_command(db, "INSERT INTO usage_hour (key_id, hour, customer_id, "
                                    "period_start, units, allowed) VALUES (9, 1767225600000, 5, "
                                    "1767225600000, 40, 30)"),
                     ERR_OK);
    journal_row(db, 3, 9, month, 1000, 0); /* folded already: the marked newest row */
    for (uint64_t seq = 4; seq < 4 + 200; seq++)
        journal_row(db, seq, 9, month + HOUR_MS, 2, 0);
    journal_row(db, 204, 10, month, 7, JOURNAL_QUOTA_FREE);
    assert_int_equal(used_of(db, USAGE_CUSTOMER, 5), 440);
    assert_int_equal(used_of(db, USAGE_KEY, 9), 440);
    assert_int_equal(used_of(db, USAGE_KEY, 10), 7);
    const int64_t starts[] = {month, month + HOUR_MS};
    struct usage_counts counts[2] = {0};
    struct usage_series series = {.kind = USAGE_CUSTOMER,
                                  .subject = 5,
                                  .starts = starts,
                                  .count = 2,
                                  .end = month + 2 * HOUR_MS,
                                  .counts = counts};
    assert_int_equal(usage_snapshot_begin(db), ERR_OK);
    assert_int_equal(usage_series_read(db, &series), ERR_OK);
    usage_snapshot_end(db);
    assert_int_equal(counts[0].allowed, 31);
    assert_int_equal(counts[1].allowed, 200);
    db_close(&db);
}

/* A fold that commits inside the snapshot changes nothing in it. This one finds 2 units more than
 * it takes from the journal, so that each part of it that is seen shows in the sum. */
static void a_fold_beside_it_is_not_seen(void **state)
{
    (void)state;
    database_migrate();
    struct db *db = database_open(), *fold = database_open();
    journal_row(db, 1, 9, month, 5, 0);
    assert_int_equal(usage_snapshot_begin(db), ERR_OK);
    assert_int_equal(db_begin(fold), ERR_OK);
    assert_int_equal(db_command(fold, "DELETE FROM meter_journal"), ERR_OK);
    assert_int_equal(db_command(fold, "INSERT INTO budget (kind, subject, period_start, used) "
                                      "VALUES (1, 5, 1767225600000, 7)"),
                     ERR_OK);
    assert_int_equal(db_commit(fold), ERR_OK);
    struct usage_subject subject = {USAGE_CUSTOMER, 5, month, 0};
    assert_int_equal(usage_used_many(db, &subject, 1), ERR_OK);
    assert_int_equal(subject.used, 5);
    usage_snapshot_end(db);
    assert_int_equal(used_of(db, USAGE_CUSTOMER, 5), 7);
    db_close(&db);
    db_close(&fold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_live_and_die),
        cmocka_unit_test(tiers_come_back_as_saved),
        cmocka_unit_test(usage_counts_a_call_once),
        cmocka_unit_test(a_fold_beside_it_is_not_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
