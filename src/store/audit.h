/* Reading the audit log; it is written by store/feed.h alone. DB thread. */
#ifndef KEYMETER_STORE_AUDIT_H
#define KEYMETER_STORE_AUDIT_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

struct db;

struct audit_entry_row {
    uint64_t sequence, id, customer_id; /* customer_id 0: none */
    int64_t at;                         /* wall ms */
    const char *actor, *action, *subject, *address, *request_id, *detail;
};
struct audit_filter {
    uint64_t before; /* sequences below it; 0: from the newest */
    uint64_t customer_id;
    struct span external_id; /* used when customer_id is 0 and it is not empty */
    struct span action;      /* empty: any */
    struct span subject;     /* the same: "key_…"; without a customer */
    size_t limit;
};
/* Newest first, in the arena. */
MUST_USE enum err audit_list(struct db *db, const struct audit_filter *filter, struct arena *arena,
                             struct audit_entry_row **rows, size_t *count);

#endif
