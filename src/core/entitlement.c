/* The entitlement machine. Called by sign-ups, readings of providers, approvals and the clock's own
 * work, on DB threads. What always holds: only a payment that pays makes a tier, what lapsed comes
 * back with the next one, and the same readings in any order end alike once the newest was taken.
 */
#include "core/entitlement.h"

#include "core/period.h"

#include <stdio.h>

static const int64_t reminders_ms[] = {14 * DAY_MS, 3 * DAY_MS};

static const char *const pay_names[] = {
    [PAY_NONE] = "none",
    [PAY_ACTIVE] = "active",
    [PAY_TRIALING] = "trialing",
    [PAY_PAST_DUE] = "past_due",
    [PAY_UNPAID] = "unpaid",
    [PAY_CANCELED] = "canceled",
    [PAY_INCOMPLETE] = "incomplete",
    [PAY_INCOMPLETE_EXPIRED] = "incomplete_expired",
    [PAY_PAUSED] = "paused",
};
static const char *const state_names[] = {
    [ENTITLED_PENDING] = "pending",       [ENTITLED_ACTIVE] = "active",
    [ENTITLED_PAST_DUE] = "past_due",     [ENTITLED_SUSPENDED] = "suspended",
    [ENTITLED_DOWNGRADED] = "downgraded",
};

/* ---- words ---- */

static int word_find(const char *const *words, size_t count, struct span word)
{
    for (size_t i = 0; i < count; i++)
        if (span_is(word, words[i])) return (int)i;
    return -1;
}

bool pay_status_pays(enum pay_status status)
{
    return status == PAY_ACTIVE || status == PAY_TRIALING;
}

bool pay_status_ended(enum pay_status status)
{
    return status == PAY_CANCELED || status == PAY_INCOMPLETE_EXPIRED || status == PAY_NONE;
}

const char *pay_status_name(enum pay_status status)
{
    return pay_names[status];
}

bool pay_status_parse(struct span word, enum pay_status *status)
{
    int at = word_find(pay_names, COUNT_OF(pay_names), word);
    if (at >= 0) *status = (enum pay_status)at;
    return at >= 0;
}

const char *entitlement_state_name(enum entitlement_state state)
{
    return state_names[state];
}

bool entitlement_state_parse(struct span word, enum entitlement_state *state)
{
    int at = word_find(state_names, COUNT_OF(state_names), word);
    if (at >= 0) *state = (enum entitlement_state)at;
    return at >= 0;
}

bool tier_is_lower(const struct tier *tier, const struct tier *than)
{
    if (tier->has_quota != than->has_quota) return tier->has_quota;
    if (tier->has_quota && tier->monthly_quota != than->monthly_quota)
        return tier->monthly_quota < than->monthly_quota;
    return tier->max_keys < than->max_keys;
}

/* ---- moves ---- */

static void slug_set(char out[TIER_SLUG_SIZE], const char *slug)
{
    snprintf(out, TIER_SLUG_SIZE, "%s", slug);
}

static bool holds_tier(const struct entitlement *entitlement)
{
    return entitlement->state == ENTITLED_ACTIVE || entitlement->state == ENTITLED_PAST_DUE;
}

static void end_set(struct entitlement *entitlement, int64_t ends_at)
{
    if (entitlement->ends_at == ends_at) return;
    entitlement->ends_at = ends_at;
    entitlement->reminded = 0;
}

/* Keeps the tier until the grace is over; one that runs is not begun anew. */
static void grace_begin(struct entitlement *entitlement, int64_t grace_ms, int64_t now_ms)
{
    if (entitlement->state == ENTITLED_PAST_DUE) return;
    entitlement->state = ENTITLED_PAST_DUE;
    entitlement->lapses++;
    end_set(entitlement, now_ms + grace_ms);
}

static void lapse(struct entitlement *entitlement, const struct pay_rules *rules)
{
    if (entitlement->state == ENTITLED_ACTIVE) entitlement->lapses++;
    entitlement->later_tier[0] = '\0';
    entitlement->later_at = 0;
    entitlement->state = ENTITLED_SUSPENDED;
    if (rules->on_lapse != ON_LAPSE_FREE || !rules->has_free) return;
    entitlement->state = ENTITLED_DOWNGRADED;
    slug_set(entitlement->tier, FREE_TIER);
}

static void tier_now(struct entitlement *entitlement, const char *slug)
{
    slug_set(entitlement->tier, slug);
    entitlement->later_tier[0] = '\0';
    entitlement->later_at = 0;
}

/* A tier that is paid for. A larger one counts at once; a smaller one when what was paid for the
 * larger one is over. */
static void tier_take(struct entitlement *entitlement, const struct pay_facts *facts,
                      const struct pay_rules *rules, const char *slug)
{
    int64_t until = entitlement->later_at ? entitlement->later_at : entitlement->paid_until;
    bool same = strcmp(entitlement->tier, slug) == 0;
    if (facts->period_end && until > facts->period_end) until = facts->period_end;
    bool over = !until || (facts->period_start && facts->period_start >= until);
    if (same || !holds_tier(entitlement) || !facts->lower || rules->lower_at_once || over) {
        tier_now(entitlement, slug);
        return;
    }
    slug_set(entitlement->later_tier, slug);
    entitlement->later_at = until;
}

static void paid(struct entitlement *entitlement, const struct pay_facts *facts,
                 const struct pay_rules *rules, int64_t ends_at)
{
    const char *slug = facts->tier ? facts->tier : entitlement->paid_tier;
    tier_take(entitlement, facts, rules, slug);
    slug_set(entitlement->paid_tier, slug);
    entitlement->state = ENTITLED_ACTIVE;
    entitlement->paid_until = entitlement->period_end;
    end_set(entitlement, ends_at);
}

static bool is_terminal(enum pay_status status)
{
    return status == PAY_CANCELED || status == PAY_INCOMPLETE_EXPIRED || status == PAY_PAUSED;
}

/* Ended, and paid for beyond now: what was paid runs on to its end. */
static bool runs_out(const struct entitlement *entitlement, const struct pay_facts *facts,
                     const struct pay_rules *rules, int64_t now_ms)
{
    return is_terminal(facts->status) && !facts->owes && !rules->ends_at_once &&
           entitlement->state != ENTITLED_PENDING && entitlement->period_end > now_ms;
}

static void unpaid(struct entitlement *entitlement, const struct pay_facts *facts,
                   const struct pay_rules *rules, int64_t now_ms)
{
    bool refunded = pay_status_pays(facts->status), ends = is_terminal(facts->status);
    bool waits = facts->status == PAY_PAST_DUE || facts->status == PAY_INCOMPLETE;
    bool begins = !refunded && (!ends || facts->owes);
    if (facts->tier && facts->lower) { /* no money makes it larger, but none is wanted to shrink */
        tier_take(entitlement, facts, rules, facts->tier);
        slug_set(entitlement->paid_tier, facts->tier);
    }
    if (begins) grace_begin(entitlement, rules->grace_ms, now_ms);
    bool in_grace = begins || (ends && entitlement->state == ENTITLED_PAST_DUE);
    if (in_grace && (waits || !rules->ends_at_once)) return;
    end_set(entitlement, now_ms);
}

/* A refund ends the period that ran then; the next one that is paid counts again, not one that has
 * merely begun: its invoice is a draft at first. */
static bool is_refunded(struct entitlement *entitlement, const struct pay_facts *facts,
                        int64_t now_ms)
{
    if (facts->refunded && !entitlement->refunded_at) entitlement->refunded_at = now_ms;
    bool next = facts->period_start > entitlement->refunded_at;
    if (next && !facts->owes) entitlement->refunded_at = 0;
    return entitlement->refunded_at != 0;
}

void entitlement_read(struct entitlement *entitlement, const struct pay_facts *facts,
                      const struct pay_rules *rules, int64_t now_ms)
{
    bool refunded = is_refunded(entitlement, facts, now_ms);
    entitlement->payment = facts->status;
    if (facts->period_start) entitlement->period_start = facts->period_start;
    if (facts->period_end) entitlement->period_end = facts->period_end;
    if (pay_status_pays(facts->status) && !refunded)
        paid(entitlement, facts, rules, facts->ends_at);
    else if (!refunded && runs_out(entitlement, facts, rules, now_ms))
        paid(entitlement, facts, rules, entitlement->period_end);
    else if (holds_tier(entitlement))
        unpaid(entitlement, facts, rules, now_ms);
    entitlement_tick(entitlement, rules, now_ms);
}

void entitlement_tick(struct entitlement *entitlement, const struct pay_rules *rules,
                      int64_t now_ms)
{
    if (rules->clock_rests || !holds_tier(entitlement)) return;
    if (entitlement->later_tier[0] && now_ms >= entitlement->later_at) {
        char slug[TIER_SLUG_SIZE];
        slug_set(slug, entitlement->later_tier);
        tier_now(entitlement, slug);
    }
    if (entitlement->ends_at && now_ms >= entitlement->ends_at) lapse(entitlement, rules);
}

/* ---- time ---- */

/* Whether its end was agreed: of a grace the first notice said it all. */
static bool reminds(const struct entitlement *entitlement)
{
    return entitlement->state == ENTITLED_ACTIVE && entitlement->ends_at;
}

uint32_t entitlement_reminders(const struct entitlement *entitlement, int64_t now_ms)
{
    uint32_t count = 0;
    if (!reminds(entitlement)) return 0;
    while (count < COUNT_OF(reminders_ms) && now_ms >= entitlement->ends_at - reminders_ms[count])
        count++;
    return count;
}

static int64_t earlier(int64_t one, int64_t other)
{
    if (!one || !other) return one ? one : other;
    return one < other ? one : other;
}

int64_t entitlement_look_at(const struct entitlement *entitlement)
{
    if (!holds_tier(entitlement)) return 0;
    int64_t at = earlier(entitlement->ends_at, entitlement->later_at);
    if (reminds(entitlement) && entitlement->reminded < COUNT_OF(reminders_ms))
        at = earlier(at, entitlement->ends_at - reminders_ms[entitlement->reminded]);
    return at;
}

/* ---- what it comes to ---- */

enum entitlement_news entitlement_news(const struct entitlement *before,
                                       const struct entitlement *after)
{
    if (before->state == after->state) return NEWS_NONE;
    switch (after->state) {
    case ENTITLED_PENDING:
        return NEWS_NONE;
    case ENTITLED_ACTIVE:
        return before->state == ENTITLED_PENDING ? NEWS_NONE : NEWS_RESTORED;
    case ENTITLED_PAST_DUE:
        return NEWS_PAYMENT_FAILED;
    case ENTITLED_SUSPENDED:
        return NEWS_SUSPENDED;
    case ENTITLED_DOWNGRADED:
        return NEWS_DOWNGRADED;
    }
    return NEWS_NONE;
}

bool entitlement_equal(const struct entitlement *one, const struct entitlement *other)
{
    return one->state == other->state && one->payment == other->payment &&
           strcmp(one->tier, other->tier) == 0 && strcmp(one->paid_tier, other->paid_tier) == 0 &&
           strcmp(one->later_tier, other->later_tier) == 0 && one->later_at == other->later_at &&
           one->period_start == other->period_start && one->period_end == other->period_end &&
           one->paid_until == other->paid_until && one->ends_at == other->ends_at &&
           one->refunded_at == other->refunded_at && one->lapses == other->lapses &&
           one->reminded == other->reminded;
}
