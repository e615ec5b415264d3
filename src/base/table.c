/* Linear probing with backward-shift deletion, at most five eighths full: an entry that is not
 * there is found out after three looks on average. */
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
    for (size_t at = hash & mask; table->slots[at]; at = (at + 1) & mask)
        if (table->equal(table->slots[at], key)) return table->slots[at];
    return NULL;
}

static void place(struct table *table, void *item)
{
    size_t mask = table->capacity - 1;
    size_t at = table->hash(item) & mask;
    while (table->slots[at])
        at = (at + 1) & mask;
    table->slots[at] = item;
}

enum err table_add(struct table *table, void *item)
{
    if ((table->count + 1) * 8 > table->capacity * 5) {
        struct table old = *table;
        table->capacity = old.capacity ? old.capacity * 2 : 64;
        table->slots = calloc(table->capacity, sizeof *table->slots);
        if (!table->slots) {
            *table = old;
            return ERR_NO_MEMORY;
        }
        for (size_t i = 0; i < old.capacity; i++)
            if (old.slots[i]) place(table, old.slots[i]);
        free(old.slots);
    }
    place(table, item);
    table->count++;
    return ERR_OK;
}

void table_remove(struct table *table, const void *item)
{
    if (!table->capacity) return;
    size_t mask = table->capacity - 1;
    size_t at = table->hash(item) & mask;
    while (table->slots[at] && table->slots[at] != item)
        at = (at + 1) & mask;
    if (!table->slots[at]) return;
    table->count--;
    /* Shift back what was pushed past the hole, so that no probe ends too early. */
    for (size_t next = (at + 1) & mask; table->slots[next]; next = (next + 1) & mask) {
        size_t home = table->hash(table->slots[next]) & mask;
        if (((next - home) & mask) >= ((next - at) & mask)) {
            table->slots[at] = table->slots[next];
            at = next;
        }
    }
    table->slots[at] = NULL;
}

void *table_next(const struct table *table, size_t *at)
{
    while (*at < table->capacity) {
        void *item = table->slots[(*at)++];
        if (item) return item;
    }
    return NULL;
}
