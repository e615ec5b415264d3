/* GCRA in exact arithmetic. Called for every call on the loop. The interval between two calls is
 * window / limit microseconds, which is rarely whole: the state carries the fraction, so that a
 * burst of exactly `limit` passes and the long run does not drift. */
#include "core/rate_limit.h"

static int64_t window_us(const struct rate_limit *limit)
{
    return (int64_t)limit->window_s * 1000000;
}

/* What is spent: the time until all is given back, in [0, window]. A state from a wider limit is
 * cut to this one, so that a tightened limit never locks out for longer than its window. */
static struct rate_state debt_of(const struct rate_limit *limit, const struct rate_state *state,
                                 int64_t now_us)
{
    struct rate_state debt = {state->tat_us - now_us, state->fraction};
    if (debt.fraction >= limit->limit) debt.fraction = 0;
    if (debt.tat_us < 0) debt = (struct rate_state){0};
    if (debt.tat_us >= window_us(limit)) debt = (struct rate_state){window_us(limit), 0};
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
    *state = (struct rate_state){now_us + debt.tat_us, debt.fraction};
}

void rate_refund(const struct rate_limit *limit, struct rate_state *state)
{
    uint32_t fraction = (uint32_t)((uint64_t)window_us(limit) % limit->limit);
    uint32_t have = state->fraction < limit->limit ? state->fraction : 0;
    state->tat_us -= window_us(limit) / limit->limit;
    if (have < fraction) {
        have += limit->limit;
        state->tat_us--;
    }
    state->fraction = have - fraction;
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
