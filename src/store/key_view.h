/* Keys as they are shown: the row with its tier, secrets, last use and units of the month. DB
 * thread. */
#ifndef KEYMETER_STORE_KEY_VIEW_H
#define KEYMETER_STORE_KEY_VIEW_H

#include "core/key_status.h"
#include "core/network.h"
#include "store/api_key.h"

enum { KEY_SECRETS_MAX = 8 };

struct key_secret_view {
    uint32_t version;
    char start[11];
    int64_t created_at, last_used_at, expires_at; /* wall ms; 0: none */
};

struct key_view {
    struct api_key_row row;
    const char *tier;
    enum key_status status;
    char start[11], fingerprint[9]; /* of the current secret */
    int64_t last_used_at;
    struct address last_network;                     /* length 0: unknown */
    struct key_secret_view secrets[KEY_SECRETS_MAX]; /* those that work, newest first */
    size_t secret_count;
    int64_t period_start;
    uint64_t used;
};

struct key_filter {
    uint64_t customer_id;    /* 0: by external_id, or any */
    struct span external_id; /* data NULL: any */
    bool has_status;
    enum key_status status;
    struct span tier; /* data NULL: any */
    uint64_t before;  /* ids below; 0: from the newest */
    size_t limit;
};

/* `used` counts what is folded. ERR_NOT_FOUND. */
MUST_USE enum err key_view_find(struct db *db, uint64_t id, int64_t now_ms, struct arena *arena,
                                struct key_view *view);
/* Newest first, in the arena. */
MUST_USE enum err key_view_list(struct db *db, const struct key_filter *filter, int64_t now_ms,
                                struct arena *arena, struct key_view **views, size_t *count);
/* Sets `used` exactly. Within a snapshot (store/usage_snapshot.h). */
MUST_USE enum err key_view_count(struct db *db, struct key_view *views, size_t count,
                                 struct arena *arena);

#endif
