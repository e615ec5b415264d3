/* core/rate_limit: exact bursts, the GCRA bound over random calls, views, refunds, merging. */
#include "core/rate_limit.h"

#include "unit.h"

static const struct rate_limit limits[] = {
    {"second", 10, 1},    {"minute", 100, 60},
    {"odd", 7, 1},        {"prime", 9973, 60},
    {"one", 1, 1},        {"huge", RATE_LIMIT_MAX, 1},
    {"slow", 3, 2592000}, {"wide", RATE_LIMIT_MAX, RATE_WINDOW_MAX_S},
};

static bool take(const struct rate_limit *limit, struct rate_state *state, int64_t now_us)
{
    struct rate_view view;
    rate_check(limit, state, now_us, &view);
    assert_true(view.allowed == (view.remaining > 0));
    assert_true(view.allowed == (view.retry_after_seconds == 0));
    assert_true(view.remaining <= limit->limit);
    assert_true(view.reset_seconds <= limit->window_s);
    if (view.allowed) rate_charge(limit, state, now_us);
    return view.allowed;
}

static void a_burst_is_exactly_the_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        const struct rate_limit *limit = &limits[i];
        struct rate_state spent = {0};
        int64_t now = 123456789012345;
        for (uint32_t n = 0; n < limit->limit; n++) {
            struct rate_view view;
            if (!take(limit, &spent, now)) fail_msg("%s: call %u refused", limit->name, n);
            rate_check(limit, &spent, now, &view);
            assert_int_equal(view.remaining, limit->limit - n - 1);
        }
        assert_false(take(limit, &spent, now));
        assert_int_equal(spent.tat_us - now, (int64_t)limit->window_s * 1000000);
        int64_t interval = ((int64_t)limit->window_s * 1000000 + limit->limit - 1) / limit->limit;
        assert_false(take(limit, &spent, now + interval - 1));
        assert_true(take(limit, &spent, now + interval));
        assert_true(take(limit, &spent, now + 3 * (int64_t)limit->window_s * 1000000));
    }
}

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* In every span of d from one accepted call to a later one: at most limit + d * limit / window. */
static void never_more_than_the_bound(void **state)
{
    (void)state;
    enum { CALLS = 1500 };
    static int64_t accepted[CALLS];
    uint64_t seed = 42;
    for (size_t i = 0; i < 5; i++) {
        const struct rate_limit *limit = &limits[i];
        int64_t window = (int64_t)limit->window_s * 1000000, now = 1000000;
        struct rate_state spent = {0};
        size_t count = 0;
        for (int call = 0; call < CALLS; call++) {
            if (random_next(&seed) % 8 == 0)
                now += (int64_t)(random_next(&seed) % (uint64_t)(window / limit->limit * 12));
            if (take(limit, &spent, now)) accepted[count++] = now;
        }
        assert_true(count > limit->limit || limit->limit > CALLS);
        for (size_t from = 0; from < count; from++)
            for (size_t to = from; to < count; to++)
                assert_true((int64_t)(to - from + 1) <=
                            limit->limit + (accepted[to] - accepted[from]) * limit->limit / window);
    }
}

static void the_long_run_does_not_drift(void **state)
{
    (void)state;
    const struct rate_limit *odd = &limits[2];
    struct rate_state spent = {0};
    unsigned count = 0;
    for (int64_t now = 0; now < 100000000; now += 1000) /* 100 s in steps of 1 ms */
        count += take(odd, &spent, now);
    assert_in_range(count, 700, 707);
}

static void views_tell_when(void **state)
{
    (void)state;
    const struct rate_limit minute = {"minute", 60, 60};
    struct rate_state spent = {0};
    struct rate_view view;
    rate_check(&minute, &spent, 5000000, &view);
    assert_int_equal(view.remaining, 60);
    assert_int_equal(view.reset_seconds, 0);
    for (int i = 0; i < 60; i++)
        rate_charge(&minute, &spent, 5000000);
    rate_check(&minute, &spent, 5000000, &view);
    assert_int_equal(view.reset_seconds, 60);
    assert_int_equal(view.retry_after_seconds, 1);
    rate_check(&minute, &spent, 5000000 + 30500000, &view);
    assert_int_equal(view.remaining, 30);
    assert_int_equal(view.reset_seconds, 30);
}

static void refunds_undo_charges(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        const struct rate_limit *limit = &limits[i];
        struct rate_state spent = {0}, before;
        int64_t now = 500;
        for (int n = 0; n < 3; n++)
            (void)take(limit, &spent, now + n);
        before = spent;
        struct rate_view view;
        rate_check(limit, &spent, now, &view);
        if (!view.allowed) continue;
        rate_charge(limit, &spent, now);
        rate_refund(&spent);
        assert_int_equal(spent.tat_us, before.tat_us);
        assert_int_equal(spent.fraction, before.fraction);
    }
    struct rate_state none = {0};
    rate_refund(&none);
    struct rate_view view;
    rate_check(&limits[0], &none, 0, &view);
    assert_int_equal(view.remaining, 10); /* never more than the limit */
}

static void a_tightened_limit_locks_out_for_its_window_at_most(void **state)
{
    (void)state;
    const struct rate_limit wide = {"x", 1000, 86400}, tight = {"x", 2, 1};
    struct rate_state spent = {0};
    for (int i = 0; i < 1000; i++)
        rate_charge(&wide, &spent, 0);
    struct rate_view view;
    rate_check(&tight, &spent, 0, &view);
    assert_false(view.allowed);
    assert_int_equal(view.retry_after_seconds, 1);
    assert_int_equal(view.reset_seconds, 1);
}

/* n of N spent are n of M, in either direction, whatever the windows are. */
static void a_changed_limit_inherits_calls(void **state)
{
    (void)state;
    for (size_t from = 0; from < COUNT_OF(limits); from++)
        for (size_t to = 0; to < COUNT_OF(limits); to++)
            for (uint32_t calls = 0; calls <= 12 && calls <= limits[from].limit; calls++) {
                struct rate_state spent = {0}, moved;
                struct rate_view view;
                int64_t now = 123456789012345;
                for (uint32_t i = 0; i < calls; i++)
                    rate_charge(&limits[from], &spent, now);
                rate_check(&limits[to], &spent, now, &view);
                uint32_t limit = limits[to].limit;
                assert_int_equal(view.remaining, calls < limit ? limit - calls : 0);
                assert_true(view.reset_seconds <= limits[to].window_s);
                if (!view.allowed) continue;
                moved = spent;
                rate_charge(&limits[to], &moved, now);
                rate_check(&limits[to], &moved, now, &view);
                assert_int_equal(view.remaining, limit - calls - 1);
                rate_refund(&moved); /* of the new shape, then one of the old */
                rate_check(&limits[to], &moved, now, &view);
                assert_int_equal(view.remaining, limit - calls);
                if (calls) rate_refund(&spent);
                rate_check(&limits[to], &spent, now, &view);
                assert_int_equal(view.remaining, calls ? limit - calls + 1 : limit);
            }
}

static void a_widened_limit_is_not_harsher(void **state)
{
    (void)state;
    const struct rate_limit narrow = {"x", 100, 60}, faster = {"x", 6000, 60}, slow = {"x", 10, 1},
                            wide = {"x", 600, 60};
    struct rate_state spent = {0};
    struct rate_view view;
    for (int i = 0; i < 100; i++)
        rate_charge(&narrow, &spent, 0);
    rate_check(&faster, &spent, 0, &view);
    assert_true(view.allowed);
    assert_int_equal(view.remaining, 5900);
    assert_int_equal(view.reset_seconds, 1);
    rate_check(&faster, &spent, 30000000, &view); /* half was given back before the change */
    assert_int_equal(view.remaining, 5950);
    spent = (struct rate_state){0};
    for (int i = 0; i < 10; i++)
        rate_charge(&slow, &spent, 0);
    rate_check(&wide, &spent, 50000, &view); /* 9.5 of 10 are 9.5 of 600 */
    assert_int_equal(view.remaining, 590);
}

static void a_keys_limit_replaces_the_tiers(void **state)
{
    (void)state;
    struct rate_limit tier[] = {{"minute", 100, 60}, {"second", 10, 1}};
    struct rate_limit key[] = {{"second", 5, 1}, {"hour", 1000, 3600}};
    struct rate_limit out[RATE_LIMITS_MAX], many[RATE_LIMITS_MAX] = {0};
    assert_int_equal(rate_limits_merge(tier, 2, key, 2, out), 3);
    assert_int_equal(out[0].limit, 100);
    assert_int_equal(out[1].limit, 5);
    assert_string_equal(out[2].name, "hour");
    for (int i = 0; i < RATE_LIMITS_MAX; i++)
        many[i] = (struct rate_limit){{(char)('a' + i)}, 1, 1};
    assert_int_equal(rate_limits_merge(many, RATE_LIMITS_MAX, key, 2, out), RATE_LIMITS_MAX);
    key[1] = (struct rate_limit){"h", 9, 1};
    assert_int_equal(rate_limits_merge(many, RATE_LIMITS_MAX, key, 2, out), RATE_LIMITS_MAX);
    assert_int_equal(out[7].limit, 9);

    assert_true(rate_limit_is_tighter(&tier[1], &tier[1]));
    assert_true(rate_limit_is_tighter(&(struct rate_limit){"", 5, 1}, &tier[1]));
    assert_false(rate_limit_is_tighter(&(struct rate_limit){"", 20, 2}, &tier[1]));
    assert_false(rate_limit_is_tighter(&(struct rate_limit){"", 60, 1}, &tier[0]));
    assert_true(rate_name_valid(SPAN("per_minute-2")));
    assert_false(rate_name_valid(SPAN("")));
    assert_false(rate_name_valid(SPAN("Minute")));
    assert_false(rate_name_valid(SPAN("a;b")));
    assert_false(rate_name_valid(SPAN("12345678901234567890123456789012")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_exactly_the_limit),
        cmocka_unit_test(never_more_than_the_bound),
        cmocka_unit_test(the_long_run_does_not_drift),
        cmocka_unit_test(views_tell_when),
        cmocka_unit_test(refunds_undo_charges),
        cmocka_unit_test(a_tightened_limit_locks_out_for_its_window_at_most),
        cmocka_unit_test(a_changed_limit_inherits_calls),
        cmocka_unit_test(a_widened_limit_is_not_harsher),
        cmocka_unit_test(a_keys_limit_replaces_the_tiers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
