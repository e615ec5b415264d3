/* The key table: secrets by hash, keys and customers by id, budgets by customer and period. Loop
 * thread. What a feed row makes stale stays in place (rate-limit states live on) and is loaded
 * again; an entry goes only when no call points at it. Bounded by meter->secret_limit. */
#include "service/meter_private.h"

#include "core/lease.h"

#include <jansson.h>
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

static bool budget_equal(const void *item, const void *key)
{
    const struct budget_key *x = &((const struct meter_budget *)item)->key, *y = key;
    return x->kind == y->kind && x->subject == y->subject && x->period_start == y->period_start;
}

static uint64_t budget_hash(const struct budget_key *key)
{
    return table_mix(key->subject ^ table_mix((uint64_t)key->period_start + (uint64_t)key->kind));
}

enum err table_init(struct meter *meter)
{
    meter->secrets.equal = secret_equal;
    meter->keys.equal = key_equal;
    meter->customers.equal = customer_equal;
    meter->budgets.equal = budget_equal;
    list_init(&meter->lru);
    return ERR_OK;
}

static void customer_release(struct meter *meter, struct meter_customer *customer)
{
    if (--customer->keys) return;
    if (customer->budget) customer->budget->customer = NULL;
    table_remove(&meter->customers, table_mix(customer->id), customer);
    free(customer->external_id);
    free(customer);
}

static void key_free(struct meter *meter, struct meter_key *key)
{
    customer_release(meter, key->customer);
    table_remove(&meter->keys, table_mix(key->id), key);
    free(key->permissions);
    free(key->metadata_json);
    free(key->networks);
    free(key->own);
    free(key->merged);
    free(key->states);
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
    list_remove(&secret->lru);
    list_remove(&secret->load_link);
    table_remove(&meter->secrets, hash_word(secret->hash), secret);
    free(secret);
}

void table_done(struct meter *meter)
{
    while (!list_empty(&meter->lru))
        secret_free(meter, CONTAINER_OF(meter->lru.next, struct meter_secret, lru));
    size_t at = 0;
    for (struct meter_budget *b; (b = table_next(&meter->budgets, &at));)
        free(b);
    table_free(&meter->secrets);
    table_free(&meter->keys);
    table_free(&meter->customers);
    table_free(&meter->budgets);
}

/* Frees the least recently asked for entries that no call or load points at. */
static void secrets_trim(struct meter *meter)
{
    struct list *link = meter->lru.next;
    for (int looked = 0; meter->secrets.count >= meter->secret_limit && looked < 64; looked++) {
        if (link == &meter->lru) return;
        struct meter_secret *secret = CONTAINER_OF(link, struct meter_secret, lru);
        link = link->next;
        if (!secret->pins && !secret->loading) secret_free(meter, secret);
    }
}

struct meter_secret *secret_get(struct meter *meter, const unsigned char hash[32])
{
    struct meter_secret *secret = table_find(&meter->secrets, hash_word(hash), hash);
    if (secret) {
        list_remove(&secret->lru);
        list_append(&meter->lru, &secret->lru);
        return secret;
    }
    secrets_trim(meter);
    secret = calloc(1, sizeof *secret);
    if (!secret) return NULL;
    memcpy(secret->hash, hash, sizeof secret->hash);
    list_init(&secret->waiters);
    list_init(&secret->load_link);
    if (table_add(&meter->secrets, hash_word(hash), secret) != ERR_OK) {
        free(secret);
        return NULL;
    }
    list_append(&meter->lru, &secret->lru);
    return secret;
}

bool secret_is_current(const struct meter *meter, const struct meter_secret *secret)
{
    if (!secret->fresh || secret->epoch != meter->epoch) return false;
    return !secret->key || (secret->key_generation == secret->key->generation &&
                            secret->customer_generation == secret->key->customer->generation);
}

struct meter_tier *meter_tier_find(struct meter *meter, struct span slug)
{
    for (unsigned i = 0; i < meter->tier_count; i++)
        if (span_is(slug, meter->tiers[i].tier.slug)) return &meter->tiers[i];
    return NULL;
}

static char *copy_text(struct span text)
{
    char *copy = malloc(text.length + 1);
    if (!copy) return NULL;
    if (text.length) memcpy(copy, text.data, text.length);
    copy[text.length] = 0;
    return copy;
}

/* Replaces *text unless it says the same already. */
static void text_set(char **text, struct span value)
{
    if (*text && span_is(value, *text)) return;
    free(*text);
    *text = copy_text(value);
}

static struct meter_customer *customer_get(struct meter *meter, uint64_t id)
{
    struct meter_customer *customer = table_find(&meter->customers, table_mix(id), &id);
    if (customer) return customer;
    customer = calloc(1, sizeof *customer);
    if (!customer) return NULL;
    customer->id = id;
    if (table_add(&meter->customers, table_mix(id), customer) == ERR_OK) return customer;
    free(customer);
    return NULL;
}

static struct meter_key *key_get(struct meter *meter, const struct key_load_row *row)
{
    struct meter_key *key = table_find(&meter->keys, table_mix(row->key_id), &row->key_id);
    if (key) return key;
    struct meter_customer *customer = customer_get(meter, row->customer_id);
    key = customer ? calloc(1, sizeof *key) : NULL;
    if (!key) return NULL;
    key->id = row->key_id;
    key->customer = customer;
    customer->keys++;
    if (table_add(&meter->keys, table_mix(key->id), key) == ERR_OK) return key;
    customer_release(meter, customer);
    free(key);
    return NULL;
}

static void key_set_networks(struct meter_key *key, struct span json)
{
    free(key->networks);
    key->networks = NULL;
    key->network_count = 0;
    json_t *array = json_loadb(json.data, json.length, 0, NULL);
    size_t count = json_array_size(array);
    if (count) key->networks = calloc(count, sizeof *key->networks);
    for (size_t i = 0; key->networks && i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        char error[NETWORK_ERROR_SIZE];
        /* One that cannot be read stays zeroed and counts: it admits nobody, instead of everybody.
         */
        if (!text || network_parse(span_text(text), &key->networks[i], error) != ERR_OK)
            key->networks[i] = (struct network){0};
    }
    key->network_count = (unsigned)count;
    json_decref(array);
}

static void key_set(struct meter *meter, struct meter_key *key, const struct key_load_row *row)
{
    key->live = row->live;
    key->disabled = row->disabled;
    key->suspended = row->suspended;
    key->revoked = row->revoked;
    key->expires_at = row->key_expires_at;
    text_set(&key->permissions, row->permissions);
    text_set(&key->metadata_json, row->metadata_json);
    key_set_networks(key, row->networks_json);
    struct rate_limit own[RATE_LIMITS_MAX];
    if (!rate_limits_from_json(row->rate_limits_json, own, &key->own_count)) key->own_count = 0;
    free(key->own);
    key->own = NULL;
    if (key->own_count) key->own = calloc(key->own_count, sizeof *key->own);
    if (key->own) memcpy(key->own, own, key->own_count * sizeof *own);
    key->merged_at = 0;
    struct meter_customer *customer = key->customer;
    text_set(&customer->external_id, row->external_id);
    customer->tier = meter_tier_find(meter, row->tier);
    customer->active = row->customer_active;
}

void secret_install(struct meter *meter, struct meter_secret *secret,
                    const struct key_load_row *row)
{
    struct meter_key *key = row->found ? key_get(meter, row) : NULL;
    if (row->found && !key) return; /* no memory: stays stale, its calls run into max_wait */
    if (key) key->secrets++;
    secret_detach(meter, secret);
    secret->key = key;
    secret->epoch = meter->epoch;
    secret->fresh = true;
    secret->expires_at = row->secret_expires_at;
    if (!key) return;
    secret->id = row->secret_id;
    key_set(meter, key, row);
    secret->key_generation = key->generation;
    secret->customer_generation = key->customer->generation;
}

/* States follow their limit's name through a change; a new limit starts unused. */
static void key_merge(struct meter *meter, struct meter_key *key)
{
    const struct tier *tier = &key->customer->tier->tier;
    struct rate_limit merged[RATE_LIMITS_MAX];
    unsigned count = rate_limits_merge(tier->rate_limits, tier->rate_limit_count, key->own,
                                       key->own_count, merged);
    struct rate_state *states = calloc(count ? count : 1, sizeof *states);
    if (!states) return;
    const struct rate_limit *before = key->merged;
    for (unsigned i = 0; before && i < count; i++)
        for (unsigned j = 0; j < key->state_count; j++)
            if (!strcmp(before[j].name, merged[i].name)) states[i] = key->states[j];
    free(key->states);
    free(key->merged);
    key->states = states;
    key->state_count = count;
    key->merged = calloc(count ? count : 1, sizeof *key->merged);
    if (key->merged) memcpy(key->merged, merged, count * sizeof *merged);
    key->merged_at = meter->tier_loads;
}

const struct rate_limit *key_limits(struct meter *meter, struct meter_key *key, unsigned *count)
{
    if (key->merged_at != meter->tier_loads) key_merge(meter, key);
    *count = key->merged ? key->state_count : 0;
    return key->merged;
}

struct meter_budget *budget_find(const struct meter *meter, const struct budget_key *key)
{
    return table_find(&meter->budgets, budget_hash(key), key);
}

struct meter_budget *budget_get(struct meter *meter, struct meter_customer *customer,
                                int64_t period_start)
{
    struct meter_budget *budget = customer->budget;
    if (budget && budget->key.period_start == period_start) return budget;
    struct budget_key key = {BUDGET_CUSTOMER, customer->id, period_start};
    budget = budget_find(meter, &key);
    /* While no customer pointed at it, feed rows that name the customer passed it by. */
    if (budget && budget->customer != customer) budget_void(budget);
    if (!budget) {
        budget = calloc(1, sizeof *budget);
        if (!budget) return NULL;
        budget->key = key;
        budget->fresh = true;
        list_init(&budget->waiters);
        list_init(&budget->take_link);
        if (table_add(&meter->budgets, budget_hash(&key), budget) != ERR_OK) {
            free(budget);
            return NULL;
        }
    }
    if (customer->budget) customer->budget->customer = NULL;
    budget->customer = customer;
    customer->budget = budget;
    return budget;
}

void budgets_each(struct meter *meter, void (*each)(struct meter *, struct meter_budget *))
{
    size_t at = 0;
    for (struct meter_budget *budget; (budget = table_next(&meter->budgets, &at));)
        each(meter, budget);
}

enum { BUDGET_KEEP_US = 60 * 1000 * 1000 };

void budget_drop_idle(struct meter *meter, int64_t now_us)
{
    struct meter_budget *gone[256];
    size_t count = 0, at = 0;
    for (struct meter_budget *b; count < COUNT_OF(gone) && (b = table_next(&meter->budgets, &at));)
        if (b->known && !b->taking && !b->orphans && !budget_unspent(b) &&
            list_empty(&b->waiters) && now_us - b->touched_us > BUDGET_KEEP_US)
            gone[count++] = b;
    for (size_t i = 0; i < count; i++) {
        if (gone[i]->customer) gone[i]->customer->budget = NULL;
        table_remove(&meter->budgets, budget_hash(&gone[i]->key), gone[i]);
        free(gone[i]);
    }
}
