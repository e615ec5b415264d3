/* core/entitlement: tables of what each reading and each day make of what stands, and random
 * histories that must end alike. */
#include "core/entitlement.h"

#include "core/period.h"

#include "unit.h"

#include <stdlib.h>

enum { GRACE_DAYS = 7 };
#define DAY(n) ((n)*DAY_MS)

static const struct pay_rules suspends = {
    .grace_ms = GRACE_DAYS * DAY_MS, .on_lapse = ON_LAPSE_SUSPEND, .has_free = true};
static const struct pay_rules frees = {
    .grace_ms = GRACE_DAYS * DAY_MS, .on_lapse = ON_LAPSE_FREE, .has_free = true};
static const struct pay_rules strict = {.grace_ms = GRACE_DAYS * DAY_MS,
                                        .ends_at_once = true,
                                        .lower_at_once = true,
                                        .on_lapse = ON_LAPSE_SUSPEND,
                                        .has_free = true};

/* A reading of the period from day `from` on, of 30 days; tiers are "big" and "small". */
struct reading {
    int day;
    enum pay_status status;
    const char *tier;
    int from;
    bool owes, refunded;
};

static void take(struct entitlement *entitlement, const struct reading *reading,
                 const struct pay_rules *rules)
{
    struct pay_facts facts = {.status = reading->status,
                              .tier = reading->tier,
                              .period_start = DAY(reading->from),
                              .period_end = DAY(reading->from + 30),
                              .owes = reading->owes,
                              .refunded = reading->refunded};
    facts.lower =
        reading->tier && !strcmp(reading->tier, "small") && !strcmp(entitlement->tier, "big");
    entitlement_read(entitlement, &facts, rules, DAY(reading->day));
}

/* What stands after the clock has come to `day`; ends: the day of ends_at, 0: none. */
struct expected {
    int day;
    enum entitlement_state state;
    const char *tier;
    int ends;
};

static void expect(struct entitlement *entitlement, const struct expected *expected,
                   const struct pay_rules *rules, const char *name)
{
    entitlement_tick(entitlement, rules, DAY(expected->day));
    if (entitlement->state != expected->state || strcmp(entitlement->tier, expected->tier) != 0 ||
        entitlement->ends_at != DAY(expected->ends))
        fail_msg("%s, day %d: %s %s, ends %lld; wanted %s %s, ends %d", name, expected->day,
                 entitlement_state_name(entitlement->state), entitlement->tier,
                 (long long)(entitlement->ends_at / DAY_MS),
                 entitlement_state_name(expected->state), expected->tier, expected->ends);
}

enum { STEPS_MAX = 8 };
#define PEND ENTITLED_PENDING
#define ACT  ENTITLED_ACTIVE
#define DUE  ENTITLED_PAST_DUE
#define SUSP ENTITLED_SUSPENDED
#define DOWN ENTITLED_DOWNGRADED

/* Readings and expectations in turn; what follows a reading with `day` 0 is time alone. */
struct tale {
    const char *name;
    const struct pay_rules *rules;
    struct {
        struct reading reading;
        struct expected expected;
    } steps[STEPS_MAX];
};

static const struct tale tales[] = {
    {"renewed",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {129, ACT, "big", 0}},
      {{130, PAY_ACTIVE, "big", 130, false, false}, {200, ACT, "big", 0}}}},
    {"a trial that is paid",
     &suspends,
     {{{100, PAY_TRIALING, "big", 100, false, false}, {100, ACT, "big", 0}},
      {{130, PAY_ACTIVE, "big", 130, false, false}, {130, ACT, "big", 0}}}},
    {"fails, is suspended, comes back",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {130, ACT, "big", 0}},
      {{130, PAY_PAST_DUE, "big", 130, true, false}, {136, DUE, "big", 137}},
      {{136, PAY_PAST_DUE, "big", 130, true, false}, {136, DUE, "big", 137}},
      {{0}, {137, SUSP, "big", 137}},
      {{150, PAY_PAST_DUE, "big", 130, true, false}, {150, SUSP, "big", 137}},
      {{151, PAY_ACTIVE, "big", 130, false, false}, {151, ACT, "big", 0}}}},
    {"fails, and is paid within the grace",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {130, ACT, "big", 0}},
      {{130, PAY_PAST_DUE, "big", 130, true, false}, {133, DUE, "big", 137}},
      {{133, PAY_ACTIVE, "big", 130, false, false}, {150, ACT, "big", 0}}}},
    {"fails and falls to free, and comes back",
     &frees,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {130, ACT, "big", 0}},
      {{130, PAY_UNPAID, "big", 130, true, false}, {136, DUE, "big", 137}},
      {{0}, {137, DOWN, "free", 137}},
      {{140, PAY_ACTIVE, "big", 130, false, false}, {140, ACT, "big", 0}}}},
    {"canceled: what was paid runs on",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {110, ACT, "big", 0}},
      {{110, PAY_CANCELED, "big", 100, false, false}, {129, ACT, "big", 130}},
      {{0}, {130, SUSP, "big", 130}},
      {{131, PAY_ACTIVE, "small", 131, false, false}, {131, ACT, "small", 0}}}},
    {"canceled at the period's end",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {130, ACT, "big", 0}},
      {{130, PAY_CANCELED, "big", 100, false, false}, {130, SUSP, "big", 130}}}},
    {"canceled with a debt: the grace",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {130, ACT, "big", 0}},
      {{131, PAY_CANCELED, "big", 130, true, false}, {137, DUE, "big", 138}},
      {{0}, {138, SUSP, "big", 138}}}},
    {"the running grace outlives the cancelling",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {130, ACT, "big", 0}},
      {{130, PAY_PAST_DUE, "big", 130, true, false}, {131, DUE, "big", 137}},
      {{132, PAY_CANCELED, "big", 130, true, false}, {136, DUE, "big", 137}},
      {{0}, {137, SUSP, "big", 137}}}},
    {"suspended, paid and canceled before anybody looked",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {130, ACT, "big", 0}},
      {{130, PAY_PAST_DUE, "big", 130, true, false}, {140, SUSP, "big", 137}},
      {{141, PAY_CANCELED, "big", 130, false, false}, {159, ACT, "big", 160}},
      {{0}, {160, SUSP, "big", 160}}}},
    {"nothing known any more",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {130, ACT, "big", 0}},
      {{131, PAY_NONE, NULL, 100, false, false}, {137, DUE, "big", 138}},
      {{0}, {138, SUSP, "big", 138}}}},
    {"a trial that was paused",
     &suspends,
     {{{100, PAY_TRIALING, "big", 100, false, false}, {120, ACT, "big", 0}},
      {{130, PAY_PAUSED, "big", 100, false, false}, {130, SUSP, "big", 130}},
      {{150, PAY_ACTIVE, "big", 150, false, false}, {150, ACT, "big", 0}}}},
    {"strict: past due has its grace, the rest ends at once",
     &strict,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {130, ACT, "big", 0}},
      {{130, PAY_PAST_DUE, "big", 130, true, false}, {131, DUE, "big", 137}},
      {{131, PAY_UNPAID, "big", 130, true, false}, {131, SUSP, "big", 131}},
      {{132, PAY_ACTIVE, "big", 130, false, false}, {132, ACT, "big", 0}},
      {{133, PAY_CANCELED, "big", 130, false, false}, {133, SUSP, "big", 133}}}},
    {"larger at once, smaller at the period's end",
     &suspends,
     {{{100, PAY_ACTIVE, "small", 100, false, false}, {100, ACT, "small", 0}},
      {{110, PAY_ACTIVE, "big", 100, false, false}, {110, ACT, "big", 0}},
      {{120, PAY_ACTIVE, "small", 100, false, false}, {129, ACT, "big", 0}},
      {{129, PAY_ACTIVE, "small", 100, false, false}, {129, ACT, "big", 0}},
      {{0}, {130, ACT, "small", 0}}}},
    {"smaller, and back before the end",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {110, ACT, "big", 0}},
      {{110, PAY_ACTIVE, "small", 100, false, false}, {119, ACT, "big", 0}},
      {{120, PAY_ACTIVE, "big", 100, false, false}, {140, ACT, "big", 0}}}},
    {"smaller, seen only in the next period",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {130, ACT, "big", 0}},
      {{131, PAY_ACTIVE, "small", 130, false, false}, {131, ACT, "small", 0}}}},
    {"smaller at once where it is so",
     &strict,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {110, ACT, "big", 0}},
      {{110, PAY_ACTIVE, "small", 100, false, false}, {110, ACT, "small", 0}}}},
    {"refunded: ends, until the next period is paid",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {105, ACT, "big", 0}},
      {{105, PAY_ACTIVE, "big", 100, false, true}, {105, SUSP, "big", 105}},
      {{120, PAY_ACTIVE, "big", 100, false, false}, {120, SUSP, "big", 105}},
      {{130, PAY_ACTIVE, "big", 130, false, false}, {130, ACT, "big", 0}}}},
    {"refunded: a next period that has begun is not paid yet, and may never be",
     &suspends,
     {{{100, PAY_ACTIVE, "big", 100, false, false}, {105, ACT, "big", 0}},
      {{105, PAY_ACTIVE, "big", 100, false, true}, {105, SUSP, "big", 105}},
      {{130, PAY_ACTIVE, "big", 130, true, false}, {130, SUSP, "big", 105}},
      {{131, PAY_PAST_DUE, "big", 130, true, false}, {131, SUSP, "big", 105}},
      {{133, PAY_ACTIVE, "big", 130, false, false}, {133, ACT, "big", 0}}}},
};

static void the_tales(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(tales); i++) {
        const struct tale *tale = &tales[i];
        struct entitlement entitlement = {0};
        for (int k = 0; k < STEPS_MAX && tale->steps[k].expected.day; k++) {
            if (tale->steps[k].reading.day)
                take(&entitlement, &tale->steps[k].reading, tale->rules);
            expect(&entitlement, &tale->steps[k].expected, tale->rules, tale->name);
        }
    }
}

static void a_pending_one_waits_for_money(void **state)
{
    (void)state;
    for (int status = PAY_NONE; status <= PAY_PAUSED; status++) {
        struct entitlement entitlement = {0};
        struct reading reading = {100, (enum pay_status)status, "big", 100, false, false};
        take(&entitlement, &reading, &suspends);
        bool pays = status == PAY_ACTIVE || status == PAY_TRIALING;
        assert_int_equal(entitlement.state, pays ? ACT : PEND);
        assert_string_equal(entitlement.tier, pays ? "big" : "");
        assert_int_equal(entitlement_look_at(&entitlement), 0);
    }
}

static void without_a_free_tier_it_is_suspended(void **state)
{
    (void)state;
    struct pay_rules rules = frees;
    rules.has_free = false;
    struct entitlement entitlement = {
        .state = ENTITLED_PAST_DUE, .tier = "big", .paid_tier = "big", .ends_at = DAY(5)};
    entitlement_tick(&entitlement, &rules, DAY(5) - 1);
    assert_int_equal(entitlement.state, DUE);
    entitlement_tick(&entitlement, &rules, DAY(5));
    assert_int_equal(entitlement.state, SUSP);
    assert_string_equal(entitlement.tier, "big");
}

static void looks_and_reminders(void **state)
{
    (void)state;
    struct entitlement entitlement = {0};
    struct pay_facts approved = {
        .status = PAY_ACTIVE, .tier = "big", .period_end = DAY(200), .ends_at = DAY(200)};
    entitlement_read(&entitlement, &approved, &suspends, DAY(100));
    assert_int_equal(entitlement_look_at(&entitlement), DAY(186));
    assert_int_equal(entitlement_reminders(&entitlement, DAY(186) - 1), 0);
    assert_int_equal(entitlement_reminders(&entitlement, DAY(186)), 1);
    entitlement.reminded = 1;
    assert_int_equal(entitlement_look_at(&entitlement), DAY(197));
    assert_int_equal(entitlement_reminders(&entitlement, DAY(199)), 2);
    entitlement.reminded = 2;
    assert_int_equal(entitlement_look_at(&entitlement), DAY(200));
    approved.ends_at = DAY(300); /* prolonged: reminders anew */
    entitlement_read(&entitlement, &approved, &suspends, DAY(199));
    assert_int_equal(entitlement.reminded, 0);
    entitlement_tick(&entitlement, &suspends, DAY(300));
    assert_int_equal(entitlement.state, SUSP);
    assert_int_equal(entitlement_look_at(&entitlement), 0);
    struct entitlement due = {.state = ENTITLED_PAST_DUE, .ends_at = DAY(10)};
    assert_int_equal(entitlement_look_at(&due), DAY(10));
    assert_int_equal(entitlement_reminders(&due, DAY(9)), 0);
}

static void tells_once(void **state)
{
    (void)state;
    struct entitlement before = {0}, after = {0};
    struct reading good = {100, PAY_ACTIVE, "big", 100, false, false};
    take(&after, &good, &suspends);
    assert_int_equal(entitlement_news(&before, &after), NEWS_NONE);
    before = after;
    struct reading bad = {130, PAY_PAST_DUE, "big", 130, true, false};
    take(&after, &bad, &suspends);
    assert_int_equal(entitlement_news(&before, &after), NEWS_PAYMENT_FAILED);
    assert_int_equal(after.lapses, 1);
    before = after;
    take(&after, &bad, &suspends);
    assert_true(entitlement_equal(&before, &after));
    entitlement_tick(&after, &suspends, DAY(137));
    assert_int_equal(entitlement_news(&before, &after), NEWS_SUSPENDED);
    assert_int_equal(after.lapses, 1);
    before = after;
    struct reading again = {140, PAY_ACTIVE, "big", 130, false, false};
    take(&after, &again, &suspends);
    assert_int_equal(entitlement_news(&before, &after), NEWS_RESTORED);
    struct reading canceled = {160, PAY_CANCELED, "big", 130, false, false};
    before = after;
    take(&after, &canceled, &frees);
    assert_int_equal(entitlement_news(&before, &after), NEWS_DOWNGRADED);
    assert_int_equal(after.lapses, 2);
}

/* Whatever was read on the way, and however often, the newest reading decides. */
static void histories_end_alike(void **state)
{
    (void)state;
    static const struct reading history[] = {
        {100, PAY_TRIALING, "small", 100, false, false},
        {110, PAY_ACTIVE, "small", 110, false, false},
        {115, PAY_ACTIVE, "big", 110, false, false},
        {140, PAY_PAST_DUE, "big", 140, true, false},
        {150, PAY_UNPAID, "big", 140, true, false},
        {155, PAY_ACTIVE, "big", 140, false, false},
        {160, PAY_ACTIVE, "small", 140, false, false},
        {170, PAY_PAST_DUE, "small", 170, true, false},
        {175, PAY_ACTIVE, "small", 170, false, false},
    };
    enum { ROUNDS = 20000 };
    srandom(7);
    for (int round = 0; round < ROUNDS; round++) {
        const struct pay_rules *rules = round % 2 ? &suspends : &frees;
        size_t last = 1 + (size_t)random() % (COUNT_OF(history) - 1);
        struct entitlement whole = {0}, some = {0};
        for (size_t i = 0; i <= last; i++) {
            take(&whole, &history[i], rules);
            bool read = i == 0 || i == last || random() % 2;
            for (long n = 0; read && n <= random() % 2; n++)
                take(&some, &history[i], rules);
        }
        assert_int_equal(some.payment, whole.payment);
        /* A grace begins when it is known, and a smaller tier may wait for the period's end. */
        entitlement_tick(&some, rules, DAY(300));
        entitlement_tick(&whole, rules, DAY(300));
        assert_int_equal(some.state, whole.state);
        if (history[last].owes) continue; /* what was not seen paid was not bought */
        assert_string_equal(some.paid_tier, whole.paid_tier);
        assert_string_equal(some.tier, whole.tier);
        assert_int_equal(some.paid_until, whole.paid_until);
    }
}

/* A clock that is not believed ends nothing, but who pays is served. */
static void a_clock_that_rests_ends_nothing(void **state)
{
    (void)state;
    struct pay_rules rests = suspends;
    struct entitlement entitlement = {0};
    struct reading good = {100, PAY_ACTIVE, "big", 100, false, false};
    struct reading less = {110, PAY_ACTIVE, "small", 100, false, false};
    struct reading bad = {131, PAY_PAST_DUE, "small", 130, true, false};
    struct reading again = {500, PAY_ACTIVE, "small", 130, false, false};
    rests.clock_rests = true;
    take(&entitlement, &good, &suspends);
    take(&entitlement, &less, &suspends);
    entitlement_tick(&entitlement, &rests, DAY(500));
    assert_string_equal(entitlement.tier, "big");
    take(&entitlement, &bad, &suspends);
    assert_string_equal(entitlement.tier, "small");
    entitlement_tick(&entitlement, &rests, DAY(500));
    assert_int_equal(entitlement.state, ENTITLED_PAST_DUE);
    take(&entitlement, &again, &rests);
    assert_int_equal(entitlement.state, ENTITLED_ACTIVE);
    assert_int_equal(entitlement.ends_at, 0);
}

static void compares_tiers(void **state)
{
    (void)state;
    struct tier endless = {.max_keys = 5}, small = {.has_quota = true, .monthly_quota = 10},
                big = {.has_quota = true, .monthly_quota = 20}, keys = big;
    keys.max_keys = 2;
    assert_true(tier_is_lower(&small, &big) && !tier_is_lower(&big, &small));
    assert_true(tier_is_lower(&big, &endless) && !tier_is_lower(&endless, &big));
    assert_true(tier_is_lower(&big, &keys) && !tier_is_lower(&big, &big));
}

static void words(void **state)
{
    (void)state;
    enum pay_status status;
    enum entitlement_state where;
    for (int i = PAY_NONE; i <= PAY_PAUSED; i++) {
        assert_true(pay_status_parse(span_text(pay_status_name((enum pay_status)i)), &status));
        assert_int_equal(status, i);
    }
    for (int i = ENTITLED_PENDING; i <= ENTITLED_DOWNGRADED; i++) {
        const char *name = entitlement_state_name((enum entitlement_state)i);
        assert_true(entitlement_state_parse(span_text(name), &where));
        assert_int_equal(where, i);
    }
    assert_false(pay_status_parse(SPAN("Active"), &status));
    assert_false(entitlement_state_parse(SPAN(""), &where));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tales),
        cmocka_unit_test(a_pending_one_waits_for_money),
        cmocka_unit_test(without_a_free_tier_it_is_suspended),
        cmocka_unit_test(looks_and_reminders),
        cmocka_unit_test(tells_once),
        cmocka_unit_test(histories_end_alike),
        cmocka_unit_test(a_clock_that_rests_ends_nothing),
        cmocka_unit_test(compares_tiers),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
