/* Imported keys: the sources of their hashes, and the hashes until they are replaced by our own. DB
 * thread; what writes runs inside an explicit transaction. */
#ifndef KEYMETER_STORE_IMPORT_H
#define KEYMETER_STORE_IMPORT_H

#include "base/err.h"
#include "crypto/import_hash.h"

#include <stdbool.h>
#include <stdint.h>

struct db;
struct key_secret_row;

/* All sources with their keys opened; import_sources_free them. ERR_CRYPTO: sealed under a master
 * key that the keyring lacks. */
MUST_USE enum err import_sources_load(struct db *db, const struct keyring *keyring,
                                      struct import_sources *out);
/* The source's id, made when it is new (*added). `key` NULL: SHA-256. ERR_FULL: there are
 * IMPORT_SOURCES_MAX. */
MUST_USE enum err import_source_add(struct db *db, const struct keyring *keyring,
                                    const struct secret *key, int64_t now_ms,
                                    char id[IMPORT_ID_SIZE], bool *added);
/* The secret with row->hash by row->algorithm, row->pepper_id being the source, and the mark that
 * keeps the same hash from being imported again. ERR_EXISTS. */
MUST_USE enum err import_secret_insert(struct db *db, const struct keyring *keyring,
                                       const struct key_secret_row *row);
/* Replaces an imported hash by our own, once: ERR_NOT_FOUND when it is not there any more. Under
 * the key's lock. ERR_EXISTS: our own leads elsewhere already. */
MUST_USE enum err import_replace(struct db *db, const struct import_hash *imported,
                                 uint64_t secret_id, const unsigned char own[32],
                                 const char *pepper_id);
/* The key that a text was imported for, while its own hash stands. ERR_NOT_FOUND. */
MUST_USE enum err import_find(struct db *db, const struct keyring *keyring, struct span text,
                              uint64_t *key_id);

#endif
