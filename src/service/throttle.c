/* Counting wrong tries. Called by the claim call and the pages of api/ on the loop. What always
 * holds: the memory is bounded, and where an entry stands cannot be guessed from outside. */
#include "service/throttle.h"

#include "core/rate_limit.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 1024, WAYS = 4, PREFIX_6 = 8 };

struct entry {
    unsigned char network[16];
    unsigned length; /* 0: free, or a peer without an address */
    bool taken;
    int64_t used_us;
    struct rate_state state;
};

struct throttle {
    struct rate_limit limit;
    unsigned char key[crypto_shorthash_KEYBYTES];
    struct entry entries[SETS][WAYS];
};

enum err throttle_new(struct throttle **out, uint32_t tries)
{
    struct throttle *throttle = calloc(1, sizeof *throttle);
    if (!throttle) return ERR_NO_MEMORY;
    throttle->limit = (struct rate_limit){.limit = tries, .window_s = 60};
    randombytes_buf(throttle->key, sizeof throttle->key);
    *out = throttle;
    return ERR_OK;
}

void throttle_free(struct throttle **throttle)
{
    free(*throttle);
    *throttle = NULL;
}

/* The network's entry; `make`: the oldest of its set becomes it. */
static struct entry *entry_of(struct throttle *throttle, const struct address *address, bool make)
{
    unsigned length = address->length == 16 ? PREFIX_6 : address->length;
    unsigned char hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, address->bytes, length, throttle->key);
    uint64_t set;
    memcpy(&set, hash, sizeof set);
    struct entry *entries = throttle->entries[set % SETS], *oldest = entries;
    for (unsigned i = 0; i < WAYS; i++) {
        struct entry *entry = &entries[i];
        if (entry->taken && entry->length == length &&
            memcmp(entry->network, address->bytes, length) == 0)
            return entry;
        if (!entry->taken || (oldest->taken && entry->used_us < oldest->used_us)) oldest = entry;
    }
    if (!make) return NULL;
    *oldest = (struct entry){.length = length, .taken = true};
    memcpy(oldest->network, address->bytes, length);
    return oldest;
}

bool throttle_allows(struct throttle *throttle, const struct address *address, int64_t now_us,
                     unsigned *retry_after_s)
{
    struct rate_view view;
    const struct entry *entry = entry_of(throttle, address, false);
    if (!entry) return true;
    rate_check(&throttle->limit, &entry->state, now_us, &view);
    *retry_after_s = view.retry_after_seconds;
    return view.allowed;
}

void throttle_charge(struct throttle *throttle, const struct address *address, int64_t now_us)
{
    struct rate_view view;
    struct entry *entry = entry_of(throttle, address, true);
    entry->used_us = now_us;
    rate_check(&throttle->limit, &entry->state, now_us, &view);
    if (view.allowed) rate_charge(&throttle->limit, &entry->state, now_us);
}

void throttle_give_back(struct throttle *throttle, const struct address *address)
{
    struct entry *entry = entry_of(throttle, address, false);
    if (entry) rate_refund(&entry->state);
}
