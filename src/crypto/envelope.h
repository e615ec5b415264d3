/* Sealing at rest: XChaCha20-Poly1305 under a key derived from the master key. Any thread.
 *
 * Sealed form: version (1 byte, 1), master key id (8), nonce (24), ciphertext with tag. The
 * version, the key id, the row id and the context are authenticated, so a sealed value opens only
 * in the column and row it was made for. */
#ifndef KEYMETER_CRYPTO_ENVELOPE_H
#define KEYMETER_CRYPTO_ENVELOPE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

struct keyring;

enum { ENVELOPE_OVERHEAD = 1 + 8 + 24 + 16, BLIND_INDEX_SIZE = 16 };

/* Appends the sealed form. `context` is the column: "customer.email". ERR_NO_MEMORY. */
MUST_USE enum err envelope_seal(const struct keyring *keyring, const char *context, uint64_t row_id,
                                struct span plain, struct buf *out);
/* Appends the plain text. ERR_CRYPTO: not ours, changed, of another row, or of a key that the
 * keyring lacks; nothing is appended then. */
MUST_USE enum err envelope_open(const struct keyring *keyring, const char *context, uint64_t row_id,
                                struct span sealed, struct buf *out);

/* The same under a key that `extra` is mixed into: it opens only with that again. */
MUST_USE enum err envelope_seal_with(const struct keyring *keyring, const char *context,
                                     uint64_t row_id, struct span extra, struct span plain,
                                     struct buf *out);
MUST_USE enum err envelope_open_with(const struct keyring *keyring, const char *context,
                                     uint64_t row_id, struct span extra, struct span sealed,
                                     struct buf *out);

/* Finds an e-mail address without storing it: a keyed hash of its ASCII-lower-cased text,
 * under the oldest master key, so that adding a newer one loses nobody. */
void blind_index(const struct keyring *keyring, struct span email,
                 unsigned char out[BLIND_INDEX_SIZE]);

#endif
