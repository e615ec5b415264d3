/* What has been used, exactly: folded rows and committed but unfolded journal rows, read in one
 * consistent snapshot, so that a fold running beside it is seen whole or not at all. DB thread. */
#ifndef KEYMETER_STORE_USAGE_SNAPSHOT_H
#define KEYMETER_STORE_USAGE_SNAPSHOT_H

#include "base/compiler.h"
#include "base/err.h"
#include "core/journal.h"

#include <stddef.h>
#include <stdint.h>

struct db;

/* Begins a read-only REPEATABLE READ transaction with its snapshot taken now. Outside a
 * transaction. End it with usage_snapshot_end whatever happens. */
MUST_USE enum err usage_snapshot_begin(struct db *db);
void usage_snapshot_end(struct db *db);

/* Within a snapshot: each(entry, context) for every entry of every unfolded journal row. The rows
 * are read in pieces, so memory stays small however far the fold is behind. */
MUST_USE enum err
usage_unfolded_each(struct db *db, void (*each)(const struct journal_entry *entry, void *context),
                    void *context);

enum usage_kind {
    USAGE_CUSTOMER = 1, /* units charged to the customer's quota; subject: customer id */
    USAGE_KEY = 2,      /* units the key was charged, counted or not; subject: key id */
};
struct usage_subject {
    enum usage_kind kind;
    uint64_t subject;
    int64_t period_start; /* wall ms */
    uint64_t used;        /* result */
};
/* Within a snapshot; one pass over the journal for all of them. */
MUST_USE enum err usage_used_many(struct db *db, struct usage_subject *subjects, size_t count);

#endif
