/* Deciding one call in memory. Loop thread. Every denial is decided before anything is charged; a
 * call that lacks a load or units is put where it waits, and decided anew when that has come. */
#include "service/meter_private.h"

#include "base/clock.h"
#include "core/period.h"
#include "core/permission.h"

#include <stdlib.h>

enum { USE_WINDOW_MS = 5 * 60 * 1000 };

static const char *const code_names[] = {
    "VALID",
    "NOT_FOUND",
    "REVOKED",
    "DISABLED",
    "EXPIRED",
    "SUSPENDED",
    "INSUFFICIENT_PERMISSIONS",
    "IP_NOT_ALLOWED",
    "RATE_LIMITED",
    "QUOTA_EXCEEDED",
    "UNAVAILABLE",
};

const char *verify_code_name(enum verify_code code)
{
    return code_names[code];
}

static const char *text_or(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

/* Fills what the caller may show. Called right before done, while the key is pinned. */
static void call_describe(struct meter *meter, struct verify_call *call)
{
    const struct meter_secret *secret = call->secret;
    struct meter_key *key = secret ? secret->key : NULL;
    call->key = (struct verify_key){0};
    call->rate_count = 0;
    if (!key || call->code == VERIFY_NOT_FOUND || call->code == VERIFY_UNAVAILABLE) return;
    struct meter_customer *customer = key->customer;
    const struct meter_extras *extras = key->extras;
    call->key =
        (struct verify_key){.key_id = key->id,
                            .customer_id = customer->id,
                            .external_id = customer->external_id,
                            .tier = customer->tier ? customer->tier->slug : "",
                            .permissions = text_or(extras ? extras->permissions : NULL, ""),
                            .metadata_json = text_or(extras ? extras->metadata_json : NULL, "{}"),
                            .live = key->live,
                            .secret_expires_at = secret->expires_at,
                            .key_expires_at = key->expires_at};
    if (!customer->tier) return;
    struct rate_state *states;
    const struct limit_set *set = key_limits(meter, key, &states);
    int64_t now_us = clock_mono_us();
    for (unsigned i = 0; set && i < set->count; i++) {
        call->rate_limits[i] = set->limits[i];
        rate_check(&set->limits[i], &states[i], now_us, &call->rates[i]);
        call->rate_count = i + 1;
    }
}

static bool quota_view(const struct meter_budget *budget, const struct period *period,
                       struct verify_quota *view)
{
    if (!budget || !budget->known) return false;
    int64_t used = budget->claimed - (int64_t)budget_unspent(budget);
    *view = (struct verify_quota){
        .known = true,
        .limited = budget->has_limit,
        .limit = budget->limit,
        .used = used > 0 ? (uint64_t)used : 0,
        .period_start = budget->key.period_start,
        .resets_at = period->next_ms,
    };
    if (budget->limit > view->used) view->remaining = budget->limit - view->used;
    return true;
}

/* The customer's quota, or the key's cap where that leaves less. */
static void quota_describe(struct verify_call *call)
{
    struct verify_quota cap;
    call->quota = (struct verify_quota){0};
    if (call->code == VERIFY_UNAVAILABLE) return;
    quota_view(call->budgets[VERIFY_BUDGET_QUOTA], &call->period, &call->quota);
    if (!quota_view(call->budgets[VERIFY_BUDGET_CAP], &call->period, &cap) || !cap.limited) return;
    if (!call->quota.limited || cap.remaining < call->quota.remaining) call->quota = cap;
}

static void call_unpin(struct verify_call *call)
{
    if (call->secret) call->secret->pins--;
    call->secret = NULL;
}

void call_answer(struct meter *meter, struct verify_call *call, enum verify_code code)
{
    call->code = code;
    list_remove(&call->link);
    list_remove(&call->age);
    meter->waiting--;
    call_describe(meter, call);
    quota_describe(call);
    if (code == VERIFY_QUOTA_EXCEEDED && call->quota.known) {
        int64_t wait_ms = call->quota.resets_at - call->decided_ms;
        call->retry_after_s = wait_ms > 0 ? (unsigned)((wait_ms + 999) / 1000) : 1;
    }
    meter->stats.codes[code]++;
    if (code == VERIFY_UNAVAILABLE) meter->stats.unavailable[call->cause]++;
    histogram_add(&meter->stats.answer_us, (uint64_t)(clock_mono_us() - call->arrived_us));
    call_unpin(call);
    call->done(call);
}

void call_uncharge(struct verify_call *call)
{
    /* What a former incarnation's lease was charged is settled by the fold, not given back here. */
    for (int i = 0; call->charged && i < VERIFY_BUDGETS; i++) {
        struct meter_budget *budget = call->budgets[i];
        if (budget && call->charged_in == budget->incarnation) budget->spent -= call->charged;
    }
    call->charged = 0;
    struct meter_key *key = call->secret ? call->secret->key : NULL;
    unsigned count = 0;
    struct rate_state *states = key ? key_states(key, &count) : NULL;
    for (unsigned i = 0; call->rate_charged && i < count; i++)
        rate_refund(&states[i]);
    call->rate_charged = false;
}

static bool network_allows(const struct meter_key *key, const struct address *address)
{
    const struct meter_extras *extras = key->extras;
    if (!extras || !extras->network_count) return true;
    for (unsigned i = 0; i < extras->network_count && address->length; i++)
        if (network_contains(&extras->networks[i], address)) return true;
    return false;
}

/* Everything but limits; VERIFY_VALID when nothing stands against the call. */
static enum verify_code status_decide(const struct verify_call *call, int64_t now_ms)
{
    const struct meter_secret *secret = call->secret;
    const struct meter_key *key = secret->key;
    if (!key) return VERIFY_NOT_FOUND;
    if (key->revoked) return VERIFY_REVOKED;
    if (key->suspended || !key->customer->active) return VERIFY_SUSPENDED;
    if (key->disabled) return VERIFY_DISABLED;
    if (key->expires_at && now_ms >= key->expires_at) return VERIFY_EXPIRED;
    if (secret->expires_at && now_ms >= secret->expires_at) return VERIFY_EXPIRED;
    if (!network_allows(key, &call->address)) return VERIFY_IP_NOT_ALLOWED;
    const char *granted = text_or(key->extras ? key->extras->permissions : NULL, "");
    if (!permission_all(span_text(granted), call->permissions))
        return VERIFY_INSUFFICIENT_PERMISSIONS;
    return VERIFY_VALID;
}

static enum verify_code rate_decide(struct meter *meter, struct verify_call *call, int64_t now_us)
{
    struct rate_state *states;
    const struct limit_set *set = key_limits(meter, call->secret->key, &states);
    if (!set) return VERIFY_UNAVAILABLE;
    for (unsigned i = 0; i < set->count; i++) {
        struct rate_view view;
        rate_check(&set->limits[i], &states[i], now_us, &view);
        if (view.allowed) continue;
        if (view.retry_after_seconds > call->retry_after_s)
            call->retry_after_s = view.retry_after_seconds;
    }
    return call->retry_after_s ? VERIFY_RATE_LIMITED : VERIFY_VALID;
}

static void rate_charge_all(struct meter *meter, struct verify_call *call, int64_t now_us)
{
    struct rate_state *states;
    const struct limit_set *set = key_limits(meter, call->secret->key, &states);
    for (unsigned i = 0; set && i < set->count; i++)
        rate_charge(&set->limits[i], &states[i], now_us);
    call->rate_charged = true;
}

static void call_join_batch(struct meter *meter, struct verify_call *call, enum verify_code code)
{
    call->code = code;
    list_remove(&call->link);
    list_append(&meter->open, &call->link);
}

/* Whether the units are there, or why not yet. False: the call now waits for this budget. */
static bool budget_decide(struct meter *meter, struct verify_call *call,
                          struct meter_budget *budget, enum verify_code *code)
{
    if (!call->cost && budget->known && !budget->void_) return true;
    bool may_spend = budget->known && !budget->frozen && !budget->void_ && !budget->release;
    if (may_spend && list_empty(&budget->waiters) && budget_unspent(budget) >= call->cost)
        return true;
    if (may_spend && budget->exceeded && budget_unspent(budget) < call->cost &&
        (int64_t)call->cost > budget->available + (int64_t)budget_unspent(budget)) {
        *code = VERIFY_QUOTA_EXCEEDED;
        call->denied_by = budget;
        return true;
    }
    lease_want(meter, budget, call);
    return false;
}

/* Nothing is taken before all of them have the units: a call never holds some while it waits. */
static bool quota_decide(struct meter *meter, struct verify_call *call, enum verify_code *code)
{
    for (int i = 0; i < VERIFY_BUDGETS && *code == VERIFY_VALID; i++)
        if (call->budgets[i] && !budget_decide(meter, call, call->budgets[i], code)) return false;
    return true;
}

static void quota_charge(struct meter *meter, struct verify_call *call, int64_t now_us)
{
    for (int i = 0; i < VERIFY_BUDGETS; i++) {
        struct meter_budget *budget = call->budgets[i];
        if (!budget) continue;
        if (call->cost) budget_spend(budget, call->cost, now_us);
        lease_refill(meter, budget);
    }
    call->charged = call->cost;
    call->charged_in = meter->incarnation;
}

/* Finds what the call counts against. False: no memory. */
static bool budgets_find(struct meter *meter, struct verify_call *call)
{
    struct meter_key *key = call->secret->key;
    struct meter_budget **budgets = call->budgets;
    call->period = *customer_period(key->customer, call->decided_ms);
    memset(budgets, 0, sizeof call->budgets);
    if (key->live) budgets[VERIFY_BUDGET_QUOTA] = budget_get(meter, key->customer, &call->period);
    bool capped = key->extras && key->extras->capped;
    if (capped) budgets[VERIFY_BUDGET_CAP] = cap_get(meter, key, &call->period);
    for (int i = 0; i < VERIFY_BUDGETS; i++)
        if (budgets[i]) budgets[i]->touched_us = clock_mono_us();
    return (!key->live || budgets[VERIFY_BUDGET_QUOTA]) && (!capped || budgets[VERIFY_BUDGET_CAP]);
}

void call_decide(struct meter *meter, struct verify_call *call)
{
    struct meter_secret *secret = call->secret;
    if (!secret_is_current(meter, secret)) {
        if (meter->sources_stale)
            load_tiers_want(meter, call);
        else
            load_want(meter, call, secret);
        return;
    }
    if (secret->key && (meter->tiers_stale || !secret->key->customer->tier)) {
        load_tiers_want(meter, call);
        return;
    }
    call->decided_ms = clock_wall_ms();
    call->retry_after_s = 0;
    enum verify_code code = status_decide(call, call->decided_ms);
    call->by_memory = false;
    if (secret->key && !budgets_find(meter, call)) code = VERIFY_UNAVAILABLE;
    if (code != VERIFY_VALID) {
        call_join_batch(meter, call, code);
        return;
    }
    int64_t now_us = clock_mono_us();
    code = rate_decide(meter, call, now_us);
    if (code == VERIFY_VALID && !quota_decide(meter, call, &code)) return;
    if (code == VERIFY_VALID) {
        rate_charge_all(meter, call, now_us);
        quota_charge(meter, call, now_us);
        call->by_memory = secret->key->customer->tier->ack == ACK_MEMORY;
    }
    call_join_batch(meter, call, code);
}

void calls_decide(struct meter *meter, struct list *calls)
{
    struct list again;
    list_init(&again);
    list_splice(&again, calls);
    for (struct list *link; (link = list_shift(&again));)
        call_decide(meter, CONTAINER_OF(link, struct verify_call, link));
}

static uint32_t hour_of(const struct verify_call *call)
{
    return (uint32_t)(call->decided_ms / HOUR_MS);
}

/* Never 0; comes again after 227 days. */
static uint16_t window_of(const struct verify_call *call)
{
    return (uint16_t)(call->decided_ms / USE_WINDOW_MS % UINT16_MAX + 1);
}

void call_counted(struct meter *meter, const struct verify_call *call)
{
    struct meter_secret *secret = call->secret;
    if (!secret->key || call->code != VERIFY_VALID) return;
    secret->key->active_hour = hour_of(call);
    uint16_t window = window_of(call);
    if (meter->uses.number != window)
        meter->uses = (struct use_window){.number = window, .many = meter->uses.many};
    if (secret->used_in != window) meter->uses.secrets++;
    secret->used_in = window;
}

/* Whether the journal has said in this window that the secret was used, and there are so many that
 * to write each one's last use every second would be half of the fold's work. Its first use is
 * always written, and each of a replaced secret: a reminder names the networks that still use it.
 */
static bool use_is_told(const struct meter *meter, const struct verify_call *call)
{
    return !call->secret->replaced && meter->uses.secrets > meter->uses.many &&
           call->secret->used_in == window_of(call) &&
           call->secret->key->active_hour == hour_of(call);
}

struct journal_entry call_entry(const struct meter *meter, const struct verify_call *call)
{
    const struct meter_secret *secret = call->secret;
    struct journal_entry entry = {
        .secret_id = secret->id,
        .key_id = secret->key->id,
        .customer_id = secret->key->customer->id,
        .hour = period_hour_start(call->decided_ms),
        .period_start = call->period.start_ms,
        .units = (int64_t)call->charged,
        .allowed = call->code == VERIFY_VALID,
        .denied_quota = call->code == VERIFY_QUOTA_EXCEEDED,
        .denied_rate = call->code == VERIFY_RATE_LIMITED,
    };
    if (!secret->key->live) entry.flags |= JOURNAL_QUOTA_FREE;
    if (call->budgets[VERIFY_BUDGET_CAP]) entry.flags |= JOURNAL_CAPPED;
    entry.denied_other = !entry.allowed && !entry.denied_quota && !entry.denied_rate;
    if (!entry.allowed) return entry;
    if (secret->key->active_hour != hour_of(call)) entry.flags |= JOURNAL_ACTIVE;
    if (use_is_told(meter, call)) return entry;
    struct address prefix;
    entry.last_used_ms = call->decided_ms;
    address_prefix(&call->address, &prefix);
    entry.network_length = (uint8_t)prefix.length;
    memcpy(entry.network, prefix.bytes, sizeof entry.network);
    return entry;
}
