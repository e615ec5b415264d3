/* How a presented secret is looked up: keyed BLAKE2b-256 of its text under the pepper. Any thread.
 */
#ifndef KEYMETER_CRYPTO_KEY_HASH_H
#define KEYMETER_CRYPTO_KEY_HASH_H

#include "base/span.h"

struct keyring;

enum { KEY_HASH_SIZE = 32 };
#define KEY_HASH_ALGORITHM "blake2b"

/* Under the current pepper (keyring_pepper_id). About 150 ns, no allocation. */
void key_hash(const struct keyring *keyring, struct span text, unsigned char out[KEY_HASH_SIZE]);
/* The 8 hex characters by which people name a stored hash; out is NUL-terminated. */
void key_fingerprint(const unsigned char hash[KEY_HASH_SIZE], char out[9]);

#endif
