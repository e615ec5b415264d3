/* A hash table of pointers: open addressing, linear probing, no tombstones. A slot is the pointer
 * alone, so a million entries cost 16 MiB; hashes are computed again when the table grows. The
 * caller hashes and compares; hashes must be unguessable or harmless to flood. One thread at a
 * time. */
#ifndef KEYMETER_BASE_TABLE_H
#define KEYMETER_BASE_TABLE_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
    void **slots; /* NULL: free */
    size_t capacity, count;
    uint64_t (*hash)(const void *item);
    bool (*equal)(const void *item, const void *key);
};

/* A zeroed table with `hash` and `equal` set is a valid empty one. */
void table_free(struct table *table); /* not the items */
/* `hash`: what table->hash gives for the item of that key. */
void *table_find(const struct table *table, uint64_t hash, const void *key);
/* The key must not stand yet. */
MUST_USE enum err table_add(struct table *table, void *item);
/* Takes out the item at this very address; nothing when it is not there. */
void table_remove(struct table *table, const void *item);
/* Walks: start with *at = 0; NULL at the end. No change to the table meanwhile, except that the
 * item just given may be removed, after --*at: another one may then stand in its place. */
void *table_next(const struct table *table, size_t *at);

/* Mixes an integer into a hash (splitmix64's finisher). */
static inline uint64_t table_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

#endif
