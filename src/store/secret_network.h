/* From which networks a secret that was replaced is still used: noted by the fold, which sees each
 * network of a second, and named by the reminders of a rotation. DB thread. */
#ifndef KEYMETER_STORE_SECRET_NETWORK_H
#define KEYMETER_STORE_SECRET_NETWORK_H

#include "base/compiler.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct db;
struct journal_entry;

enum { SECRET_NETWORKS_MAX = 200 }; /* noted of one secret */

struct secret_network {
    uint64_t secret_id;
    int64_t last_used_at;
    unsigned char network[16]; /* 4 or 16 bytes, host bits clear */
    uint8_t length;
};

/* All zero at first; given to fold_networks_done in any case. */
struct fold_networks {
    uint64_t *ending; /* the secrets that have an end, sorted */
    size_t ending_count;
    struct secret_network *slots;
    size_t count;
};
MUST_USE enum err fold_networks_begin(struct db *db, struct fold_networks *seen);
/* Each call's; what does not fit any more is not noted. */
void fold_networks_add(struct fold_networks *seen, const struct journal_entry *entry);
MUST_USE enum err fold_networks_write(struct db *db, const struct fold_networks *seen);
void fold_networks_done(struct fold_networks *seen);

/* Those used since then, newest first; *total may be more than capacity. */
MUST_USE enum err secret_networks(struct db *db, uint64_t key_id, uint32_t version,
                                  int64_t since_ms, struct secret_network *out, size_t capacity,
                                  size_t *count, size_t *total);

#endif
