/* Hashes and seals of kept answers. Called by service/idempotency.c on DB threads and on the loop.
 * What always holds: the parts of a hash are length-prefixed, so that no two scopes run together;
 * and a sealed answer opens only for the token and the Idempotency-Key it was made for. */
#include "crypto/kept_answer.h"

#include "crypto/envelope.h"
#include "crypto/keyring.h"

#include <sodium.h>

enum { KEY_MAX = 255, LINK_MAX = 255, EXTRA_MAX = 8 + KEY_MAX + LINK_MAX };

static void number_put(unsigned char out[8], uint64_t number)
{
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)(number >> (56 - 8 * i));
}

static void hash_begin(const struct keyring *keyring, crypto_generichash_state *state)
{
    unsigned oldest = keyring_count(keyring, KEYRING_MASTER) - 1;
    const char *id = keyring_id_at(keyring, KEYRING_MASTER, oldest);
    unsigned char key[KEYRING_KEY_SIZE];
    keyring_derive_under(keyring_key(keyring, KEYRING_MASTER, id), "kepthash", SPAN(""), key);
    crypto_generichash_init(state, key, sizeof key, KEPT_HASH_SIZE);
    sodium_memzero(key, sizeof key);
}

static void hash_add(crypto_generichash_state *state, struct span part)
{
    unsigned char length[8];
    number_put(length, part.length);
    crypto_generichash_update(state, length, sizeof length);
    if (part.length)
        crypto_generichash_update(state, (const unsigned char *)part.data, part.length);
}

static void hash_end(crypto_generichash_state *state, unsigned char out[KEPT_HASH_SIZE])
{
    crypto_generichash_final(state, out, KEPT_HASH_SIZE);
    sodium_memzero(state, sizeof *state);
}

void kept_answer_id(const struct keyring *keyring, const struct kept_scope *scope,
                    unsigned char id[KEPT_HASH_SIZE])
{
    crypto_generichash_state state;
    unsigned char token[8];
    number_put(token, scope->token_id);
    hash_begin(keyring, &state);
    hash_add(&state, (struct span){(const char *)token, sizeof token});
    hash_add(&state, scope->method);
    hash_add(&state, scope->path);
    hash_add(&state, scope->key);
    if (scope->link.length) hash_add(&state, scope->link);
    hash_end(&state, id);
}

void kept_answer_fingerprint(const struct keyring *keyring, const unsigned char id[KEPT_HASH_SIZE],
                             struct span body, unsigned char fingerprint[KEPT_HASH_SIZE])
{
    crypto_generichash_state state;
    hash_begin(keyring, &state);
    hash_add(&state, (struct span){(const char *)id, KEPT_HASH_SIZE});
    hash_add(&state, body);
    hash_end(&state, fingerprint);
}

static size_t span_put(unsigned char *out, struct span part, size_t max)
{
    size_t length = part.length < max ? part.length : max;
    if (length) memcpy(out, part.data, length);
    return length;
}

/* What goes into the derivation beside the master key. The tokens of links are all of one length,
 * so no two scopes run together. */
static struct span extra_of(const struct kept_scope *scope, unsigned char out[EXTRA_MAX])
{
    size_t length = 8;
    number_put(out, scope->token_id);
    length += span_put(out + length, scope->key, KEY_MAX);
    length += span_put(out + length, scope->link, LINK_MAX);
    return (struct span){(const char *)out, length};
}

enum err kept_answer_seal(const struct keyring *keyring, const struct kept_scope *scope,
                          struct span plain, struct buf *out)
{
    unsigned char extra[EXTRA_MAX];
    enum err error = envelope_seal_with(keyring, "idempotency.answer", scope->token_id,
                                        extra_of(scope, extra), plain, out);
    sodium_memzero(extra, sizeof extra);
    return error;
}

enum err kept_answer_open(const struct keyring *keyring, const struct kept_scope *scope,
                          struct span sealed, struct buf *out)
{
    unsigned char extra[EXTRA_MAX];
    enum err error = envelope_open_with(keyring, "idempotency.answer", scope->token_id,
                                        extra_of(scope, extra), sealed, out);
    sodium_memzero(extra, sizeof extra);
    return error;
}
