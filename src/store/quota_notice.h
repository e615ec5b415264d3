/* Thresholds of quotas that were reached and are to be told. DB thread.
 *
 *   fold ── its transaction: quota_due_mark ──► quota_due ── quota_due_pick, an operation each:
 *           lock, core/quota_notice.h, the mail, quota_told_write, quota_due_remove ──► quota_told
 */
#ifndef KEYMETER_STORE_QUOTA_NOTICE_H
#define KEYMETER_STORE_QUOTA_NOTICE_H

#include "base/compiler.h"
#include "base/err.h"
#include "core/quota_notice.h"
#include "store/lease.h"

#include <stddef.h>
#include <stdint.h>

struct db;

/* Of these budgets of customers, which the caller's transaction has written, each that has reached
 * a threshold that was not told yet. It may be marked more than once. Waits for nobody. */
MUST_USE enum err quota_due_mark(struct db *db, const struct budget_key *keys, size_t count);

struct quota_due {
    uint64_t id, customer_id;
    int64_t period_start;
};
/* The oldest ones, without locks. */
MUST_USE enum err quota_due_pick(struct db *db, struct quota_due *out, size_t limit, size_t *count);
/* Locks the mark; ERR_NOT_FOUND: it is done, or another one has it. Then what it is about. */
MUST_USE enum err quota_due_lock(struct db *db, uint64_t id);
MUST_USE enum err quota_due_remove(struct db *db, uint64_t id);

/* What is folded of the customer's period, and what was told of it; under a lock, so that of two
 * that look at once the second one sees what the first one told. */
MUST_USE enum err quota_told_lock(struct db *db, const struct quota_due *due, uint64_t *used,
                                  struct quota_told *told);
MUST_USE enum err quota_told_write(struct db *db, const struct quota_due *due,
                                   const struct quota_told *told);

#endif
