/* Keys as they are shown: the row with its tier, secrets, last use and units of the month. DB
 * thread. */
#ifndef KEYMETER_STORE_KEY_VIEW_H
#define KEYMETER_STORE_KEY_VIEW_H

#include "core/key_status.h"
#include "core/network.h"
#include "core/period.h"
#include "store/api_key.h"
#include "store/key_search.h"

enum { KEY_SECRETS_MAX = 8 };

struct key_secret_view {
    uint32_t version;
    char start[11];
    /* wall ms; 0: none, or not known yet: an older secret that ends with its retirement */
    int64_t created_at, last_used_at, expires_at;
};

struct key_view {
    struct api_key_row row;
    const char *tier;
    enum key_status status;
    char start[11], fingerprint[9]; /* of the current secret; "": it waits to be claimed */
    int64_t last_used_at;
    struct address last_network;                     /* length 0: unknown */
    struct key_secret_view secrets[KEY_SECRETS_MAX]; /* those that work, newest first */
    size_t secret_count;
    struct period period; /* of the customer's quota */
    uint64_t used;
};

/* `used` counts what is folded. ERR_NOT_FOUND. */
MUST_USE enum err key_view_find(struct db *db, uint64_t id, int64_t now_ms, struct arena *arena,
                                struct key_view *view);
/* What key_view_find would say right behind the insert of a key and its first secret (NULL: none
 * yet), in the same transaction. Strings are those of `row`; `tier` must live as long. */
void key_view_of_new(struct key_view *view, const struct api_key_row *row,
                     const struct key_secret_row *secret, const char *tier,
                     const struct period_rule *months, int64_t now_ms);
/* What key_search finds, in the arena. */
MUST_USE enum err key_view_list(struct db *db, const struct key_filter *filter, int64_t now_ms,
                                struct arena *arena, struct key_view **views, size_t *count,
                                uint64_t *next);
/* Sets `used` exactly. Within a snapshot (store/usage_snapshot.h). */
MUST_USE enum err key_view_count(struct db *db, struct key_view *views, size_t count,
                                 struct arena *arena);

#endif
