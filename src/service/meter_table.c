/* The key table: secrets by hash, keys and customers by id. Loop thread. What a feed row makes
 * stale stays in place (rate-limit states live on) and is loaded again; an entry goes only when no
 * call points at it. Bounded by meter->secret_limit. */
#include "service/meter_private.h"

#include "base/clock.h"

#include <stdlib.h>

static uint64_t hash_word(const unsigned char hash[32])
{
    uint64_t word; /* the hash is keyed: nobody outside can choose its bits */
    memcpy(&word, hash, sizeof word);
    return word;
}

static bool secret_equal(const void *item, const void *key)
{
    return memcmp(((const struct meter_secret *)item)->hash, key, 32) == 0;
}

static bool key_equal(const void *item, const void *key)
{
    return ((const struct meter_key *)item)->id == *(const uint64_t *)key;
}

static bool customer_equal(const void *item, const void *key)
{
    return ((const struct meter_customer *)item)->id == *(const uint64_t *)key;
}

static uint64_t secret_hash(const void *item)
{
    return hash_word(((const struct meter_secret *)item)->hash);
}

static uint64_t key_id_hash(const void *item)
{
    return table_mix(((const struct meter_key *)item)->id);
}

static uint64_t customer_id_hash(const void *item)
{
    return table_mix(((const struct meter_customer *)item)->id);
}

void table_init(struct meter *meter)
{
    meter->secrets.hash = secret_hash;
    meter->secrets.equal = secret_equal;
    meter->keys.hash = key_id_hash;
    meter->keys.equal = key_equal;
    meter->customers.hash = customer_id_hash;
    meter->customers.equal = customer_equal;
    budgets_init(meter);
}

static void customer_release(struct meter *meter, struct meter_customer *customer)
{
    if (--customer->keys) return;
    if (customer->budget) customer->budget->customer = NULL;
    table_remove(&meter->customers, customer);
    free(customer->external_id);
    free(customer);
}

static void key_free(struct meter *meter, struct meter_key *key)
{
    customer_release(meter, key->customer);
    table_remove(&meter->keys, key);
    key_clear(key);
    free(key);
}

static void secret_detach(struct meter *meter, struct meter_secret *secret)
{
    struct meter_key *key = secret->key;
    secret->key = NULL;
    if (key && !--key->secrets) key_free(meter, key);
}

static void secret_free(struct meter *meter, struct meter_secret *secret)
{
    secret_detach(meter, secret);
    load_end(secret);
    table_remove(&meter->secrets, secret);
    free(secret);
}

void table_done(struct meter *meter)
{
    for (size_t at = 0; meter->secrets.count;) {
        struct meter_secret *secret = table_next(&meter->secrets, &at);
        if (secret) {
            at--;
            secret_free(meter, secret);
        } else {
            at = 0; /* shifted back over the end */
        }
    }
    budgets_done(meter);
    meter_tiers_done(meter);
    import_sources_free(&meter->sources);
    table_free(&meter->secrets);
    table_free(&meter->keys);
    table_free(&meter->customers);
}

enum { TRIM_LOOKS = 1024 };

/* Second chance: a hand goes round, and frees what was not asked for since it last came by, unless
 * a call or a load points at it. It looks at so many at most, that a call never waits for it. */
static void secrets_trim(struct meter *meter)
{
    for (int looks = 0; meter->secrets.count >= meter->secret_limit && looks < TRIM_LOOKS;
         looks++) {
        struct meter_secret *secret = table_next(&meter->secrets, &meter->trim_hand);
        if (!secret) {
            meter->trim_hand = 0;
        } else if (secret->asked_for || secret->pins || secret->load) {
            secret->asked_for = false;
        } else {
            meter->trim_hand--;
            meter->stats.evictions++;
            secret_free(meter, secret);
        }
    }
}

struct meter_secret *secret_get(struct meter *meter, const unsigned char hash[32])
{
    struct meter_secret *secret = table_find(&meter->secrets, hash_word(hash), hash);
    if (secret) {
        secret->asked_for = true;
        return secret;
    }
    secrets_trim(meter);
    secret = calloc(1, sizeof *secret);
    if (!secret) return NULL;
    memcpy(secret->hash, hash, sizeof secret->hash);
    if (table_add(&meter->secrets, secret) == ERR_OK) return secret;
    free(secret);
    return NULL;
}

unsigned meter_rates(struct meter *meter, const unsigned char hash[32],
                     struct rate_limit limits[RATE_LIMITS_MAX],
                     struct rate_view views[RATE_LIMITS_MAX])
{
    struct meter_secret *secret = table_find(&meter->secrets, hash_word(hash), hash);
    struct rate_state *states;
    if (!secret || !secret->key || !secret_is_current(meter, secret)) return 0;
    const struct limit_set *set = key_limits(meter, secret->key, &states);
    unsigned count = set && set->count <= RATE_LIMITS_MAX ? set->count : 0;
    for (unsigned i = 0; i < count; i++) {
        limits[i] = set->limits[i];
        rate_check(&set->limits[i], &states[i], clock_mono_us(), &views[i]);
    }
    return count;
}

bool secret_is_current(const struct meter *meter, const struct meter_secret *secret)
{
    if (!secret->fresh || secret->epoch != meter->epoch) return false;
    if (!secret->key) return secret->key_generation == meter->import_generation;
    return (secret->key_generation == secret->key->generation &&
            secret->customer_generation == secret->key->customer->generation);
}

const struct period *customer_period(struct meter_customer *customer, int64_t now_ms)
{
    if (now_ms < customer->period.start_ms || now_ms >= customer->period.next_ms)
        customer->period = period_at(&customer->months, now_ms);
    return &customer->period;
}

static struct meter_customer *customer_get(struct meter *meter, uint64_t id)
{
    struct meter_customer *customer = table_find(&meter->customers, table_mix(id), &id);
    if (customer) return customer;
    customer = calloc(1, sizeof *customer);
    if (!customer) return NULL;
    customer->id = id;
    if (table_add(&meter->customers, customer) == ERR_OK) return customer;
    free(customer);
    return NULL;
}

static struct meter_key *key_get(struct meter *meter, const struct key_load_row *row)
{
    struct meter_key *key = table_find(&meter->keys, table_mix(row->key_id), &row->key_id);
    if (key) return key;
    struct meter_customer *customer = customer_get(meter, row->customer_id);
    if (!customer) return NULL;
    customer->keys++; /* before anything fails: it goes with its last key */
    key = calloc(1, sizeof *key);
    if (key) {
        key->id = row->key_id;
        key->customer = customer;
        if (table_add(&meter->keys, key) == ERR_OK) return key;
    }
    free(key);
    customer_release(meter, customer);
    return NULL;
}

/* False: no memory. */
static bool customer_set(struct meter *meter, struct meter_customer *customer,
                         const struct key_load_row *row)
{
    if (!customer->external_id || !span_is(row->external_id, customer->external_id)) {
        char *copy =
            strndup(row->external_id.length ? row->external_id.data : "", row->external_id.length);
        if (!copy) return false;
        free(customer->external_id);
        customer->external_id = copy;
    }
    customer->tier = meter_tier_find(meter, row->tier);
    customer->active = row->customer_active;
    customer->months = row->months;
    customer->period = (struct period){0};
    return true;
}

void secret_install(struct meter *meter, struct meter_secret *secret,
                    const struct key_load_row *row, uint32_t sources_at)
{
    struct meter_key *key = row->found ? key_get(meter, row) : NULL;
    if (row->found && !key) return; /* no memory: stays stale, its calls run into max_wait */
    if (key) key->secrets++;
    secret_detach(meter, secret);
    secret->key = key;
    secret->fresh = false; /* until all of it is taken over */
    if (key && (!key_set(meter, key, row) || !customer_set(meter, key->customer, row))) return;
    secret->epoch = meter->epoch;
    secret->fresh = true;
    secret->expires_at = row->secret_expires_at;
    secret->replaced = row->replaced;
    secret->key_generation = sources_at;
    if (!key) return;
    secret->id = row->secret_id;
    secret->key_generation = key->generation;
    secret->customer_generation = key->customer->generation;
}
