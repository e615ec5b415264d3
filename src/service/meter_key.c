/* What the key table holds of a key and of tiers: extras, limits in force, rate-limit states. Loop
 * thread. States follow their limit's name through every change, so that nobody gets a fresh burst
 * by a reload. */
#include "service/meter_private.h"

#include "base/codec.h"
#include "base/log.h"

#include <jansson.h>
#include <stdlib.h>

struct meter_tier *meter_tier_find(struct meter *meter, struct span slug)
{
    for (unsigned i = 0; i < meter->tier_count; i++)
        if (span_is(slug, meter->tiers[i].slug)) return &meter->tiers[i];
    return NULL;
}

/* ---- limit sets ---- */
static struct limit_set *set_new(const struct rate_limit *limits, unsigned count)
{
    struct limit_set *set = malloc(sizeof *set + count * sizeof *limits);
    if (!set) return NULL;
    set->users = 1;
    set->count = count;
    memcpy(set->limits, limits, count * sizeof *limits);
    return set;
}

static void set_release(struct limit_set *set)
{
    if (set && !--set->users) free(set);
}

bool meter_tier_set(struct meter *meter, const struct tier *tier)
{
    struct meter_tier *own = meter_tier_find(meter, span_text(tier->slug));
    if (!own && meter->tier_count == COUNT_OF(meter->tiers)) return false;
    struct limit_set *limits = set_new(tier->rate_limits, tier->rate_limit_count);
    if (!limits) return false;
    if (!own) own = &meter->tiers[meter->tier_count++];
    memcpy(own->slug, tier->slug, sizeof own->slug);
    set_release(own->limits);
    own->limits = limits;
    own->ack = tier->ack;
    return true;
}

void meter_tiers_done(struct meter *meter)
{
    for (unsigned i = 0; i < meter->tier_count; i++)
        set_release(meter->tiers[i].limits);
    meter->tier_count = 0;
}

/* The tier's set, or one of the key's own. NULL: no memory. */
static struct limit_set *set_of(const struct meter_key *key)
{
    struct limit_set *tiers = key->customer->tier->limits;
    if (!key->extras || !key->extras->limit_count) {
        tiers->users++;
        return tiers;
    }
    struct rate_limit merged[RATE_LIMITS_MAX];
    unsigned count = rate_limits_merge(tiers->limits, tiers->count, key->extras->limits,
                                       key->extras->limit_count, merged);
    return set_new(merged, count);
}

struct rate_state *key_states(struct meter_key *key, unsigned *count)
{
    *count = key->limits ? key->limits->count : 0;
    return *count > STATES_INSIDE ? key->states.outside : key->states.inside;
}

/* Moves the states to their places beside `set`. False: no memory, nothing changed. */
static bool states_move(struct meter_key *key, const struct limit_set *set)
{
    struct rate_state moved[RATE_LIMITS_MAX] = {0}, *outside = NULL;
    unsigned count;
    struct rate_state *before = key_states(key, &count);
    for (unsigned i = 0; i < set->count; i++)
        for (unsigned j = 0; j < count; j++)
            if (!strcmp(key->limits->limits[j].name, set->limits[i].name)) moved[i] = before[j];
    if (set->count > STATES_INSIDE) {
        outside = malloc(set->count * sizeof *outside);
        if (!outside) return false;
        memcpy(outside, moved, set->count * sizeof *outside);
    }
    if (count > STATES_INSIDE) free(before);
    if (outside)
        key->states.outside = outside;
    else
        memcpy(key->states.inside, moved, sizeof key->states.inside);
    return true;
}

const struct limit_set *key_limits(struct meter *meter, struct meter_key *key,
                                   struct rate_state **states)
{
    unsigned count;
    if (!key->limits || key->limits_at != meter->tier_loads) {
        struct limit_set *set = set_of(key);
        if (!set) return NULL;
        if (set != key->limits && !states_move(key, set)) {
            set_release(set);
            return NULL;
        }
        set_release(key->limits);
        key->limits = set;
        key->limits_at = meter->tier_loads;
    }
    *states = key_states(key, &count);
    return key->limits;
}

/* ---- extras ---- */
static char *copy_text(struct span text)
{
    char *copy = malloc(text.length + 1);
    if (!copy) return NULL;
    memcpy(copy, text.data, text.length);
    copy[text.length] = 0;
    return copy;
}

static bool is_empty(struct span json, const char *empty)
{
    return !json.length || span_is(json, empty);
}

/* One that cannot be read stays zeroed and counts: it admits nobody, instead of everybody. So does
 * a list that cannot be read. False: no memory. */
static bool networks_read(struct meter_extras *extras, struct span json)
{
    if (is_empty(json, "[]")) return true;
    json_t *array = json_loadb(json.data, json.length, 0, NULL);
    size_t count = json_is_array(array) ? json_array_size(array) : 1;
    if (count) extras->networks = calloc(count, sizeof *extras->networks);
    for (size_t i = 0; extras->networks && i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        char error[NETWORK_ERROR_SIZE];
        if (!text || network_parse(span_text(text), &extras->networks[i], error) != ERR_OK)
            extras->networks[i] = (struct network){0};
    }
    extras->network_count = (unsigned)count;
    json_decref(array);
    return !count || extras->networks;
}

static bool limits_read(struct meter_extras *extras, struct span json)
{
    struct rate_limit limits[RATE_LIMITS_MAX];
    if (is_empty(json, "[]")) return true;
    if (!rate_limits_from_json(json, limits, &extras->limit_count)) {
        extras->unreadable = true;
        return true;
    }
    if (!extras->limit_count) return true;
    extras->limits = malloc(extras->limit_count * sizeof *limits);
    if (!extras->limits) return false;
    memcpy(extras->limits, limits, extras->limit_count * sizeof *limits);
    return true;
}

static void extras_free(struct meter_extras *extras)
{
    if (!extras) return;
    if (extras->cap) extras->cap->extras = NULL;
    free(extras->permissions);
    free(extras->metadata_json);
    free(extras->networks);
    free(extras->limits);
    free(extras);
}

/* *out is NULL when the row has none. False: no memory. */
static bool extras_read(const struct key_load_row *row, struct meter_extras **out)
{
    *out = NULL;
    if (!row->capped && !row->permissions.length && is_empty(row->metadata_json, "{}") &&
        is_empty(row->networks_json, "[]") && is_empty(row->rate_limits_json, "[]"))
        return true;
    struct meter_extras *extras = calloc(1, sizeof *extras);
    if (!extras) return false;
    bool whole = true;
    extras->capped = row->capped;
    if (row->permissions.length) whole = (extras->permissions = copy_text(row->permissions));
    if (whole && !is_empty(row->metadata_json, "{}"))
        whole = (extras->metadata_json = copy_text(row->metadata_json));
    whole = whole && networks_read(extras, row->networks_json) &&
            limits_read(extras, row->rate_limits_json);
    if (whole)
        *out = extras;
    else
        extras_free(extras);
    return whole;
}

static void log_unreadable(uint64_t key_id)
{
    char id[ID_TEXT_SIZE];
    id_format(id, "key", key_id);
    log_event(LOG_ERROR, "key_unreadable", "%s has rate limits that cannot be read: it is refused",
              id);
}

bool key_set(struct meter *meter, struct meter_key *key, const struct key_load_row *row)
{
    struct meter_extras *extras;
    if (!extras_read(row, &extras)) return false;
    extras_free(key->extras);
    key->extras = extras;
    key->live = row->live;
    key->disabled = row->disabled || (extras && extras->unreadable);
    if (extras && extras->unreadable) log_unreadable(row->key_id);
    key->suspended = row->suspended;
    key->revoked = row->revoked;
    key->expires_at = row->key_expires_at;
    key->limits_at = meter->tier_loads - 1; /* to be made up again */
    return true;
}

void key_clear(struct meter_key *key)
{
    unsigned count;
    struct rate_state *states = key_states(key, &count);
    if (count > STATES_INSIDE) free(states);
    set_release(key->limits);
    extras_free(key->extras);
}
