/* core/rotation: the timeline walked by hand, and random walks in which a secret must always work.
 */
#include "core/rotation.h"

#include "base/codec.h"
#include "core/period.h"

#include "unit.h"

#include <string.h>

static const struct tier usual = {
    .rotation_days = 90,
    .notice_days = 7,
    .grace_seconds = 86400,
    .hard_stop_days = 7,
    .max_overlap_days = 30,
};

static int64_t at(const char *text)
{
    int64_t wall_ms;
    assert_true(time_parse(span_text(text), &wall_ms));
    return wall_ms;
}

/* Checks the plan just before and just when it is due. */
static void next_is(const struct tier *tier, const struct rotation_facts *facts,
                    enum rotation_step step, const char *when)
{
    int64_t due_at = at(when);
    struct rotation_plan before = rotation_plan(tier, facts, due_at - 1);
    struct rotation_plan then = rotation_plan(tier, facts, due_at);
    assert_int_equal(before.step, step);
    assert_int_equal(before.due_at, due_at);
    assert_int_equal(before.look_at, due_at);
    assert_false(before.due || before.held);
    assert_true(then.due);
}

static void walks_the_timeline(void **state)
{
    (void)state;
    /* 90 days over a leap day: 2027-12-15 + 90 = 2028-03-14 */
    struct rotation_facts facts = {.issued_at = at("2027-12-15T10:00:00Z")};
    facts.rotates_at = rotation_date(&usual, facts.issued_at);
    assert_int_equal(facts.rotates_at, at("2028-03-14T10:00:00Z"));
    next_is(&usual, &facts, ROTATION_NOTICE, "2028-03-07T10:00:00Z");
    facts.notified = true;
    facts.noticed_at = at("2028-03-07T10:00:05Z");
    next_is(&usual, &facts, ROTATION_ROTATE, "2028-03-14T10:00:05Z");
    facts.noticed_at = at("2028-03-09T12:00:00Z"); /* the relay took it two days later */
    next_is(&usual, &facts, ROTATION_ROTATE, "2028-03-16T12:00:00Z");
    facts.noticed_at = at("2028-03-01T10:00:00Z");
    next_is(&usual, &facts, ROTATION_ROTATE, "2028-03-14T10:00:00Z");
    facts.rotated_at = at("2028-03-16T12:00:00Z");
    facts.delivered_at = at("2028-03-16T12:01:00Z");
    next_is(&usual, &facts, ROTATION_RETIRE, "2028-03-23T12:01:00Z"); /* the hard stop */
    facts.used_at = at("2028-03-17T09:00:00Z");
    next_is(&usual, &facts, ROTATION_RETIRE, "2028-03-18T09:00:00Z"); /* first use and grace */
    facts.used_at = at("2028-03-23T09:00:00Z");
    next_is(&usual, &facts, ROTATION_RETIRE, "2028-03-23T12:01:00Z");
    facts.delivered_at = 0; /* in use although nobody saw the mail accepted */
    next_is(&usual, &facts, ROTATION_RETIRE, "2028-03-24T09:00:00Z");
    facts.ends_at = at("2028-03-17T12:00:00Z"); /* an admin's rotation */
    next_is(&usual, &facts, ROTATION_RETIRE, "2028-03-17T12:00:00Z");
    facts.retired = true;
    assert_int_equal(rotation_plan(&usual, &facts, at("2030-01-01T00:00:00Z")).step, ROTATION_NONE);
}

static void counts_days_over_the_29th_of_february(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"2027-11-30T23:59:59Z", "2028-02-21T23:59:59Z", "2028-02-28T23:59:59Z"},
        {"2027-12-01T00:00:00Z", "2028-02-22T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"2027-12-02T00:00:00Z", "2028-02-23T00:00:00Z", "2028-03-01T00:00:00Z"},
        {"2028-02-29T12:00:00Z", "2028-05-22T12:00:00Z", "2028-05-29T12:00:00Z"},
        {"2026-12-02T00:00:00Z", "2027-02-23T00:00:00Z", "2027-03-02T00:00:00Z"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rotation_facts facts = {.issued_at = at(rows[i][0])};
        facts.rotates_at = rotation_date(&usual, facts.issued_at);
        next_is(&usual, &facts, ROTATION_NOTICE, rows[i][1]);
        facts.notified = true;
        facts.noticed_at = at(rows[i][1]);
        next_is(&usual, &facts, ROTATION_ROTATE, rows[i][2]);
    }
}

static void a_notice_not_accepted_holds_the_rotation(void **state)
{
    (void)state;
    struct rotation_facts facts = {.issued_at = 1, .rotates_at = 100 * DAY_MS, .notified = true};
    struct rotation_plan plan = rotation_plan(&usual, &facts, 100 * DAY_MS - 1);
    assert_true(!plan.due && !plan.held && plan.look_at == 100 * DAY_MS);
    for (int64_t now = 100 * DAY_MS; now < 300 * DAY_MS; now += 17 * DAY_MS) {
        plan = rotation_plan(&usual, &facts, now);
        assert_true(!plan.due && plan.held && plan.step == ROTATION_ROTATE);
        assert_int_equal(plan.look_at, now + HOUR_MS);
    }
    facts.noticed_at = 300 * DAY_MS;
    assert_int_equal(rotation_plan(&usual, &facts, 300 * DAY_MS).due_at, 307 * DAY_MS);
}

static void a_link_that_nobody_uses(void **state)
{
    (void)state;
    struct tier retire = usual;
    retire.on_unclaimed = ON_UNCLAIMED_RETIRE;
    struct rotation_facts facts = {.rotated_at = DAY_MS, .by_claim = true};
    struct rotation_plan plan = rotation_plan(&usual, &facts, 2 * DAY_MS);
    assert_true(plan.step == ROTATION_RETIRE && !plan.due && !plan.due_at && !plan.decide);
    assert_int_equal(plan.look_at, 31 * DAY_MS);
    plan = rotation_plan(&usual, &facts, 31 * DAY_MS);
    assert_true(!plan.due && plan.decide);
    facts.kept = true;
    plan = rotation_plan(&usual, &facts, 300 * DAY_MS);
    assert_true(!plan.due && !plan.decide && plan.look_at == 301 * DAY_MS);
    facts.kept = false;
    assert_false(rotation_plan(&retire, &facts, 31 * DAY_MS - 1).due);
    assert_true(rotation_plan(&retire, &facts, 31 * DAY_MS).due);
    facts.by_claim = false; /* an encrypted mail that was not accepted: never without a secret */
    assert_false(rotation_plan(&retire, &facts, 31 * DAY_MS).due);
}

static void what_holds_and_what_ends_it(void **state)
{
    (void)state;
    struct rotation_facts facts = {.issued_at = 1, .rotates_at = 90 * DAY_MS, .asleep = true};
    assert_true(rotation_plan(&usual, &facts, 83 * DAY_MS).held);
    assert_int_equal(rotation_plan(&usual, &facts, 83 * DAY_MS).look_at, 84 * DAY_MS);
    facts.asleep = false;
    facts.key_expires_at = 90 * DAY_MS; /* it ends before it would rotate */
    assert_true(rotation_plan(&usual, &facts, 83 * DAY_MS).held);
    facts.key_expires_at = 90 * DAY_MS + 1;
    assert_true(rotation_plan(&usual, &facts, 83 * DAY_MS).due);
    facts.off = true;
    assert_int_equal(rotation_plan(&usual, &facts, 83 * DAY_MS).step, ROTATION_NONE);
    facts.rotated_at = 90 * DAY_MS; /* an overlap ends even so */
    facts.delivered_at = 90 * DAY_MS;
    assert_true(rotation_plan(&usual, &facts, 97 * DAY_MS).due);
    facts = (struct rotation_facts){
        .rotates_at = 90 * DAY_MS, .notified = true, .noticed_at = 1, .overlaps = true};
    assert_true(rotation_plan(&usual, &facts, 90 * DAY_MS).held);
    /* A notice is never due before the secret was made. */
    assert_int_equal(rotation_notice_at(&usual, 5 * DAY_MS, 3 * DAY_MS), 3 * DAY_MS);
}

static void names_and_back(void **state)
{
    (void)state;
    enum rotation_status status;
    for (unsigned i = ROTATION_SCHEDULED; i <= ROTATION_RETIRED; i++) {
        assert_true(rotation_status_parse(span_text(rotation_status_name((enum rotation_status)i)),
                                          &status));
        assert_int_equal(status, i);
    }
    assert_false(rotation_status_parse(SPAN(""), &status));
    assert_string_equal(rotation_step_name(ROTATION_RETIRE), "retire");
}

/* ---- random walks ---- */

static uint64_t walk_seed;

static uint64_t dice(uint64_t sides)
{
    walk_seed = walk_seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (walk_seed >> 33) % sides;
}

struct walk {
    struct tier tier;
    struct rotation_facts facts;
    int64_t now, promised, queued_at;
    bool old_works; /* the secret that the customer has from before */
    bool new_exists, new_delivered;
    unsigned notices, rotations, retirements;
};

static void walk_begin(struct walk *walk, int64_t issued_at)
{
    *walk = (struct walk){.tier = walk->tier, .now = walk->now, .old_works = true};
    walk->facts.issued_at = issued_at;
    walk->facts.rotates_at = walk->promised = rotation_date(&walk->tier, issued_at);
}

static void walk_step(struct walk *walk, enum rotation_step step)
{
    struct rotation_facts *facts = &walk->facts;
    if (step == ROTATION_NOTICE) {
        assert_int_equal(walk->notices++, 0);
        facts->notified = true;
        walk->queued_at = walk->now;
    } else if (step == ROTATION_ROTATE) {
        assert_int_equal(walk->rotations++, 0);
        assert_true(walk->now >= walk->promised);
        assert_true(facts->noticed_at &&
                    walk->now >= facts->noticed_at + walk->tier.notice_days * DAY_MS);
        facts->rotated_at = walk->now;
        facts->by_claim = dice(2) != 0;
        walk->new_exists = !facts->by_claim;
    } else {
        assert_int_equal(walk->retirements++, 0);
        bool unclaimed = facts->by_claim && !facts->delivered_at;
        assert_true(facts->used_at || facts->delivered_at || unclaimed);
        if (unclaimed) {
            assert_int_equal(walk->tier.on_unclaimed, ON_UNCLAIMED_RETIRE);
            assert_true(walk->now >= facts->rotated_at + walk->tier.max_overlap_days * DAY_MS);
        } else {
            bool graced =
                facts->used_at && walk->now >= facts->used_at + walk->tier.grace_seconds * 1000;
            bool stopped = facts->delivered_at &&
                           walk->now >= facts->delivered_at + walk->tier.hard_stop_days * DAY_MS;
            assert_true(graced || stopped);
            assert_true(walk->new_exists && walk->new_delivered);
        }
        walk->old_works = unclaimed ? true : false; /* ended on purpose: nothing more to check */
        walk->new_exists |= unclaimed;
        walk->new_delivered |= unclaimed;
        facts->retired = true;
    }
}

/* What others do: the relay, the customer, an admin. */
static void walk_event(struct walk *walk)
{
    struct rotation_facts *facts = &walk->facts;
    switch (dice(6)) {
    case 0:
        if (facts->notified && !facts->noticed_at) facts->noticed_at = walk->now;
        break;
    case 1:
        if (facts->rotated_at && !facts->delivered_at) {
            facts->delivered_at = walk->now;
            walk->new_exists = walk->new_delivered = true;
        }
        break;
    case 2:
        if (walk->new_delivered && !facts->used_at) facts->used_at = walk->now;
        break;
    case 3:
        facts->asleep = dice(3) == 0;
        break;
    case 4: /* an admin postpones */
        if (!facts->rotated_at && dice(8) == 0)
            facts->rotates_at = walk->promised = walk->promised + (int64_t)dice(20) * DAY_MS;
        break;
    default:
        if (dice(20) == 0) walk_begin(walk, walk->now); /* regenerated */
    }
}

static void random_walks_never_lose_a_secret(void **state)
{
    (void)state;
    unsigned finished = 0;
    for (uint64_t round = 0; round < 3000; round++) {
        walk_seed = round * 77 + 1;
        struct walk walk = {.tier = usual, .now = (int64_t)dice(20000) * DAY_MS};
        walk.tier.rotation_days = 1 + (uint32_t)dice(120);
        walk.tier.notice_days = (uint32_t)dice(walk.tier.rotation_days);
        walk.tier.grace_seconds = (uint32_t)dice(200000);
        walk.tier.hard_stop_days = (uint32_t)dice(20);
        walk.tier.max_overlap_days = (uint32_t)dice(40);
        walk.tier.on_unclaimed = (enum on_unclaimed)dice(2);
        walk_begin(&walk, walk.now);
        for (unsigned i = 0; i < 400 && !walk.facts.retired; i++) {
            struct rotation_plan plan = rotation_plan(&walk.tier, &walk.facts, walk.now);
            if (plan.due)
                walk_step(&walk, plan.step);
            else if (plan.decide)
                walk.facts.kept = true;
            else
                assert_true(plan.look_at > walk.now || plan.step == ROTATION_NONE);
            assert_true(walk.old_works || (walk.new_exists && walk.new_delivered));
            walk_event(&walk);
            walk.now += (int64_t)dice(3 * (uint64_t)DAY_MS);
        }
        finished += walk.facts.retired;
    }
    assert_true(finished > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_the_timeline),
        cmocka_unit_test(counts_days_over_the_29th_of_february),
        cmocka_unit_test(a_notice_not_accepted_holds_the_rotation),
        cmocka_unit_test(a_link_that_nobody_uses),
        cmocka_unit_test(what_holds_and_what_ends_it),
        cmocka_unit_test(names_and_back),
        cmocka_unit_test(random_walks_never_lose_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
