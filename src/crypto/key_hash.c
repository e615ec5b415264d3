/* Lookup hashes of presented secrets. Called for every verified call, on the loop, and by the DB
 * threads that store a new secret. Nothing is kept. */
#include "crypto/key_hash.h"

#include "base/codec.h"
#include "crypto/keyring.h"

#include <sodium.h>

void key_hash(const struct keyring *keyring, struct span text, unsigned char out[KEY_HASH_SIZE])
{
    crypto_generichash(out, KEY_HASH_SIZE, (const unsigned char *)text.data, text.length,
                       keyring_key(keyring, KEYRING_PEPPER, NULL), KEYRING_KEY_SIZE);
}

void key_fingerprint(const unsigned char hash[KEY_HASH_SIZE], char out[9])
{
    hex_encode(out, hash, 4);
}
