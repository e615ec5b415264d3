/* Keys, their secrets and the hashes by which those are found. DB thread; what writes runs inside
 * an explicit transaction. A key's id never changes; a rotation adds a secret of the next version.
 */
#ifndef KEYMETER_STORE_API_KEY_H
#define KEYMETER_STORE_API_KEY_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct db;

struct api_key_row {
    uint64_t id, customer_id;
    const char *title, *description;
    const char *environment; /* "live", "test" */
    const char *label;
    const char *permissions;      /* JSON [names] */
    const char *rate_limits;      /* JSON [{name, limit, window_seconds}] */
    const char *allowed_networks; /* JSON [CIDR] */
    const char *metadata;         /* JSON object */
    bool has_monthly_cap;
    uint64_t monthly_cap;
    bool disabled, suspended;
    bool rotation_off;                          /* never rotated by itself */
    int64_t revoked_at, expires_at, rotates_at; /* wall ms; 0: none */
    uint32_t secret_version;                    /* of the current secret */
    int64_t created_at, updated_at;
};

/* Keys are inserted by store/new_keys.h. */
/* Locks the row to the end of the transaction. ERR_NOT_FOUND. */
MUST_USE enum err api_key_lock(struct db *db, uint64_t id, struct arena *arena,
                               struct api_key_row *row);
/* Several, each given once, without waiting: those that are there and that nobody else has locked,
 * in any order. `rows` has room for `count`. */
MUST_USE enum err api_key_try_lock(struct db *db, const uint64_t *ids, size_t count,
                                   struct arena *arena, struct api_key_row *rows, size_t *found);
/* Without a lock. ERR_NOT_FOUND. */
MUST_USE enum err api_key_find(struct db *db, uint64_t id, struct arena *arena,
                               struct api_key_row *row);
/* Writes everything but id, customer, environment, label and created_at. Who changes the title also
 * calls key_word_remove and key_word_add. */
MUST_USE enum err api_key_update(struct db *db, const struct api_key_row *row);
/* Keys of the customer that are not revoked, counted no further than `at_most`: what max_keys
 * bounds. Under the customer's lock. */
MUST_USE enum err api_key_count(struct db *db, uint64_t customer_id, uint32_t at_most,
                                uint32_t *count);

/* The same for several, each given once, and counted to the end: counts[i] is that of ids[i]. */
MUST_USE enum err api_key_count_each(struct db *db, const uint64_t *customer_ids, size_t count,
                                     uint32_t *counts);

struct key_secret_row {
    uint64_t id, key_id;
    uint32_t version;
    char start[11];
    char fingerprint[9];
    int64_t created_at;
    unsigned char hash[32];
    const char *algorithm, *pepper_id;
    char source[9]; /* of an imported one, for pepper_id to point at */
};

/* Secrets and their hashes. ERR_EXISTS: a hash stands already. */
MUST_USE enum err key_secret_insert(struct db *db, const struct key_secret_row *rows, size_t count);
/* Gives the secrets without an end the end `expires_at`. */
MUST_USE enum err key_secret_retire(struct db *db, uint64_t key_id, int64_t expires_at);
/* Removes the secrets (and hashes) of versions below `version`; with `ended_by` not 0 only those
 * that have ended by then. *removed may be NULL. */
MUST_USE enum err key_secret_remove(struct db *db, uint64_t key_id, uint32_t version,
                                    int64_t ended_by, uint64_t *removed);
/* Whether an older secret works beside the current one at now_ms. */
MUST_USE enum err key_secret_overlaps(struct db *db, uint64_t key_id, int64_t now_ms,
                                      bool *overlaps);
/* The key whose secret has this hash, live or not. ERR_NOT_FOUND. */
MUST_USE enum err key_hash_find(struct db *db, const unsigned char hash[32], const char *algorithm,
                                const char *pepper_id, uint64_t *key_id);

#endif
