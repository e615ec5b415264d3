/* Customers and what they are entitled to. Name and e-mail arrive and leave sealed
 * (crypto/envelope.h, columns CUSTOMER_EMAIL and CUSTOMER_NAME). DB thread; what writes runs inside
 * an explicit transaction. An erased customer is not found by anything here. */
#ifndef KEYMETER_STORE_CUSTOMER_H
#define KEYMETER_STORE_CUSTOMER_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

#define CUSTOMER_EMAIL "customer.email"
#define CUSTOMER_NAME  "customer.name"

struct customer_row {
    uint64_t id;
    const char *external_id;
    struct span email_sealed; /* data NULL: none; so for all three */
    struct span email_index;  /* 16 bytes */
    struct span name_sealed;
    const char *metadata; /* JSON object */
    const char *language; /* of mails, a tag; NULL: that of mail.language */
    bool encrypts;        /* has a key or certificate for encrypted mail; read only */
    int64_t created_at, updated_at;
};

/* How a caller names a customer: id, or with id 0 the external id. */
struct customer_name {
    uint64_t id;
    struct span external_id;
};

/* ERR_EXISTS: the external id is another's. */
MUST_USE enum err customer_insert(struct db *db, const struct customer_row *row);
/* Locks the row to the end of the transaction: first in the lock order. ERR_NOT_FOUND. */
/* The lock alone, of the customer whose key it is; the key is not locked. ERR_NOT_FOUND: no such
 * key. */
MUST_USE enum err customer_lock_by_key(struct db *db, uint64_t key_id, uint64_t *customer_id);
MUST_USE enum err customer_lock(struct db *db, const struct customer_name *name,
                                struct arena *arena, struct customer_row *row);
/* Several by their ids, each given once, in the order of the ids, which therefore ascend: those
 * that are there. `rows` has room for `count`. */
MUST_USE enum err customer_lock_each(struct db *db, const uint64_t *ids, size_t count,
                                     struct arena *arena, struct customer_row *rows, size_t *found);
/* Several by their ids, each given once, without waiting: those that are there and that nobody else
 * has locked, in any order. `rows` has room for `count`. */
MUST_USE enum err customer_try_lock(struct db *db, const uint64_t *ids, size_t count,
                                    struct arena *arena, struct customer_row *rows, size_t *found);
/* Without a lock. ERR_NOT_FOUND. */
MUST_USE enum err customer_find(struct db *db, const struct customer_name *name,
                                struct arena *arena, struct customer_row *row);
/* Writes e-mail, name, metadata, language and updated_at. */
MUST_USE enum err customer_update(struct db *db, const struct customer_row *row);
/* Erases what is personal, in the customer and its keys, frees external id and payment reference,
 * and revokes the keys that are not revoked yet. */
MUST_USE enum err customer_erase(struct db *db, uint64_t id, int64_t now_ms);

#endif
