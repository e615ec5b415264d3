/* Hashes of imported keys. Called on the loop when a presented text is looked up and imports exist,
 * and by DB threads that import. What always holds: HMAC keys stand in guarded memory only, and
 * nothing is kept of the texts. */
#include "crypto/import_hash.h"

#include "base/codec.h"
#include "base/secret.h"
#include "crypto/keyring.h"

#include <sodium.h>
#include <stdio.h>

void import_sources_free(struct import_sources *sources)
{
    for (unsigned i = 0; i < sources->count; i++)
        secret_free(&sources->of[i].key);
    sources->count = 0;
}

static void hash_by(const struct secret *key, struct span text, unsigned char *out)
{
    const unsigned char *data = (const unsigned char *)(text.data ? text.data : "");
    if (!key) {
        crypto_hash_sha256(out, data, text.length);
        return;
    }
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)key->text, key->length);
    crypto_auth_hmacsha256_update(&state, data, text.length);
    crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

void import_hashes_of(const struct import_sources *sources, struct span text,
                      struct import_hashes *out)
{
    out->count = sources->count;
    for (unsigned i = 0; i < sources->count; i++) {
        hash_by(sources->of[i].key, text, out->of[i].hash);
        memcpy(out->of[i].source, sources->of[i].id, IMPORT_ID_SIZE);
    }
}

static bool base64_decode(struct span text, unsigned char *out, size_t size, size_t *length)
{
    static const int variants[] = {
        sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
        sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
    for (size_t i = 0; i < COUNT_OF(variants); i++)
        if (!sodium_base642bin(out, size, text.data, text.length, NULL, length, NULL, variants[i]))
            return true;
    return false;
}

bool import_hash_parse(struct span text, unsigned char out[IMPORT_HASH_SIZE])
{
    unsigned char decoded[IMPORT_HASH_SIZE];
    size_t length;
    if (text.length == 2 * sizeof decoded) return hex_decode(out, IMPORT_HASH_SIZE, text);
    if (!base64_decode(text, decoded, sizeof decoded, &length) || length != sizeof decoded)
        return false;
    memcpy(out, decoded, sizeof decoded);
    return true;
}

enum err import_key_parse(struct span text, enum import_key_form form, struct secret **out)
{
    enum { BYTES_MAX = 512 };
    unsigned char decoded[BYTES_MAX];
    size_t length = text.length;
    bool good = false;
    switch (form) {
    case IMPORT_KEY_TEXT:
        good = length <= sizeof decoded;
        if (good && length) memcpy(decoded, text.data, length);
        break;
    case IMPORT_KEY_HEX:
        good =
            !sodium_hex2bin(decoded, sizeof decoded, text.data, text.length, NULL, &length, NULL);
        break;
    case IMPORT_KEY_BASE64:
        good = base64_decode(text, decoded, sizeof decoded, &length);
        break;
    }
    good = good && length > 0;
    if (good) *out = import_key_new(span_of(decoded, length));
    sodium_memzero(decoded, sizeof decoded);
    if (!good) return ERR_INVALID;
    return *out ? ERR_OK : ERR_NO_MEMORY;
}

struct secret *import_key_new(struct span key)
{
    struct secret *kept = secret_new(IMPORT_KEY_MAX + 1);
    if (!kept) return NULL;
    kept->length = key.length <= IMPORT_KEY_MAX ? key.length : crypto_hash_sha256_BYTES;
    if (key.length > IMPORT_KEY_MAX)
        crypto_hash_sha256((unsigned char *)kept->text, (const unsigned char *)key.data,
                           key.length);
    else if (key.length)
        memcpy(kept->text, key.data, key.length);
    return kept;
}

void import_key_mark(const struct keyring *keyring, const struct secret *key,
                     char id[IMPORT_ID_SIZE], unsigned char mark[IMPORT_MARK_SIZE])
{
    unsigned char under[KEYRING_KEY_SIZE];
    unsigned oldest = keyring_count(keyring, KEYRING_MASTER) - 1;
    const char *master = keyring_id_at(keyring, KEYRING_MASTER, oldest);
    keyring_derive_under(keyring_key(keyring, KEYRING_MASTER, master), "importid", SPAN(""), under);
    crypto_generichash(mark, IMPORT_MARK_SIZE, (const unsigned char *)key->text, key->length, under,
                       sizeof under);
    sodium_memzero(under, sizeof under);
    hex_encode(id, mark, 4);
}

void import_tombstone(const struct keyring *keyring, const char *source,
                      const unsigned char hash[IMPORT_HASH_SIZE],
                      unsigned char out[IMPORT_HASH_SIZE])
{
    unsigned char under[KEYRING_KEY_SIZE];
    keyring_derive_under(keyring_key(keyring, KEYRING_PEPPER, NULL), "imported", span_text(source),
                         under);
    crypto_generichash(out, IMPORT_HASH_SIZE, hash, IMPORT_HASH_SIZE, under, sizeof under);
    sodium_memzero(under, sizeof under);
}
