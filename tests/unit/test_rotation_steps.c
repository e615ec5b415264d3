/* A key's rotation on a real MariaDB, hour by hour under a clock set by hand: what happens when,
 * each step and mail once, and a secret that works at every moment. */
#include "rotation_fixture.h"

#include "base/codec.h"
#include "core/rotation.h"
#include "service/key_edit.h"
#include "store/alert.h"
#include "store/claim.h"
#include "store/node.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static int64_t at(const char *text)
{
    int64_t wall_ms;
    assert_true(time_parse(span_text(text), &wall_ms));
    return wall_ms;
}

static int64_t mails(const char *kind)
{
    return rotation_number("SELECT COUNT(*) FROM outbox WHERE kind = '%s'", kind);
}

/* Passes hours until the number is no longer what it is; the time then. */
static int64_t until_changes(const char *sql, unsigned most_hours)
{
    int64_t before = rotation_number("%s", sql);
    for (unsigned i = 0; i < most_hours; i++) {
        rotation_pass_hours(1);
        if (rotation_number("%s", sql) != before) return rotation_now;
    }
    fail_msg("nothing came of %s", sql);
    return 0;
}

/* ---- the whole way by a claim link ---- */

static void a_key_walks_by_a_claim_link(void **state)
{
    (void)state;
    struct secret *old = NULL, *token = NULL, *new = NULL;
    struct problem problem;
    uint64_t id = rotation_key(&old);
    assert_int_equal(until_changes("SELECT COUNT(*) FROM outbox", 24 * 90),
                     at("2028-03-07T10:00:00Z")); /* day 83, over a leap day */
    assert_int_equal(mails("rotation_upcoming"), 1);
    rotation_pass_hours(3);
    assert_int_equal(rotation_deliver(NULL), 1);
    /* Day 90, and 7 days after the relay took it. */
    assert_int_equal(until_changes("SELECT COUNT(*) FROM claim", 24 * 10),
                     at("2028-03-14T13:00:00Z"));
    assert_int_equal(rotation_number("SELECT rotates_at IS NULL FROM api_key"), 1);
    assert_int_equal(rotation_deliver(&token), 1);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM outbox WHERE "
                                     "context IS NOT NULL OR recipient_sealed IS NOT NULL"),
                     0);
    /* Nobody uses the link: reminders each day, the old secret works on. */
    rotation_pass_hours(24 * 5);
    assert_int_equal(mails("claim_reminder"), 5);
    assert_true(rotation_works(old));
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM key_secret"), 1);
    /* Revealed by the first link, once. */
    assert_int_equal(rotation_reveal(token, &new, &problem), ERR_OK);
    assert_true(rotation_works(old) && rotation_works(new));
    assert_int_equal(rotation_reveal(token, NULL, &problem), ERR_DENIED);
    assert_string_equal(problem.code, "claim_used");
    rotation_deliver(&token); /* a reminder's link: ended with it */
    assert_int_equal(rotation_reveal(token, NULL, &problem), ERR_DENIED);
    assert_string_equal(problem.code, "claim_ended");
    /* In use two days later: the old one ends 24 hours after that. */
    int64_t revealed_at = rotation_now;
    rotation_pass_hours(47);
    assert_true(rotation_works(old));
    rotation_use(id, 2);
    int64_t used_at = rotation_now;
    assert_int_equal(
        until_changes("SELECT COUNT(*) FROM rotation WHERE step = 3 AND done_at IS NOT NULL", 48),
        used_at + 24 * HOUR_MS);
    assert_false(rotation_works(old));
    assert_true(rotation_works(new));
    assert_int_equal(mails("retired"), 1);
    assert_int_equal(rotation_number("SELECT rotates_at FROM api_key"), revealed_at + 90 * DAY_MS);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM rotation WHERE look_at IS NOT NULL"), 1);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM key_hash"), 1);
    secret_free(&old);
    secret_free(&token);
    secret_free(&new);
}

static void an_unused_secret_ends_the_old_one_at_the_hard_stop(void **state)
{
    (void)state;
    struct secret *old = NULL, *token = NULL, *new = NULL;
    uint64_t id = rotation_key(&old);
    rotation_pass_hours(24 * 83);
    rotation_deliver(NULL);
    rotation_pass_hours(24 * 7);
    rotation_deliver(&token);
    assert_int_equal(rotation_reveal(token, &new, NULL), ERR_OK);
    int64_t revealed_at = rotation_now;
    rotation_pass_hours(24 * 7 - 1);
    rotation_use(id, 1);
    assert_true(rotation_works(old));
    assert_int_equal(mails("old_secret_in_use"), 0); /* not used since yesterday's look */
    assert_int_equal(until_changes("SELECT COUNT(*) FROM key_secret", 24),
                     revealed_at + 7 * DAY_MS);
    assert_false(rotation_works(old));
    assert_true(rotation_works(new));
    secret_free(&old);
    secret_free(&token);
    secret_free(&new);
}

static void stragglers_are_named_each_day(void **state)
{
    (void)state;
    struct secret *token = NULL;
    uint64_t id = rotation_key(NULL);
    rotation_pass_hours(24 * 83);
    rotation_deliver(NULL);
    rotation_pass_hours(24 * 7);
    rotation_deliver(&token);
    assert_int_equal(rotation_reveal(token, NULL, NULL), ERR_OK);
    for (unsigned day = 0; day < 3; day++) {
        rotation_pass_hours(12);
        rotation_use(id, 1);
        rotation_pass_hours(12);
    }
    assert_int_equal(mails("old_secret_in_use"), 3);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM outbox WHERE context LIKE "
                                     "'%%198.51.100.0/24%%' AND kind = 'old_secret_in_use'"),
                     3);
    secret_free(&token);
}

/* ---- what holds it back ---- */

static void a_notice_that_is_not_accepted_postpones(void **state)
{
    (void)state;
    rotation_key(NULL);
    rotation_pass_hours(24 * 90 + 5);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM claim"), 0);
    assert_int_equal(rotation_number("SELECT status FROM rotation WHERE step = 2"),
                     ROTATION_POSTPONED);
    assert_int_equal(
        rotation_number("SELECT COUNT(*) FROM alert WHERE kind = 'rotation_postponed' AND open"),
        1);
    rotation_pass_hours(24 * 20);
    rotation_deliver(NULL);
    int64_t accepted_at = rotation_now;
    rotation_pass_hours(1);
    assert_int_equal(rotation_number("SELECT status FROM rotation WHERE step = 2"),
                     ROTATION_NOTIFIED);
    assert_int_equal(rotation_number("SELECT rotates_at FROM api_key"), accepted_at + 7 * DAY_MS);
    assert_int_equal(until_changes("SELECT COUNT(*) FROM claim", 24 * 8), accepted_at + 7 * DAY_MS);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM alert"), 1);
}

static void without_an_address_nothing_rotates(void **state)
{
    (void)state;
    rotation_key(NULL);
    rotation_sql("UPDATE customer SET email_sealed = NULL, email_index = NULL");
    rotation_pass_hours(24 * 100);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM outbox"), 0);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM alert WHERE detail LIKE '%%no_email%%'"),
                     1);
    assert_int_equal(rotation_number("SELECT status FROM rotation"), ROTATION_POSTPONED);
}

static void an_unclaimed_link_is_kept_with_an_alert_or_retired(void **state)
{
    for (unsigned retire = 0; retire < 2; retire++) {
        struct secret *old = NULL, *token = NULL, *new = NULL;
        struct problem problem;
        if (retire) rotation_close(state);
        if (retire) rotation_fresh(state);
        rotation_sql("UPDATE tier SET on_unclaimed = '%s'", retire ? "retire" : "keep");
        uint64_t id = rotation_key(&old);
        rotation_pass_hours(24 * 83);
        rotation_deliver(NULL);
        rotation_pass_hours(24 * 7);
        rotation_deliver(&token);
        rotation_pass_hours(24 * 30 - 1);
        assert_true(rotation_works(old));
        rotation_pass_hours(24 * 3);
        assert_int_equal(mails("claim_reminder"), 29);
        assert_int_equal(rotation_works(old), !retire);
        assert_int_equal(rotation_number("SELECT COUNT(*) FROM alert WHERE kind = "
                                         "'claim_unclaimed'"),
                         !retire);
        if (retire) {
            assert_int_equal(rotation_reveal(token, NULL, &problem), ERR_DENIED);
            assert_string_equal(problem.code, "claim_ended");
            struct key_change resend = {.key_id = id};
            claim_resend_init(&resend);
            assert_int_equal(rotation_run(&resend.operation), ERR_OK);
            key_change_done(&resend);
            rotation_deliver(&token);
        }
        assert_int_equal(rotation_reveal(token, &new, &problem), ERR_OK);
        assert_true(rotation_works(new));
        secret_free(&old);
        secret_free(&token);
        secret_free(&new);
    }
}

/* ---- a link without an old secret ---- */

static uint64_t key_by_link(void)
{
    struct issue issue = {.change.delivery = {.by_mail = true, .key_id = id_new()}};
    issue.customer.external_id = SPAN("acme");
    issue_init(&issue);
    assert_int_equal(rotation_run(&issue.change.operation), ERR_OK);
    uint64_t id = issue.change.view.row.id;
    key_change_done(&issue.change);
    return id;
}

static void regenerate_by_link(uint64_t id)
{
    struct key_change change = {.key_id = id, .delivery.by_mail = true};
    regenerate_init(&change);
    assert_int_equal(rotation_run(&change.operation), ERR_OK);
    key_change_done(&change);
}

static void a_link_to_the_only_secret_is_reminded_of(void **state)
{
    (void)state;
    struct secret *token = NULL, *secret = NULL;
    struct problem problem;
    uint64_t id = key_by_link();
    assert_int_equal(rotation_deliver(NULL), 1);
    rotation_pass_hours(23);
    assert_int_equal(mails("claim_reminder"), 0);
    rotation_pass_hours(24 * 3);
    assert_int_equal(mails("claim_reminder"), 3);
    assert_int_equal(rotation_deliver(&token), 3);
    assert_int_equal(rotation_reveal(token, &secret, &problem), ERR_OK);
    assert_true(rotation_works(secret));
    /* What waits is the notice of the secret's own rotation. */
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM rotation WHERE look_at IS NOT NULL"), 1);
    rotation_pass_hours(24 * 3);
    assert_int_equal(mails("claim_reminder"), 3);
    /* Regenerated twice by link: reminders of the newer one alone, counted from it. */
    regenerate_by_link(id);
    rotation_pass_hours(24 * 2);
    regenerate_by_link(id);
    int64_t regenerated_at = rotation_now;
    rotation_pass_hours(24 * 30 - 1);
    assert_int_equal(mails("claim_reminder"), 3 + 2 + 29);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM alert"), 0);
    assert_int_equal(until_changes("SELECT COUNT(*) FROM alert WHERE kind = 'claim_unclaimed'", 24),
                     regenerated_at + 30 * DAY_MS);
    rotation_pass_hours(24 * 3);
    assert_int_equal(mails("claim_reminder"), 3 + 2 + 29);
    secret_free(&secret);
    rotation_deliver(&token); /* the link works on */
    assert_int_equal(rotation_reveal(token, &secret, &problem), ERR_OK);
    assert_true(rotation_works(secret));
    secret_free(&token);
    secret_free(&secret);
}

static void nobody_is_reminded_of_what_would_not_work(void **state)
{
    (void)state;
    struct key_state_change disable = {.change.key_id = key_by_link()}, revoke = disable;
    key_state_init(&disable, KEY_STATE_DISABLE);
    assert_int_equal(rotation_run(&disable.change.operation), ERR_OK);
    key_change_done(&disable.change);
    rotation_pass_hours(24 * 2);
    assert_int_equal(mails("claim_reminder"), 0);
    rotation_sql("UPDATE api_key SET disabled = 0");
    rotation_pass_hours(24);
    assert_int_equal(mails("claim_reminder"), 1);
    key_state_init(&revoke, KEY_STATE_REVOKE);
    assert_int_equal(rotation_run(&revoke.change.operation), ERR_OK);
    key_change_done(&revoke.change);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM rotation WHERE look_at IS NOT NULL"), 0);
}

/* ---- what others do meanwhile ---- */

static void an_admins_rotation_takes_the_place_of_a_link(void **state)
{
    (void)state;
    struct secret *old = NULL, *token = NULL;
    struct problem problem;
    struct rotate rotate = {.change.key_id = rotation_key(&old)};
    rotation_pass_hours(24 * 83);
    rotation_deliver(NULL);
    rotation_pass_hours(24 * 7);
    rotation_deliver(&token);
    rotate_init(&rotate, 3600);
    assert_int_equal(rotation_run(&rotate.change.operation), ERR_OK);
    assert_int_equal(rotation_reveal(token, NULL, &problem), ERR_DENIED);
    assert_string_equal(problem.code, "claim_ended");
    assert_true(rotation_works(old) && rotation_works(rotate.change.secret));
    rotation_pass_hours(1);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM key_secret"), 1);
    assert_true(rotation_works(rotate.change.secret));
    assert_int_equal(mails("claim_reminder"), 0);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM rotation WHERE look_at IS NOT NULL"), 1);
    key_change_done(&rotate.change);
    secret_free(&old);
    secret_free(&token);
}

static void regenerating_and_revoking_end_what_is_pending(void **state)
{
    (void)state;
    struct secret *token = NULL;
    uint64_t id = rotation_key(NULL);
    rotation_pass_hours(24 * 83);
    rotation_deliver(NULL);
    rotation_pass_hours(24 * 7);
    rotation_deliver(&token);
    struct key_change change = {.key_id = id};
    regenerate_init(&change);
    assert_int_equal(rotation_run(&change.operation), ERR_OK);
    int64_t regenerated_at = rotation_now;
    key_change_done(&change);
    assert_int_equal(rotation_reveal(token, NULL, NULL), ERR_DENIED);
    assert_int_equal(rotation_number("SELECT due_at FROM rotation WHERE look_at IS NOT NULL"),
                     regenerated_at + 83 * DAY_MS);
    struct key_state_change revoke = {.change.key_id = id};
    key_state_init(&revoke, KEY_STATE_REVOKE);
    assert_int_equal(rotation_run(&revoke.change.operation), ERR_OK);
    key_change_done(&revoke.change);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM rotation WHERE look_at IS NOT NULL"), 0);
    secret_free(&token);
}

static enum err postpone(uint64_t id, uint32_t days, struct problem *problem)
{
    struct postpone postpone = {.change.key_id = id};
    postpone_init(&postpone, days);
    enum err error = rotation_run(&postpone.change.operation);
    if (problem) *problem = postpone.change.operation.problem;
    key_change_done(&postpone.change);
    return error;
}

static void postponing_moves_the_date_and_tells_again(void **state)
{
    (void)state;
    struct problem problem;
    uint64_t id = rotation_key(NULL);
    assert_int_equal(postpone(id, 10, NULL), ERR_OK); /* day 100, notice at 93 */
    assert_int_equal(until_changes("SELECT COUNT(*) FROM outbox", 24 * 100),
                     at("2027-12-15T10:00:00Z") + 93 * DAY_MS);
    rotation_deliver(NULL);
    assert_int_equal(postpone(id, 2, NULL), ERR_OK); /* the notice of day 95 is still to come */
    assert_int_equal(until_changes("SELECT COUNT(*) FROM outbox", 24 * 100),
                     at("2027-12-15T10:00:00Z") + 95 * DAY_MS);
    assert_int_equal(mails("rotation_upcoming"), 2);
    rotation_deliver(NULL);
    assert_int_equal(until_changes("SELECT COUNT(*) FROM claim", 24 * 20),
                     at("2027-12-15T10:00:00Z") + 102 * DAY_MS);
    assert_int_equal(postpone(id, 1, &problem), ERR_DENIED);
    assert_string_equal(problem.code, "no_rotation_pending");
}

static void a_key_taken_out_of_rotation_stays_as_it_is(void **state)
{
    (void)state;
    struct key_edit edit = {.change.key_id = rotation_key(NULL), .has_rotation = true};
    edit.settings.rotation_off = true;
    key_edit_init(&edit);
    assert_int_equal(rotation_run(&edit.change.operation), ERR_OK);
    assert_int_equal(edit.change.view.row.rotates_at, 0);
    rotation_pass_hours(24 * 120);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM outbox"), 0);
    edit.settings.rotation_off = false;
    assert_int_equal(rotation_run(&edit.change.operation), ERR_OK);
    assert_int_equal(edit.change.view.row.rotates_at, rotation_now + 7 * DAY_MS);
    rotation_pump();
    assert_int_equal(mails("rotation_upcoming"), 1);
    key_change_done(&edit.change);
}

static void a_keys_own_end_is_announced_for_each_date(void **state)
{
    (void)state;
    struct key_edit edit = {.change.key_id = rotation_key(NULL), .has_expires_at = true};
    edit.settings.expires_at = rotation_now + 20 * DAY_MS;
    key_edit_init(&edit);
    assert_int_equal(rotation_run(&edit.change.operation), ERR_OK);
    assert_int_equal(until_changes("SELECT COUNT(*) FROM outbox", 24 * 20),
                     at("2027-12-15T10:00:00Z") + 13 * DAY_MS);
    edit.settings.expires_at = rotation_now + 30 * DAY_MS;
    assert_int_equal(rotation_run(&edit.change.operation), ERR_OK);
    rotation_pass_hours(24 * 29);
    assert_int_equal(mails("expiring"), 2);
    key_change_done(&edit.change);
}

/* ---- an encrypted delivery ---- */

static void a_sealed_secret_exists_at_once_and_waits_for_its_mail(void **state)
{
    (void)state;
    uint64_t id = rotation_key(NULL);
    rotation_pass_hours(24 * 83);
    rotation_deliver(NULL);
    rotation_now += 7 * DAY_MS;
    struct rotation_pick pick = {
        .key_id = id, .customer_id = 1, .generation = 1, .step = ROTATION_ROTATE};
    struct rotation_work work = {.pick = pick,
                                 .node = rotation_node.node,
                                 .incarnation = rotation_node.incarnation,
                                 .customer_at = 12345}; /* of another encryption key */
    work.secret = secret_copy(SPAN("km_live_0000000000000000000000000000000000000000000000000"));
    buf_add_text(&work.body, "ciphertext");
    rotation_work_init(&work);
    assert_int_equal(rotation_run(&work.operation), ERR_NOT_FOUND);
    work.customer_at = rotation_number("SELECT updated_at FROM customer");
    assert_int_equal(rotation_run(&work.operation), ERR_OK);
    assert_int_equal(work.did, ROTATION_ROTATE);
    assert_true(rotation_works(work.secret));
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM key_secret"), 2);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM outbox WHERE body = 'ciphertext' AND "
                                     "context IS NULL"),
                     1);
    rotation_pass_hours(24 * 40); /* the relay is down: no hard stop yet, but an alert */
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM key_secret"), 2);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM alert"), 1);
    rotation_deliver(NULL);
    int64_t accepted_at = rotation_now;
    assert_int_equal(until_changes("SELECT COUNT(*) FROM key_secret", 24 * 8),
                     accepted_at + 7 * DAY_MS);
    rotation_work_done(&work);
}

/* ---- nodes ---- */

static void a_fenced_node_does_nothing(void **state)
{
    (void)state;
    rotation_key(NULL);
    rotation_now += 84 * DAY_MS;
    struct node_joined joined;
    assert_int_equal(node_join(rotation_db, "one", 7, rotation_now, &joined), ERR_OK);
    struct rotation_pick pick;
    size_t count;
    assert_int_equal(rotation_pick(rotation_db, rotation_now, &pick, 1, &count), ERR_OK);
    assert_int_equal(count, 1);
    struct rotation_work work = {
        .pick = pick, .node = rotation_node.node, .incarnation = rotation_node.incarnation};
    rotation_work_init(&work);
    assert_int_equal(rotation_run(&work.operation), ERR_FENCED);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM outbox"), 0);
    work.incarnation = joined.incarnation;
    assert_int_equal(rotation_run(&work.operation), ERR_OK);
    assert_int_equal(rotation_run(&work.operation), ERR_NOT_FOUND); /* another did it */
    assert_int_equal(mails("rotation_upcoming"), 1);
    rotation_work_done(&work);
}

static void mail_stands(uint64_t key_id, unsigned number)
{
    rotation_sql(
        "INSERT INTO outbox (id, kind, subject, generation, number, recipient, customer_id, state,"
        " next_at, first_queued_at) SELECT %llu, 'rotation_upcoming', %llu, 1, %u, email_index, 1,"
        " 'dead', 0, 0 FROM customer",
        (unsigned long long)(key_id + number), (unsigned long long)key_id, number);
}

/* One customer's keys, all due; a notice of one stands in the outbox already, another has no number
 * left, which cannot be; one is locked by somebody, and one is named twice. */
static void a_page_does_all_but_those_that_cannot_be_done(void **state)
{
    (void)state;
    enum { COUNT = 70, FAILS = 9, AGAIN = 12, LOCKED = 40, TWICE = 55, ALL = COUNT + 1 };
    struct rotation_work works[ALL] = {0};
    struct operation *operations[ALL];
    struct db *other = database_open();
    struct arena arena = {0};
    struct api_key_row row;
    rotation_sql("UPDATE tier SET max_keys = 1000 WHERE slug = 'free'");
    for (unsigned i = 0; i < COUNT; i++)
        rotation_key(NULL);
    rotation_now += 84 * DAY_MS;
    struct rotation_pick picks[COUNT];
    size_t count;
    assert_int_equal(rotation_pick(rotation_db, rotation_now, picks, COUNT, &count), ERR_OK);
    assert_int_equal(count, COUNT);
    mail_stands(picks[AGAIN].key_id, 0);
    mail_stands(picks[FAILS].key_id, 0);
    mail_stands(picks[FAILS].key_id, OUTBOX_BY_HAND - 1);
    mail_stands(picks[FAILS].key_id, OUTBOX_BY_HAND);
    assert_int_equal(db_begin(other), ERR_OK);
    assert_int_equal(api_key_lock(other, picks[LOCKED].key_id, &arena, &row), ERR_OK);
    for (unsigned i = 0; i < ALL; i++) {
        works[i] = (struct rotation_work){.pick = picks[i < COUNT ? i : TWICE],
                                          .node = rotation_node.node,
                                          .incarnation = rotation_node.incarnation};
        works[i].operation.service = &rotation_service;
        strcpy(works[i].operation.actor, "system");
        rotation_work_init(&works[i]);
        operations[i] = &works[i].operation;
    }
    committer_run(rotation_db, operations, ALL, database_start());
    unsigned twice = 0;
    for (unsigned i = 0; i < ALL; i++) {
        enum err error = operations[i]->job.error;
        if (i == TWICE || i == COUNT)
            twice += error == ERR_OK;
        else
            assert_int_equal(error, i == FAILS ? ERR_EXISTS : i == LOCKED ? ERR_NOT_FOUND : ERR_OK);
        rotation_work_done(&works[i]);
    }
    assert_int_equal(twice, 1);
    assert_int_equal(mails("rotation_upcoming"), COUNT - 2 + 4);
    assert_int_equal(rotation_number("SELECT MAX(number) FROM outbox WHERE subject = %llu",
                                     (unsigned long long)picks[AGAIN].key_id),
                     1);
    assert_int_equal(rotation_number("SELECT COUNT(*) FROM rotation WHERE step = 2"), COUNT - 2);
    db_rollback(other);
    db_close(&other);
    arena_done(&arena);
    assert_int_equal(
        rotation_number("SELECT COUNT(*) FROM rotation WHERE step = 1 AND look_at IS NOT"
                        " NULL"),
        2);
    rotation_sql("UPDATE tier SET max_keys = 1 WHERE slug = 'free'");
}

static void a_key_that_is_locked_is_passed_over(void **state)
{
    (void)state;
    uint64_t id = rotation_key(NULL);
    rotation_now += 84 * DAY_MS;
    struct db *other = database_open();
    struct arena arena = {0};
    struct api_key_row row;
    assert_int_equal(db_begin(other), ERR_OK);
    assert_int_equal(api_key_lock(other, id, &arena, &row), ERR_OK);
    assert_int_equal(rotation_pump(), 0);
    db_rollback(other);
    assert_int_equal(rotation_pump(), 1);
    arena_done(&arena);
    db_close(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rotation_fresh, rotation_close)
    const struct CMUnitTest tests[] = {
        TEST(a_key_walks_by_a_claim_link),
        TEST(an_unused_secret_ends_the_old_one_at_the_hard_stop),
        TEST(stragglers_are_named_each_day),
        TEST(a_notice_that_is_not_accepted_postpones),
        TEST(without_an_address_nothing_rotates),
        TEST(an_unclaimed_link_is_kept_with_an_alert_or_retired),
        TEST(a_link_to_the_only_secret_is_reminded_of),
        TEST(nobody_is_reminded_of_what_would_not_work),
        TEST(an_admins_rotation_takes_the_place_of_a_link),
        TEST(regenerating_and_revoking_end_what_is_pending),
        TEST(postponing_moves_the_date_and_tells_again),
        TEST(a_key_taken_out_of_rotation_stays_as_it_is),
        TEST(a_keys_own_end_is_announced_for_each_date),
        TEST(a_sealed_secret_exists_at_once_and_waits_for_its_mail),
        TEST(a_fenced_node_does_nothing),
        TEST(a_key_that_is_locked_is_passed_over),
        TEST(a_page_does_all_but_those_that_cannot_be_done),
    };
    return cmocka_run_group_tests(tests, rotation_up, rotation_down);
}
