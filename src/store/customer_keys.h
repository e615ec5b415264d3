/* A customer's keys for encrypted mail: an OpenPGP key, an S/MIME certificate, sealed, with what is
 * shown of them. DB thread; what writes runs inside a transaction that holds the customer's lock.
 */
#ifndef KEYMETER_STORE_CUSTOMER_KEYS_H
#define KEYMETER_STORE_CUSTOMER_KEYS_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"
#include "crypto/mail_key.h"

#include <stdbool.h>
#include <stdint.h>

struct db;
struct keyring;

enum {
    MAIL_KEY_KINDS = MAIL_KEY_SMIME + 1,
    CUSTOMER_KEYS_TELL_DAYS = 14, /* so long before its end a key's owner is told */
};

struct customer_key {
    struct span text;        /* opened, in the arena; data NULL: there is none */
    const char *fingerprint; /* lower-case hex; NULL: none */
    int64_t ends_at;         /* wall ms; 0: no end */
};
struct customer_keys {
    struct customer_key of[MAIL_KEY_KINDS]; /* by enum mail_key_kind */
    bool smime_cbc;                         /* S/MIME is to be AES-256-CBC, for older readers */
};

/* Without a lock. ERR_NOT_FOUND: no such customer. ERR_CRYPTO: a key cannot be opened. */
MUST_USE enum err customer_keys_find(struct db *db, const struct keyring *keyring, uint64_t id,
                                     struct arena *arena, struct customer_keys *keys);
/* Writes both as they are to be, and when their end is told. */
MUST_USE enum err customer_keys_update(struct db *db, const struct keyring *keyring, uint64_t id,
                                       const struct customer_keys *keys);

/* Customers of whom a key's end is to be told, without locks; at most `limit`. */
MUST_USE enum err customer_keys_pick(struct db *db, int64_t now_ms, size_t limit, uint64_t *ids,
                                     size_t *count);
/* Fingerprints and ends alone, without the texts. ERR_NOT_FOUND. */
MUST_USE enum err customer_keys_ends(struct db *db, uint64_t id, struct arena *arena,
                                     struct customer_keys *keys);
/* The ends up to now_ms have been told. */
MUST_USE enum err customer_keys_told(struct db *db, uint64_t id, const struct customer_keys *keys,
                                     int64_t now_ms);
/* From when on this end is told; 0: it has none. */
int64_t customer_key_tell_at(const struct customer_key *key);

#endif
