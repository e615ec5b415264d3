/* Claim links: a one-time token each, of which only the keyed hash stands here. The secret that it
 * leads to is minted when it is claimed. DB thread; what writes runs under the key's lock. */
#ifndef KEYMETER_STORE_CLAIM_H
#define KEYMETER_STORE_CLAIM_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

/* The label of a token's text (core/api_key.h). */
#define CLAIM_LABEL "km_claim"

struct claim_row {
    unsigned char hash[32];
    uint64_t key_id;
    uint32_t generation;                              /* the secret that the claimed one follows */
    int64_t issued_at, expires_at, used_at, ended_at; /* wall ms; 0: none */
    uint64_t customer_id;                             /* read only */
};

MUST_USE enum err claim_insert(struct db *db, const struct claim_row *rows, size_t count);
/* Without a lock. ERR_NOT_FOUND. */
MUST_USE enum err claim_find(struct db *db, const unsigned char hash[32], struct claim_row *row);
/* Marks it used, if nothing has ended it. ERR_NOT_FOUND: something has. */
MUST_USE enum err claim_use(struct db *db, const unsigned char hash[32], int64_t now_ms);
/* All links to secrets of the key end. */
MUST_USE enum err claim_end(struct db *db, uint64_t key_id, int64_t now_ms);
/* How many links of that generation were made, when the first one was (0: none), and whether one of
 * them can still be used. */
MUST_USE enum err claim_count(struct db *db, uint64_t key_id, uint32_t generation, uint32_t *made,
                              bool *live, int64_t *first_at);

/* Since when the oldest link that can still be used waits; 0: there is none. */
MUST_USE enum err claim_waiting_since(struct db *db, uint64_t key_id, uint32_t generation,
                                      int64_t *since);

#endif
