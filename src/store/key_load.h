/* Loading what verifying needs: secrets by hash with their key, customer and tier slug, and the
 * tiers. Each load's rows and its feed position come from one statement, hence from one read view,
 * so that what is older than the feed rows already applied can be told and done again. DB thread.
 */
#ifndef KEYMETER_STORE_KEY_LOAD_H
#define KEYMETER_STORE_KEY_LOAD_H

#include "base/arena.h"
#include "core/period.h"
#include "core/tier.h"
#include "crypto/import_hash.h"
#include "io/db.h"

enum { KEY_LOAD_MAX = 32 };

struct key_load_row {
    const unsigned char *hash; /* the one asked for */
    bool found;
    bool imported; /* by one of the alternates: our own hash leads nowhere yet */
    struct import_hash imported_as;
    uint64_t secret_id, key_id, customer_id;
    int64_t secret_expires_at, key_expires_at; /* wall ms; 0: none */
    bool replaced;                             /* the secret was, and works on for a while */
    bool live;                                 /* environment */
    bool disabled, suspended, revoked, customer_active;
    bool capped;                  /* has a monthly cap */
    struct span permissions;      /* names joined by commas */
    struct span rate_limits_json; /* the key's own */
    struct span networks_json;
    struct span metadata_json;
    struct span external_id;
    struct span tier;
    struct period_rule months;
};

struct key_load {
    size_t count;
    const unsigned char *hashes[KEY_LOAD_MAX]; /* 32 bytes each */
    /* What the same text may have been imported as; NULL: nothing. Hashes and alternates together
     * are at most KEY_LOAD_MAX, more are left out. */
    const struct import_hashes *alternates[KEY_LOAD_MAX];
    /* out, in the arena: one row for each hash, in the order asked */
    struct key_load_row rows[KEY_LOAD_MAX];
    uint64_t position;
};
MUST_USE enum err key_load(struct db *db, struct arena *arena, struct key_load *load);

struct tier_load {
    struct tier *tiers;
    size_t count;
    uint64_t position;
};
MUST_USE enum err tier_load(struct db *db, struct arena *arena, struct tier_load *out);

/* JSON arrays as they stand in the columns. False when malformed. Also for reading tiers elsewhere.
 */
MUST_USE bool rate_limits_from_json(struct span json, struct rate_limit *out, unsigned *count);

#endif
