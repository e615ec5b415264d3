/* What the operations of a batch share (service/gathered.h). Called by the committer and by the
 * operations that issue keys, on the committer's thread. What always holds: what is known of a
 * customer was read under its lock, and is forgotten before anything but the gathering of new keys
 * may change it. */
#include "service/gathered.h"

#include <stdlib.h>

enum { ARENA_MAX = 32 << 20 };

void gathered_forget(struct gathered *gathered)
{
    gathered->customers = NULL;
    gathered->customer_count = 0;
}

void gathered_drop(struct gathered *gathered)
{
    gathered->keys.count = 0;
    gathered->has_tier = gathered->read_ahead = false;
    gathered_forget(gathered);
    arena_done(&gathered->arena);
}

enum err gathered_write(struct db *db, struct gathered *gathered)
{
    enum err error = new_keys_write(db, &gathered->keys);
    gathered_drop(gathered);
    return error;
}

enum err gathered_tier(struct db *db, struct gathered *gathered, struct span slug,
                       const struct tier_row **tier)
{
    *tier = &gathered->tier;
    if (gathered->has_tier && span_equal(span_text(gathered->tier.tier.slug), slug)) return ERR_OK;
    enum err error = tier_row_find(db, slug, &gathered->tier);
    gathered->has_tier = !error;
    return error;
}

static int by_number(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static size_t ids_once(uint64_t *ids, size_t count)
{
    size_t once = 0;
    qsort(ids, count, sizeof *ids, by_number);
    for (size_t i = 0; i < count; i++)
        if (!once || ids[once - 1] != ids[i]) ids[once++] = ids[i];
    return once;
}

static struct gathered_customer *find(const struct gathered *gathered, uint64_t id)
{
    for (size_t i = 0; i < gathered->customer_count; i++)
        if (gathered->customers[i].row.id == id) return &gathered->customers[i];
    return NULL;
}

const struct gathered_customer *gathered_customer(const struct gathered *gathered, uint64_t id)
{
    return find(gathered, id);
}

struct reading {
    struct customer_row *rows;
    struct entitlement_row *entitlements;
    uint32_t *counts;
    size_t found, entitled;
};

static void take(struct gathered *gathered, const struct reading *reading)
{
    gathered->customer_count = reading->found;
    for (size_t i = 0; i < reading->found; i++)
        gathered->customers[i] =
            (struct gathered_customer){.row = reading->rows[i], .key_count = reading->counts[i]};
    for (size_t i = 0; i < reading->entitled; i++) {
        struct gathered_customer *customer = find(gathered, reading->entitlements[i].customer_id);
        if (!customer) continue;
        customer->entitled = true;
        customer->entitlement = reading->entitlements[i];
    }
}

enum err gathered_customers(struct db *db, struct gathered *gathered, uint64_t *ids, size_t count)
{
    struct arena *arena = &gathered->arena;
    arena->limit = ARENA_MAX;
    struct reading reading = {
        .rows = arena_alloc(arena, count * sizeof *reading.rows),
        .entitlements = arena_alloc(arena, count * sizeof *reading.entitlements),
        .counts = arena_alloc(arena, count * sizeof *reading.counts),
    };
    gathered->customers = arena_alloc(arena, count * sizeof *gathered->customers);
    if (!reading.rows || !reading.entitlements || !reading.counts || !gathered->customers)
        return ERR_NO_MEMORY;
    count = ids_once(ids, count);
    enum err error = customer_lock_each(db, ids, count, arena, reading.rows, &reading.found);
    if (error || !reading.found) return error;
    for (size_t i = 0; i < reading.found; i++)
        ids[i] = reading.rows[i].id;
    error = entitlement_find_each(db, ids, reading.found, arena, reading.entitlements,
                                  &reading.entitled);
    if (!error) error = api_key_count_each(db, ids, reading.found, reading.counts);
    if (!error) take(gathered, &reading);
    return error;
}
