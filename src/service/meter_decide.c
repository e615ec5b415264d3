/* Deciding one call in memory. Loop thread. Every denial is decided before anything is charged; a
 * call that lacks a load or units is put where it waits, and decided anew when that has come. */
#include "service/meter_private.h"

#include "base/clock.h"
#include "core/period.h"
#include "core/permission.h"

#include <stdlib.h>

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

/* Fills what the caller may show. Called right before done, while the key is pinned. */
static void call_describe(struct meter *meter, struct verify_call *call)
{
    const struct meter_secret *secret = call->secret;
    struct meter_key *key = secret ? secret->key : NULL;
    call->key = (struct verify_key){0};
    call->rate_count = 0;
    if (!key || call->code == VERIFY_NOT_FOUND || call->code == VERIFY_UNAVAILABLE) return;
    struct meter_customer *customer = key->customer;
    call->key = (struct verify_key){.key_id = key->id,
                                    .customer_id = customer->id,
                                    .external_id = customer->external_id,
                                    .tier = customer->tier ? customer->tier->tier.slug : "",
                                    .permissions = key->permissions,
                                    .metadata_json = key->metadata_json,
                                    .live = key->live,
                                    .secret_expires_at = secret->expires_at,
                                    .key_expires_at = key->expires_at};
    if (!customer->tier) return;
    unsigned count;
    const struct rate_limit *limits = key_limits(meter, key, &count);
    int64_t now_us = clock_mono_us();
    for (unsigned i = 0; i < count; i++) {
        call->rate_limits[i] = limits[i];
        rate_check(&limits[i], &key->states[i], now_us, &call->rates[i]);
    }
    call->rate_count = count;
}

static void quota_describe(struct verify_call *call)
{
    const struct meter_budget *budget = call->budget;
    call->quota = (struct verify_quota){0};
    if (!budget || !budget->known || call->code == VERIFY_UNAVAILABLE) return;
    int64_t used = budget->claimed - (int64_t)budget_unspent(budget);
    call->quota = (struct verify_quota){
        .known = true,
        .limited = budget->limited,
        .limit = budget->limit,
        .used = used > 0 ? (uint64_t)used : 0,
        .period_start = budget->key.period_start,
        .resets_at = period_month_next(budget->key.period_start),
    };
    if (budget->limit > call->quota.used) call->quota.remaining = budget->limit - call->quota.used;
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
    call_unpin(call);
    call->done(call);
}

void call_uncharge(struct verify_call *call)
{
    if (call->charged) call->budget->spent -= call->charged;
    call->charged = 0;
    struct meter_key *key = call->secret ? call->secret->key : NULL;
    if (call->rate_charged && key && key->merged)
        for (unsigned i = 0; i < key->state_count; i++)
            rate_refund(&key->merged[i], &key->states[i]);
    call->rate_charged = false;
}

static bool network_allows(const struct meter_key *key, const struct address *address)
{
    if (!key->network_count) return true;
    for (unsigned i = 0; i < key->network_count && address->length; i++)
        if (network_contains(&key->networks[i], address)) return true;
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
    if (!permission_all(span_text(key->permissions ? key->permissions : ""), call->permissions))
        return VERIFY_INSUFFICIENT_PERMISSIONS;
    return VERIFY_VALID;
}

static enum verify_code rate_decide(struct meter *meter, struct verify_call *call, int64_t now_us)
{
    struct meter_key *key = call->secret->key;
    unsigned count;
    const struct rate_limit *limits = key_limits(meter, key, &count);
    for (unsigned i = 0; i < count; i++) {
        struct rate_view view;
        rate_check(&limits[i], &key->states[i], now_us, &view);
        if (view.allowed) continue;
        if (view.retry_after_seconds > call->retry_after_s)
            call->retry_after_s = view.retry_after_seconds;
    }
    return call->retry_after_s ? VERIFY_RATE_LIMITED : VERIFY_VALID;
}

static void rate_charge_all(struct meter *meter, struct verify_call *call, int64_t now_us)
{
    struct meter_key *key = call->secret->key;
    unsigned count;
    const struct rate_limit *limits = key_limits(meter, key, &count);
    for (unsigned i = 0; i < count; i++)
        rate_charge(&limits[i], &key->states[i], now_us);
    call->rate_charged = true;
}

static void call_join_batch(struct meter *meter, struct verify_call *call, enum verify_code code)
{
    call->code = code;
    list_remove(&call->link);
    list_append(&meter->open, &call->link);
}

/* Takes the units, or says why not yet. False: the call now waits for its budget. */
static bool quota_decide(struct meter *meter, struct verify_call *call, enum verify_code *code)
{
    struct meter_budget *budget = call->budget;
    if (!call->cost && budget->known && !budget->void_) return true;
    bool may_spend = budget->known && !budget->frozen && !budget->void_ && !budget->release;
    if (may_spend && list_empty(&budget->waiters) && budget_unspent(budget) >= call->cost)
        return true;
    if (may_spend && budget->exceeded && budget_unspent(budget) < call->cost &&
        (int64_t)call->cost > budget->available + (int64_t)budget_unspent(budget)) {
        *code = VERIFY_QUOTA_EXCEEDED;
        return true;
    }
    lease_want(meter, budget, call);
    return false;
}

void call_decide(struct meter *meter, struct verify_call *call)
{
    struct meter_secret *secret = call->secret;
    if (!secret_is_current(meter, secret)) {
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
    if (secret->key)
        call->budget =
            budget_get(meter, secret->key->customer, period_month_start(call->decided_ms));
    if (call->budget) call->budget->touched_us = clock_mono_us();
    if (code != VERIFY_VALID || !call->budget) {
        call_join_batch(meter, call, secret->key && !call->budget ? VERIFY_UNAVAILABLE : code);
        return;
    }
    int64_t now_us = clock_mono_us();
    code = rate_decide(meter, call, now_us);
    if (code == VERIFY_VALID && !quota_decide(meter, call, &code)) return;
    if (code == VERIFY_VALID) {
        rate_charge_all(meter, call, now_us);
        if (call->cost) budget_spend(call->budget, call->cost, now_us);
        call->charged = call->cost;
        lease_refill(meter, call->budget);
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

struct journal_entry call_entry(const struct verify_call *call)
{
    const struct meter_secret *secret = call->secret;
    struct journal_entry entry = {
        .secret_id = secret->id,
        .key_id = secret->key->id,
        .customer_id = secret->key->customer->id,
        .hour = period_hour_start(call->decided_ms),
        .period_start = period_month_start(call->decided_ms),
        .units = (int64_t)call->charged,
        .allowed = call->code == VERIFY_VALID,
        .denied_quota = call->code == VERIFY_QUOTA_EXCEEDED,
        .denied_rate = call->code == VERIFY_RATE_LIMITED,
    };
    entry.denied_other = !entry.allowed && !entry.denied_quota && !entry.denied_rate;
    if (!entry.allowed) return entry;
    struct address prefix;
    entry.last_used_ms = call->decided_ms;
    address_prefix(&call->address, &prefix);
    entry.network_length = (uint8_t)prefix.length;
    memcpy(entry.network, prefix.bytes, sizeof entry.network);
    return entry;
}
