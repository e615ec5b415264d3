/* Billing periods against a table worked out by hand, every day of two years. */
#include "core/period.h"

#include "base/codec.h"

#include "unit.h"

static int64_t ms_of(const char *text)
{
    int64_t ms;
    assert_true(time_parse(span_text(text), &ms));
    return ms;
}

static void expect_days(const struct period_rule *rule, const char *const *starts, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++) {
        int64_t start = ms_of(starts[i]), next = ms_of(starts[i + 1]);
        for (int64_t now = start; now < next; now += DAY_MS) {
            struct period period = period_at(rule, now);
            assert_int_equal(period.start_ms, start);
            assert_int_equal(period.next_ms, next);
        }
        assert_int_equal(period_at(rule, next - 1).start_ms, start);
    }
}

static void months_of_the_calendar(void **state)
{
    (void)state;
    static const char *const starts[] = {"2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z",
                                         "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z",
                                         "2027-03-01T00:00:00Z"};
    expect_days(&(struct period_rule){0}, starts, COUNT_OF(starts));
}

/* The 31st, through a leap day and back: clamped where a month is short, never drifting. */
static void a_thirty_first_over_two_years(void **state)
{
    (void)state;
    static const char *const starts[] = {
        "2027-01-31T10:00:00Z", "2027-02-28T10:00:00Z", "2027-03-31T10:00:00Z",
        "2027-04-30T10:00:00Z", "2027-05-31T10:00:00Z", "2027-06-30T10:00:00Z",
        "2027-07-31T10:00:00Z", "2027-08-31T10:00:00Z", "2027-09-30T10:00:00Z",
        "2027-10-31T10:00:00Z", "2027-11-30T10:00:00Z", "2027-12-31T10:00:00Z",
        "2028-01-31T10:00:00Z", "2028-02-29T10:00:00Z", "2028-03-31T10:00:00Z",
        "2028-04-30T10:00:00Z", "2028-05-31T10:00:00Z", "2028-06-30T10:00:00Z",
        "2028-07-31T10:00:00Z", "2028-08-31T10:00:00Z", "2028-09-30T10:00:00Z",
        "2028-10-31T10:00:00Z", "2028-11-30T10:00:00Z", "2028-12-31T10:00:00Z",
        "2029-01-31T10:00:00Z"};
    struct period_rule rule = {.anchor_ms = ms_of("2027-01-31T10:00:00Z")};
    expect_days(&rule, starts, COUNT_OF(starts));
    rule.anchor_ms = ms_of("2024-12-31T10:00:00Z"); /* an annual plan of years ago */
    expect_days(&rule, starts, COUNT_OF(starts));
    rule.anchor_ms = ms_of("2030-05-31T10:00:00Z"); /* still to come */
    expect_days(&rule, starts, COUNT_OF(starts));
}

static void the_29th_and_30th(void **state)
{
    (void)state;
    static const char *const of_29[] = {"2027-01-29T00:00:00Z", "2027-02-28T00:00:00Z",
                                        "2027-03-29T00:00:00Z", "2027-04-29T00:00:00Z"};
    static const char *const of_leap[] = {"2028-01-29T23:59:59Z", "2028-02-29T23:59:59Z",
                                          "2028-03-29T23:59:59Z", "2028-04-29T23:59:59Z"};
    static const char *const of_30[] = {"2028-01-30T00:00:00Z", "2028-02-29T00:00:00Z",
                                        "2028-03-30T00:00:00Z", "2028-04-30T00:00:00Z"};
    expect_days(&(struct period_rule){.anchor_ms = ms_of("2026-12-29T00:00:00Z")}, of_29,
                COUNT_OF(of_29));
    expect_days(&(struct period_rule){.anchor_ms = ms_of("2024-02-29T23:59:59Z")}, of_leap,
                COUNT_OF(of_leap));
    expect_days(&(struct period_rule){.anchor_ms = ms_of("2027-11-30T00:00:00Z")}, of_30,
                COUNT_OF(of_30));
}

/* From calendar months to the 20th and on to the 5th: the period that runs is prolonged to the next
 * boundary, never begun anew. */
static void a_new_anchor_never_cuts_the_running_period(void **state)
{
    (void)state;
    struct period_rule rule = {0};
    static const char *const first[] = {"2026-11-01T00:00:00Z", "2026-12-20T00:00:00Z",
                                        "2027-01-20T00:00:00Z"};
    rule = period_anchor(&rule, ms_of("2026-11-20T00:00:00Z"), ms_of("2026-11-21T08:00:00Z"));
    expect_days(&rule, first, COUNT_OF(first));
    static const char *const second[] = {"2026-11-01T00:00:00Z", "2026-12-05T00:00:00Z",
                                         "2027-01-05T00:00:00Z"};
    rule = period_anchor(&rule, ms_of("2026-12-05T00:00:00Z"), ms_of("2026-11-30T00:00:00Z"));
    expect_days(&rule, second, COUNT_OF(second));
    rule = period_anchor(&rule, ms_of("2027-02-05T00:00:00Z"), ms_of("2026-12-10T00:00:00Z"));
    expect_days(&rule, second + 1, COUNT_OF(second) - 1);
    rule = period_anchor(&rule, 0, ms_of("2026-12-10T00:00:00Z"));
    static const char *const third[] = {"2026-12-05T00:00:00Z", "2027-01-01T00:00:00Z",
                                        "2027-02-01T00:00:00Z"};
    expect_days(&rule, third, COUNT_OF(third));
}

static void a_renewal_on_a_clamped_day_keeps_the_anchor(void **state)
{
    (void)state;
    struct period_rule rule = {.anchor_ms = ms_of("2027-01-31T10:00:00Z")};
    int64_t renewed = ms_of("2027-02-28T10:00:00Z");
    rule = period_anchor(&rule, renewed, renewed + 5000);
    assert_int_equal(rule.anchor_ms, ms_of("2027-01-31T10:00:00Z"));
    assert_int_equal(period_at(&rule, renewed).next_ms, ms_of("2027-03-31T10:00:00Z"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(months_of_the_calendar),
        cmocka_unit_test(a_thirty_first_over_two_years),
        cmocka_unit_test(the_29th_and_30th),
        cmocka_unit_test(a_renewal_on_a_clamped_day_keeps_the_anchor),
        cmocka_unit_test(a_new_anchor_never_cuts_the_running_period),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
