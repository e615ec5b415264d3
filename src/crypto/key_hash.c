/* Lookup hashes of presented secrets. Called for every verified call, on the loop, and by the DB
 * threads that store a new secret. Nothing is kept. */
#include "crypto/key_hash.h"

#include "base/codec.h"
#include "crypto/keyring.h"

#include <sodium.h>

static void hash_with(const unsigned char *key, struct span text, unsigned char *out)
{
    crypto_generichash(out, KEY_HASH_SIZE, (const unsigned char *)text.data, text.length, key,
                       KEYRING_KEY_SIZE);
}

void key_hash(const struct keyring *keyring, struct span text, unsigned char out[KEY_HASH_SIZE])
{
    hash_with(keyring_key(keyring, KEYRING_PEPPER, NULL), text, out);
}

enum err key_hash_under(const struct keyring *keyring, const char *pepper_id, struct span text,
                        unsigned char out[KEY_HASH_SIZE])
{
    const unsigned char *key = keyring_key(keyring, KEYRING_PEPPER, pepper_id);
    if (!key) return ERR_NOT_FOUND;
    hash_with(key, text, out);
    return ERR_OK;
}

void key_fingerprint(const unsigned char hash[KEY_HASH_SIZE], char out[9])
{
    hex_encode(out, hash, 4);
}
