/* What protects the answers that are kept for an Idempotency-Key. Neither that key nor a body ever
 * stands in the database: a row is found by a keyed hash, and its answer, which may show a secret,
 * is sealed under a key derived from the master key, the token's id (of a claim link: the link's
 * own text) and the Idempotency-Key. Any thread. */
#ifndef KEYMETER_CRYPTO_KEPT_ANSWER_H
#define KEYMETER_CRYPTO_KEPT_ANSWER_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

struct keyring;

enum { KEPT_HASH_SIZE = 32 };

/* Whose call it was. Spans are borrowed. */
struct kept_scope {
    uint64_t token_id;             /* 0: a claim link's holder */
    struct span method, path, key; /* the path as sent; the Idempotency-Key */
    struct span link;              /* the claim link's token; empty with a token_id */
};

/* Where the answer is kept; under the oldest master key, so that adding a newer one loses none. */
void kept_answer_id(const struct keyring *keyring, const struct kept_scope *scope,
                    unsigned char id[KEPT_HASH_SIZE]);
/* Tells another body under the same id. */
void kept_answer_fingerprint(const struct keyring *keyring, const unsigned char id[KEPT_HASH_SIZE],
                             struct span body, unsigned char fingerprint[KEPT_HASH_SIZE]);

/* Appends the sealed form (crypto/envelope.h). ERR_NO_MEMORY. */
MUST_USE enum err kept_answer_seal(const struct keyring *keyring, const struct kept_scope *scope,
                                   struct span plain, struct buf *out);
/* Appends the plain text. ERR_CRYPTO: of another token or key, changed, or of a master key that the
 * keyring lacks. */
MUST_USE enum err kept_answer_open(const struct keyring *keyring, const struct kept_scope *scope,
                                   struct span sealed, struct buf *out);

#endif
