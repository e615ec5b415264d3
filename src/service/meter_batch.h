/* Batches: calls that one feed read and one insert answer. Shared by src/service/meter*.c only;
 * loop thread, but for the job's own run. */
#ifndef KEYMETER_SERVICE_METER_BATCH_H
#define KEYMETER_SERVICE_METER_BATCH_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "core/journal.h"
#include "io/db_pool.h"
#include "service/meter.h"
#include "store/feed.h"
#include "store/journal.h"

struct meter;
struct meter_budget;
struct verify_call;

/* A charge whose caller got 503 before its batch's outcome was known. */
struct meter_orphan {
    struct meter_budget *budgets[VERIFY_BUDGETS];
    struct journal_entry refund;
    unsigned incarnation; /* whose lease was charged */
};

struct meter_batch {
    struct db_job job;
    struct meter *meter;
    struct list calls;
    struct buf payload;
    struct journal_entry
        *entries; /* what the payload holds beyond the calls: the carry taken along */
    size_t carry_count;
    bool feed_done; /* the feed was read after this batch closed: only insert */
    struct journal_id id;
    struct feed_place from;
    uint64_t connection; /* expected; another one means everything is to be read again */
    struct arena arena;
    struct feed_read feed;
    bool insert_sent, connection_changed;
    uint64_t used_connection, server_connection; /* db_serial, and the server's id for KILL */
    int64_t closed_us;
    struct meter_orphan *orphans;
    size_t orphan_count, orphan_room;
};

/* Last uses: beyond `many` secrets in a window each one's is written once in it. */
struct use_window {
    uint16_t number; /* of the running one */
    unsigned secrets, many;
};

void batch_start(struct meter *meter); /* closes the open batch when the flusher is free */
void batch_answer(struct meter *meter, struct meter_batch *batch);
void batch_undo(struct meter *meter, struct meter_batch *batch);
void batch_orphan(struct verify_call *call);
struct journal_entry call_entry(const struct meter *meter, const struct verify_call *call);
/* Its entry is written, or carried. */
void call_counted(struct meter *meter, const struct verify_call *call);
void batch_end(struct meter_batch **batch); /* frees it */

#endif
