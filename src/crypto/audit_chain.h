/* The audit log's hash chain: each row's hash covers the one before it. Any thread. */
#ifndef KEYMETER_CRYPTO_AUDIT_CHAIN_H
#define KEYMETER_CRYPTO_AUDIT_CHAIN_H

#include "base/span.h"

#include <stdint.h>

enum { AUDIT_HASH_SIZE = 32 };

struct audit_entry {
    uint64_t sequence;
    uint64_t id;
    int64_t at; /* wall ms */
    struct span actor, action, subject;
    uint64_t customer_id; /* 0: none */
    struct span address, request_id;
    struct span detail; /* JSON text, byte for byte as stored */
};

/* BLAKE2b-256 over previous and the fields in order, numbers as 8 bytes big-endian, texts with
 * their length before them. The first row's `previous` is 32 zero bytes. */
void audit_chain_next(const unsigned char previous[AUDIT_HASH_SIZE],
                      const struct audit_entry *entry, unsigned char out[AUDIT_HASH_SIZE]);

#endif
