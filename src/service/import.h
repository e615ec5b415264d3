/* Importing a key that was issued elsewhere: POST /v1/keys/import. */
#ifndef KEYMETER_SERVICE_IMPORT_H
#define KEYMETER_SERVICE_IMPORT_H

#include "crypto/import_hash.h"
#include "service/issue.h"

struct loop_timer;

/* What is known of the key. Lives until the operation is done. */
struct key_import {
    unsigned char hash[IMPORT_HASH_SIZE];
    struct secret *hmac_key; /* import_key_new; NULL: the hash is a plain SHA-256 */
    const char *start;
};

struct import {
    struct issue issue;
    struct key_import key;
    /* its own: */
    struct loop_timer *timer;
    void (*done)(struct key_change *change, enum err error);
};

/* Sets run and done; then import_submit. */
void import_init(struct import *import);
/* As key_change_submit; done comes when no node denies the key on the spot any more, and after it
 * import_done. */
MUST_USE enum err import_submit(struct import *import);
/* Wipes the HMAC key; in place of key_change_done. */
void import_done(struct import *import);

/* In issue_key's transaction: the secret's rows and the feed row, instead of a minted secret. 409
 * hash_exists, import_keys_limit. */
MUST_USE enum err import_secret(struct db *db, struct operation *operation,
                                const struct key_import *import, const struct api_key_row *row,
                                struct key_secret_row *made);

#endif
