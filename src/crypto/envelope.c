/* Sealing of what must be readable again: addresses, names, kept answers. Called by store and
 * service on any thread. A value opens only under the master key, the column and the row it was
 * sealed for; the key in use is derived, so the master key itself never touches data. */
#include "crypto/envelope.h"

#include "crypto/keyring.h"

#include <assert.h>
#include <sodium.h>

enum {
    VERSION = 1,
    ID_LENGTH = KEYRING_ID_SIZE - 1,
    NONCE_LENGTH = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_LENGTH = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    HEAD_LENGTH = 1 + ID_LENGTH + NONCE_LENGTH,
    CONTEXT_MAX = 64,
};

static_assert(HEAD_LENGTH + TAG_LENGTH == ENVELOPE_OVERHEAD, "the header promises the overhead");

struct additional {
    unsigned char data[1 + ID_LENGTH + 8 + CONTEXT_MAX];
    size_t length;
};

/* Version and key id as they stand in the sealed form, then row and column. */
static void additional_init(struct additional *additional, const unsigned char *head,
                            const char *context, uint64_t row_id)
{
    unsigned char *at = additional->data;
    size_t context_length = strnlen(context, CONTEXT_MAX);
    memcpy(at, head, 1 + ID_LENGTH);
    at += 1 + ID_LENGTH;
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (unsigned char)(row_id >> shift);
    memcpy(at, context, context_length);
    additional->length = 1 + ID_LENGTH + 8 + context_length;
}

enum err envelope_seal_with(const struct keyring *keyring, const char *context, uint64_t row_id,
                            struct span extra, struct span plain, struct buf *out)
{
    unsigned char key[KEYRING_KEY_SIZE];
    struct additional additional;
    unsigned char *sealed = (unsigned char *)buf_reserve(out, plain.length + ENVELOPE_OVERHEAD);
    if (!sealed) return ERR_NO_MEMORY;
    sealed[0] = VERSION;
    memcpy(sealed + 1, keyring_master_id(keyring), ID_LENGTH);
    unsigned char *nonce = sealed + 1 + ID_LENGTH;
    randombytes_buf(nonce, NONCE_LENGTH);
    additional_init(&additional, sealed, context, row_id);
    keyring_derive(keyring, "envelope", extra, key);
    crypto_aead_xchacha20poly1305_ietf_encrypt(
        sealed + HEAD_LENGTH, NULL, (const unsigned char *)plain.data, plain.length,
        additional.data, additional.length, NULL, nonce, key);
    sodium_memzero(key, sizeof key);
    out->length += plain.length + ENVELOPE_OVERHEAD;
    return ERR_OK;
}

enum err envelope_open_with(const struct keyring *keyring, const char *context, uint64_t row_id,
                            struct span extra, struct span sealed, struct buf *out)
{
    const unsigned char *head = (const unsigned char *)sealed.data;
    if (sealed.length < ENVELOPE_OVERHEAD || head[0] != VERSION) return ERR_CRYPTO;
    char id[KEYRING_ID_SIZE] = {0};
    memcpy(id, head + 1, ID_LENGTH);
    const unsigned char *master = keyring_key(keyring, KEYRING_MASTER, id);
    if (!master) return ERR_CRYPTO;

    size_t length = sealed.length - ENVELOPE_OVERHEAD;
    char *plain = buf_reserve(out, length + 1); /* never an empty reservation */
    if (!plain) return ERR_NO_MEMORY;
    unsigned char key[KEYRING_KEY_SIZE];
    struct additional additional;
    additional_init(&additional, head, context, row_id);
    keyring_derive_under(master, "envelope", extra, key);
    int opened = crypto_aead_xchacha20poly1305_ietf_decrypt(
        (unsigned char *)plain, NULL, NULL, head + HEAD_LENGTH, sealed.length - HEAD_LENGTH,
        additional.data, additional.length, head + 1 + ID_LENGTH, key);
    sodium_memzero(key, sizeof key);
    if (opened != 0) return ERR_CRYPTO;
    out->length += length;
    return ERR_OK;
}

enum err envelope_seal(const struct keyring *keyring, const char *context, uint64_t row_id,
                       struct span plain, struct buf *out)
{
    return envelope_seal_with(keyring, context, row_id, SPAN(""), plain, out);
}

enum err envelope_open(const struct keyring *keyring, const char *context, uint64_t row_id,
                       struct span sealed, struct buf *out)
{
    return envelope_open_with(keyring, context, row_id, SPAN(""), sealed, out);
}

/* Streamed in small pieces, so that an address of any length needs no copy. The key is under the
 * first master key ever (the oldest), so that adding a master key does not lose anybody. */
void blind_index(const struct keyring *keyring, struct span email,
                 unsigned char out[BLIND_INDEX_SIZE])
{
    unsigned oldest = keyring_count(keyring, KEYRING_MASTER) - 1;
    const char *id = keyring_id_at(keyring, KEYRING_MASTER, oldest);
    unsigned char key[KEYRING_KEY_SIZE], piece[64];
    keyring_derive_under(keyring_key(keyring, KEYRING_MASTER, id), "blindidx", SPAN(""), key);
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, sizeof key, BLIND_INDEX_SIZE);
    for (size_t at = 0; at < email.length;) {
        size_t length = 0;
        for (; length < sizeof piece && at < email.length; at++) {
            char c = email.data[at];
            piece[length++] = (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        crypto_generichash_update(&state, piece, length);
    }
    crypto_generichash_final(&state, out, BLIND_INDEX_SIZE);
    sodium_memzero(key, sizeof key);
    sodium_memzero(piece, sizeof piece);
    sodium_memzero(&state, sizeof state);
}
