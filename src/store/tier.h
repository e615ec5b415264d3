/* The tier table. DB thread; saving inside an explicit transaction that also appends FEED_TIER. */
#ifndef KEYMETER_STORE_TIER_H
#define KEYMETER_STORE_TIER_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "core/tier.h"

struct db;

struct tier_row {
    struct tier tier;
    int64_t created_at, updated_at; /* wall ms */
};

/* ERR_NOT_FOUND. ERR_DB: a column holds what no version of Keymeter wrote. */
MUST_USE enum err tier_row_find(struct db *db, struct span slug, struct tier_row *row);
/* All of them by slug, in the arena; at most TIERS_MAX. */
MUST_USE enum err tier_list(struct db *db, struct arena *arena, struct tier_row **rows,
                            size_t *count);
/* Locks the tier; ERR_NOT_FOUND. *version changes with every change of it. */
MUST_USE enum err tier_lock(struct db *db, struct span slug, int64_t *version);
int64_t tier_version(const struct tier_row *row);
/* Makes or replaces the tier; *created tells which. row->created_at and updated_at become what
 * stands afterwards. ERR_FULL: there are TIERS_MAX already. */
MUST_USE enum err tier_save(struct db *db, struct tier_row *row, int64_t now_ms, bool *created);

/* [{"name","limit","window_seconds"}], the columns' form. */
struct buf;
void rate_limits_to_json(const struct rate_limit *limits, unsigned count, struct buf *out);

#endif
