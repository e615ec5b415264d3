/* Budgets in memory, by customer and period. Loop thread. One that is idle and holds no units is
 * dropped; what it had spent is read again from its lease row when it comes back. */
#include "service/meter_private.h"

#include <stdlib.h>

static bool budget_equal(const void *item, const void *key)
{
    const struct budget_key *x = &((const struct meter_budget *)item)->key, *y = key;
    return x->kind == y->kind && x->subject == y->subject && x->period_start == y->period_start;
}

static uint64_t key_hash_of(const struct budget_key *key)
{
    return table_mix(key->subject ^ table_mix((uint64_t)key->period_start + (uint64_t)key->kind));
}

static uint64_t budget_hash(const void *item)
{
    return key_hash_of(&((const struct meter_budget *)item)->key);
}

void budgets_init(struct meter *meter)
{
    meter->budgets.hash = budget_hash;
    meter->budgets.equal = budget_equal;
}

void budgets_done(struct meter *meter)
{
    size_t at = 0;
    for (struct meter_budget *b; (b = table_next(&meter->budgets, &at));)
        free(b);
    table_free(&meter->budgets);
}

struct meter_budget *budget_find(const struct meter *meter, const struct budget_key *key)
{
    return table_find(&meter->budgets, key_hash_of(key), key);
}

/* Found or new. NULL: no memory. */
static struct meter_budget *budget_of(struct meter *meter, const struct budget_key *key)
{
    struct meter_budget *budget = budget_find(meter, key);
    if (budget) return budget;
    budget = calloc(1, sizeof *budget);
    if (!budget) return NULL;
    budget->key = *key;
    budget->fresh = meter->budgets_dropped;
    budget->incarnation = meter->incarnation;
    list_init(&budget->waiters);
    list_init(&budget->take_link);
    if (table_add(&meter->budgets, budget) == ERR_OK) return budget;
    free(budget);
    return NULL;
}

struct meter_budget *budget_get(struct meter *meter, struct meter_customer *customer,
                                const struct period *period)
{
    struct meter_budget *budget = customer->budget;
    if (budget && budget->key.period_start == period->start_ms) return budget;
    budget =
        budget_of(meter, &(struct budget_key){BUDGET_CUSTOMER, customer->id, period->start_ms});
    if (!budget) return NULL;
    /* While no customer pointed at it, feed rows that name the customer passed it by. */
    if (budget->customer != customer) budget_void(budget);
    if (customer->budget) customer->budget->customer = NULL;
    budget->customer = customer;
    customer->budget = budget;
    return budget;
}

struct meter_budget *cap_get(struct meter *meter, struct meter_key *key,
                             const struct period *period)
{
    struct meter_budget *budget = key->extras->cap;
    if (budget && budget->key.period_start == period->start_ms) return budget;
    budget = budget_of(meter, &(struct budget_key){BUDGET_KEY, key->id, period->start_ms});
    if (!budget) return NULL;
    if (budget->extras != key->extras) budget_void(budget); /* as with a customer's */
    if (key->extras->cap) key->extras->cap->extras = NULL;
    budget->extras = key->extras;
    key->extras->cap = budget;
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
        if (gone[i]->extras) gone[i]->extras->cap = NULL;
        table_remove(&meter->budgets, gone[i]);
        free(gone[i]);
    }
    if (count) meter->budgets_dropped = true;
}
