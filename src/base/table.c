/* Linear probing with backward-shift deletion, at most three quarters full. */
#include "base/table.h"

#include <stdlib.h>

void table_free(struct table *table)
{
    free(table->slots);
    table->slots = NULL;
    table->capacity = table->count = 0;
}

void *table_find(const struct table *table, uint64_t hash, const void *key)
{
    if (!table->capacity) return NULL;
    size_t mask = table->capacity - 1;
    for (size_t at = hash & mask; table->slots[at].item; at = (at + 1) & mask)
        if (table->slots[at].hash == hash && table->equal(table->slots[at].item, key))
            return table->slots[at].item;
    return NULL;
}

static void place(struct table *table, uint64_t hash, void *item)
{
    size_t mask = table->capacity - 1;
    size_t at = hash & mask;
    while (table->slots[at].item)
        at = (at + 1) & mask;
    table->slots[at] = (struct table_slot){hash, item};
}

enum err table_add(struct table *table, uint64_t hash, void *item)
{
    if ((table->count + 1) * 4 > table->capacity * 3) {
        struct table old = *table;
        table->capacity = old.capacity ? old.capacity * 2 : 64;
        table->slots = calloc(table->capacity, sizeof *table->slots);
        if (!table->slots) {
            *table = old;
            return ERR_NO_MEMORY;
        }
        for (size_t i = 0; i < old.capacity; i++)
            if (old.slots[i].item) place(table, old.slots[i].hash, old.slots[i].item);
        free(old.slots);
    }
    place(table, hash, item);
    table->count++;
    return ERR_OK;
}

void table_remove(struct table *table, uint64_t hash, const void *item)
{
    if (!table->capacity) return;
    size_t mask = table->capacity - 1;
    size_t at = hash & mask;
    while (table->slots[at].item && table->slots[at].item != item)
        at = (at + 1) & mask;
    if (!table->slots[at].item) return;
    table->count--;
    /* Shift back what was pushed past the hole, so that no probe ends too early. */
    for (size_t next = (at + 1) & mask; table->slots[next].item; next = (next + 1) & mask) {
        size_t home = table->slots[next].hash & mask;
        if (((next - home) & mask) >= ((next - at) & mask)) {
            table->slots[at] = table->slots[next];
            at = next;
        }
    }
    table->slots[at].item = NULL;
}

void *table_next(const struct table *table, size_t *at)
{
    while (*at < table->capacity) {
        void *item = table->slots[(*at)++].item;
        if (item) return item;
    }
    return NULL;
}
