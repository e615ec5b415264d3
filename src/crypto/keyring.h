/* The server's own keys: the master key (sealing at rest, derived keys) and the pepper (lookup
 * hashes), each file with its current key first and older ones after it. Loaded once at start into
 * guarded memory, read-only afterwards: any thread.
 *
 * File: lines "<8 hex id> <64 hex key>"; empty lines and lines that begin with '#' are skipped. */
#ifndef KEYMETER_CRYPTO_KEYRING_H
#define KEYMETER_CRYPTO_KEYRING_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

struct keyring;

enum {
    KEYRING_ID_SIZE = 9, /* 8 hex characters, NUL */
    KEYRING_KEY_SIZE = 32,
    KEYRING_CHECK_SIZE = 16,
    KEYRING_ERROR_SIZE = 256,
    KEYRING_KEYS_MAX = 16, /* a file */
};

#define KEYRING_MASTER "master"
#define KEYRING_PEPPER "pepper"

/* ERR_NOT_FOUND: no such file. ERR_DENIED: readable by group or others. ERR_INVALID: malformed.
 * ERR_IO, ERR_NO_MEMORY. `error` gets a text naming the file and the mend, never key material. */
MUST_USE enum err keyring_load(struct keyring **out, const char *master_path,
                               const char *pepper_path, char error[KEYRING_ERROR_SIZE]);
/* Two new files with new random keys, mode 0600, synced with their directories. ERR_EXISTS when
 * either exists: nothing is changed then. ERR_IO. */
MUST_USE enum err keyring_create(const char *master_path, const char *pepper_path,
                                 char error[KEYRING_ERROR_SIZE]);
void keyring_free(struct keyring **keyring); /* wipes; accepts NULL */

/* The current keys' ids (8 hex characters). */
const char *keyring_master_id(const struct keyring *keyring);
const char *keyring_pepper_id(const struct keyring *keyring);
/* How many keys of "master" or "pepper" there are, and the id of each; 0 is the current one. */
unsigned keyring_count(const struct keyring *keyring, const char *kind);
const char *keyring_id_at(const struct keyring *keyring, const char *kind, unsigned at);

/* A keyed hash of a constant, kept in the database to tell a wrong key that has the right id.
 * ERR_NOT_FOUND: no key of that kind and id. */
MUST_USE enum err keyring_check_value(const struct keyring *keyring, const char *kind,
                                      const char *id, unsigned char out[KEYRING_CHECK_SIZE]);

/* A key of its own for a purpose (at most 8 characters, a literal) and an extra input, under the
 * current master key. */
void keyring_derive(const struct keyring *keyring, const char *purpose, struct span extra,
                    unsigned char out[KEYRING_KEY_SIZE]);

/* For crypto/ itself: the same under a key given, and a key by kind and id: 32 bytes, or NULL when
 * no such key; id NULL: the current one. */
void keyring_derive_under(const unsigned char *key, const char *purpose, struct span extra,
                          unsigned char out[KEYRING_KEY_SIZE]);
const unsigned char *keyring_key(const struct keyring *keyring, const char *kind, const char *id);

#endif
