/* Customers as they are shown: opened name and e-mail, entitlement, quota and units of the month.
 * DB thread. */
#ifndef KEYMETER_STORE_CUSTOMER_VIEW_H
#define KEYMETER_STORE_CUSTOMER_VIEW_H

#include "store/customer.h"
#include "store/customer_keys.h"
#include "store/entitlement.h"

#include <stddef.h>

struct keyring;

struct customer_view {
    uint64_t id;
    const char *external_id, *email, *name; /* NULL: none */
    const char *metadata, *language;        /* language NULL: none of its own */
    struct customer_keys keys;              /* all but their texts */
    int64_t created_at, updated_at;
    struct entitlement_row entitlement;
    bool has_quota;
    uint64_t quota;
    struct period period; /* of the quota */
    uint64_t used;
};

struct customer_filter {
    struct customer_name name;        /* id 0, external_id.data NULL: any */
    const unsigned char *email_index; /* 16 bytes (blind_index); NULL: any */
    struct span tier;                 /* data NULL: any */
    bool oldest_first;                /* else newest first */
    uint64_t before;                  /* ids behind this one; 0: from the first */
    size_t limit;
};

/* In the arena; `used` is 0 until customer_view_count. ERR_CRYPTO: a sealed column
 * does not open under the keyring. */
MUST_USE enum err customer_view_list(struct db *db, const struct keyring *keyring,
                                     const struct customer_filter *filter, int64_t now_ms,
                                     struct arena *arena, struct customer_view **views,
                                     size_t *count);
/* `used` counts what is folded. ERR_NOT_FOUND. */
MUST_USE enum err customer_view_find(struct db *db, const struct keyring *keyring,
                                     const struct customer_name *name, int64_t now_ms,
                                     struct arena *arena, struct customer_view *view);
/* Sets `used` exactly. Within a snapshot (store/usage_snapshot.h). */
MUST_USE enum err customer_view_count(struct db *db, struct customer_view *views, size_t count,
                                      struct arena *arena);

/* The plain text of a sealed column in the arena; *out NULL when nothing is sealed. */
MUST_USE enum err customer_open(const struct keyring *keyring, const char *column, uint64_t id,
                                struct span sealed, struct arena *arena, const char **out);

#endif
