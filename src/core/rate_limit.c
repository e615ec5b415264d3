/* GCRA in exact arithmetic. Called for every call on the loop. The interval between two calls is
 * window / limit microseconds, which is rarely whole: the state carries the fraction, so that a
 * burst of exactly `limit` passes and the long run does not drift. */
#include "core/rate_limit.h"

static int64_t window_us(const struct rate_limit *limit)
{
    return (int64_t)limit->window_s * 1000000;
}

static bool shape_is(const struct rate_limit *limit, const struct rate_state *state)
{
    return state->limit == limit->limit && state->window_s == limit->window_s;
}

/* The same number of calls under another shape: n of N spent become n of M. */
static struct rate_state debt_convert(const struct rate_limit *limit, struct rate_state debt)
{
    int64_t window = window_us(limit), old_window = (int64_t)debt.window_s * 1000000;
    /* Each product is at most 2.6e12 * 1e6: fits. */
    uint64_t units = (uint64_t)debt.tat_us * debt.limit + debt.fraction;
    uint64_t calls = units / (uint64_t)old_window, rest = units % (uint64_t)old_window;
    if (calls >= limit->limit) return (struct rate_state){.tat_us = window};
    uint64_t whole = calls * (uint64_t)window, millionths = rest / debt.window_s;
    uint64_t part = millionths * (uint64_t)(window / limit->limit) / 1000000;
    return (struct rate_state){.tat_us = (int64_t)(whole / limit->limit + part),
                               .fraction = (uint32_t)(whole % limit->limit)};
}

/* What is spent: the time until all is given back, in [0, window]. A state of another shape is
 * converted, and cut to this one, so that a tightened limit never locks out for longer than its
 * window. */
static struct rate_state debt_of(const struct rate_limit *limit, const struct rate_state *state,
                                 int64_t now_us)
{
    struct rate_state debt = *state;
    debt.tat_us -= now_us;
    if (debt.tat_us < 0 || !debt.limit) debt = (struct rate_state){0};
    if (debt.limit && !shape_is(limit, state)) debt = debt_convert(limit, debt);
    if (debt.tat_us >= window_us(limit)) debt = (struct rate_state){.tat_us = window_us(limit)};
    debt.limit = limit->limit;
    debt.window_s = limit->window_s;
    return debt;
}

static void add_interval(const struct rate_limit *limit, struct rate_state *debt)
{
    uint64_t fraction = (uint64_t)debt->fraction + (uint64_t)window_us(limit) % limit->limit;
    debt->tat_us += window_us(limit) / limit->limit;
    if (fraction >= limit->limit) {
        fraction -= limit->limit;
        debt->tat_us++;
    }
    debt->fraction = (uint32_t)fraction;
}

static uint32_t seconds_up(int64_t us)
{
    return us <= 0 ? 0 : (uint32_t)((us + 999999) / 1000000);
}

void rate_check(const struct rate_limit *limit, const struct rate_state *state, int64_t now_us,
                struct rate_view *view)
{
    struct rate_state debt = debt_of(limit, state, now_us), next = debt;
    add_interval(limit, &next);
    /* At most 2.6e12 * 1e6: fits. */
    uint64_t left = (uint64_t)(window_us(limit) - debt.tat_us) * limit->limit - debt.fraction;
    int64_t wait_us = next.tat_us + (next.fraction ? 1 : 0) - window_us(limit);
    view->allowed = wait_us <= 0;
    view->remaining = (uint32_t)(left / (uint64_t)window_us(limit));
    view->reset_seconds = seconds_up(debt.tat_us + (debt.fraction ? 1 : 0));
    view->retry_after_seconds = seconds_up(wait_us);
}

void rate_charge(const struct rate_limit *limit, struct rate_state *state, int64_t now_us)
{
    struct rate_state debt = debt_of(limit, state, now_us);
    add_interval(limit, &debt);
    *state = debt;
    state->tat_us += now_us;
}

void rate_refund(struct rate_state *state)
{
    if (!state->limit) return;
    struct rate_limit limit = {.limit = state->limit, .window_s = state->window_s};
    uint32_t fraction = (uint32_t)((uint64_t)window_us(&limit) % limit.limit);
    state->tat_us -= window_us(&limit) / limit.limit;
    if (state->fraction < fraction) {
        state->fraction += limit.limit;
        state->tat_us--;
    }
    state->fraction -= fraction;
}

bool rate_name_valid(struct span name)
{
    if (name.length == 0 || name.length >= RATE_NAME_SIZE) return false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

unsigned rate_limits_merge(const struct rate_limit *tiers, unsigned tier_count,
                           const struct rate_limit *keys, unsigned key_count,
                           struct rate_limit out[RATE_LIMITS_MAX])
{
    unsigned count = 0;
    for (unsigned i = 0; i < tier_count && count < RATE_LIMITS_MAX; i++)
        out[count++] = tiers[i];
    for (unsigned i = 0; i < key_count; i++) {
        unsigned at = 0;
        while (at < count && strcmp(out[at].name, keys[i].name) != 0)
            at++;
        if (at == RATE_LIMITS_MAX) continue;
        out[at] = keys[i];
        if (at == count) count++;
    }
    return count;
}

bool rate_limit_is_tighter(const struct rate_limit *a, const struct rate_limit *b)
{
    return a->limit <= b->limit &&
           (uint64_t)a->limit * b->window_s <= (uint64_t)b->limit * a->window_s;
}
