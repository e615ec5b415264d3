/* Hashes of keys that were issued elsewhere: SHA-256 of the key's text, or HMAC-SHA-256 of it. Any
 * thread. */
#ifndef KEYMETER_CRYPTO_IMPORT_HASH_H
#define KEYMETER_CRYPTO_IMPORT_HASH_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

struct keyring;
struct secret;

enum {
    IMPORT_HASH_SIZE = 32,
    IMPORT_ID_SIZE = 9,    /* with the NUL */
    IMPORT_MARK_SIZE = 16, /* of an HMAC key */
    IMPORT_KEY_MAX = 64,   /* a longer HMAC key stands for its own SHA-256 (RFC 2104) */
    IMPORT_SOURCES_MAX = 1 + 16,
};
#define IMPORT_SHA256 "sha256"
#define IMPORT_HMAC   "hmac-sha256"

/* How hashes were made: plainly (id IMPORT_SHA256, key NULL), or with an HMAC key. */
struct import_source {
    char id[IMPORT_ID_SIZE];
    struct secret *key;
};
struct import_sources {
    unsigned count;
    struct import_source of[IMPORT_SOURCES_MAX];
};
void import_sources_free(struct import_sources *sources);

/* What a text may have been imported as. */
struct import_hash {
    unsigned char hash[IMPORT_HASH_SIZE];
    char source[IMPORT_ID_SIZE];
};
struct import_hashes {
    unsigned count;
    struct import_hash of[IMPORT_SOURCES_MAX];
};
/* About a microsecond a source; no allocation. */
void import_hashes_of(const struct import_sources *sources, struct span text,
                      struct import_hashes *out);

/* 64 hex digits, or 43 or 44 characters of base64 of either alphabet. */
MUST_USE bool import_hash_parse(struct span text, unsigned char out[IMPORT_HASH_SIZE]);

enum import_key_form { IMPORT_KEY_TEXT, IMPORT_KEY_HEX, IMPORT_KEY_BASE64 };
/* ERR_INVALID: not in that form, or not of 1 to 512 bytes. */
MUST_USE enum err import_key_parse(struct span text, enum import_key_form form,
                                   struct secret **out);
/* The HMAC key as it is kept, in guarded memory: at most IMPORT_KEY_MAX bytes. NULL: no memory. */
MUST_USE struct secret *import_key_new(struct span key);
/* Its id (8 hex) and the whole of the keyed hash that begins with it, under the oldest master key,
 * so that the same key has the same id for good. */
void import_key_mark(const struct keyring *keyring, const struct secret *key,
                     char id[IMPORT_ID_SIZE], unsigned char mark[IMPORT_MARK_SIZE]);
/* Stands for an imported hash when that itself is gone: keyed under the pepper, tells nothing about
 * the key. */
void import_tombstone(const struct keyring *keyring, const char *source,
                      const unsigned char hash[IMPORT_HASH_SIZE],
                      unsigned char out[IMPORT_HASH_SIZE]);

#endif
