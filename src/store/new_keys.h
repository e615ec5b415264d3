/* Rows of new keys and of the mails that tell of them, gathered over the operations of a
 * transaction and written together: a key is rows of six tables, and a statement for each of them
 * is what issuing costs. DB thread, inside the transaction that also appends the feed rows.
 *
 * Whoever reads one of those tables before they are written does not see them: the committer writes
 * them before it runs an operation that does not say it may go on (operation.gathers). */
#ifndef KEYMETER_STORE_NEW_KEYS_H
#define KEYMETER_STORE_NEW_KEYS_H

#include "store/api_key.h"
#include "store/outbox.h"
#include "store/rotation.h"

enum { NEW_KEYS_MAX = 128 };

struct new_key {
    struct api_key_row row; /* what its texts point to lives until new_keys_write */
    const char *tier;       /* slug of the customer's, whose entitlement is not suspended */
    bool has_secret;        /* false: the secret's rows were written already (imports) */
    struct key_secret_row secret;
    bool has_step; /* what comes next of its rotation */
    struct rotation_row step;
    struct outbox_row mail; /* id 0: none; else as with the row's texts */
};

struct new_keys {
    size_t count;
    struct new_key keys[NEW_KEYS_MAX];
};

/* The next one, zeroed, to be filled; NULL: there are NEW_KEYS_MAX. */
struct new_key *new_keys_next(struct new_keys *keys);
/* How many of them are this customer's. */
uint32_t new_keys_of(const struct new_keys *keys, uint64_t customer_id);
/* Writes all of them; none is left, whatever comes of it. ERR_EXISTS: a hash stands already. */
MUST_USE enum err new_keys_write(struct db *db, struct new_keys *keys);

#endif
