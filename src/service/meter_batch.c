/* Batches: what is decided is closed into a batch, the flusher inserts the journal row while the
 * feed stands still, then the answers go out. Loop thread, but for batch_run. One batch is under
 * way at a time, the next one fills meanwhile. A batch is closed before anything is sent for it;
 * when the feed has news, the calls they may concern are decided again before anything is inserted.
 */
#include "service/meter_private.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum {
    CARRY_MAX = 65536,
    CARRY_ENOUGH = 2048,
    CARRY_WAIT_US = 100 * 1000,
    FEED_IDLE_US = 50 * 1000,
    FAILED_AGAIN_US = 20 * 1000,
    FAILED_LOG_US = 1000 * 1000,
};

/* Adds a later entry of the same secret. False: they count in different places. */
static bool entry_merge(struct journal_entry *into, const struct journal_entry *later)
{
    if (into->hour != later->hour || into->period_start != later->period_start ||
        into->flags != later->flags)
        return false;
    into->units += later->units;
    into->allowed += later->allowed;
    into->denied_quota += later->denied_quota;
    into->denied_rate += later->denied_rate;
    into->denied_other += later->denied_other;
    if (!later->last_used_ms) return true;
    into->last_used_ms = later->last_used_ms;
    into->network_length = later->network_length;
    memcpy(into->network, later->network, sizeof into->network);
    return true;
}

static enum err carry_add(struct meter *meter, const struct journal_entry *entry)
{
    if (!meter->carry_count) meter->carry_since_us = clock_mono_us();
    for (size_t i = meter->carry_count, looked = 0; i && looked < 8; i--, looked++) {
        struct journal_entry *other = &meter->carry[i - 1];
        if (other->secret_id == entry->secret_id && entry_merge(other, entry)) return ERR_OK;
    }
    if (meter->carry_count == meter->carry_room) {
        size_t room = meter->carry_room ? meter->carry_room * 2 : 256;
        if (room > CARRY_MAX) return ERR_FULL;
        struct journal_entry *more = realloc(meter->carry, room * sizeof *more);
        if (!more) return ERR_NO_MEMORY;
        meter->carry = more;
        meter->carry_room = room;
    }
    meter->carry[meter->carry_count++] = *entry;
    return ERR_OK;
}

/* ---- DB thread ---- */
static enum err batch_run(struct db *db, struct db_job *job)
{
    struct meter_batch *batch = CONTAINER_OF(job, struct meter_batch, job);
    batch->used_connection = db_serial(db);
    batch->server_connection = db_connection_id(db);
    if (batch->used_connection != batch->connection) {
        batch->connection_changed = true;
        return ERR_DB_LOST;
    }
    bool written = false;
    batch->insert_sent = batch->payload.length != 0;
    if (batch->payload.length && !batch->feed_done) {
        enum err error =
            journal_insert_at(db, batch->id, buf_span(&batch->payload), batch->from, &written);
        if (error || written) return error;
    }
    if (!batch->feed_done) {
        enum err error = feed_read(db, batch->from, &batch->arena, &batch->feed);
        if (error || batch->feed.count) return error;
    }
    if (!batch->payload.length) return ERR_OK;
    return journal_insert(db, batch->id, buf_span(&batch->payload));
}

/* ---- loop ---- */
static void orphan_release(struct meter_orphan *orphan)
{
    for (int i = 0; i < VERIFY_BUDGETS; i++)
        if (orphan->budgets[i]) orphan->budgets[i]->orphans--;
}

/* Back to the leases it was charged to, unless they are of an incarnation that ended. */
static void orphan_give_back(const struct meter_orphan *orphan)
{
    for (int i = 0; i < VERIFY_BUDGETS; i++) {
        struct meter_budget *budget = orphan->budgets[i];
        if (budget && orphan->incarnation == budget->incarnation)
            budget->spent += (uint64_t)orphan->refund.units; /* negative */
    }
}

void batch_end(struct meter_batch **batch)
{
    if (!*batch) return;
    for (size_t i = 0; i < (*batch)->orphan_count; i++)
        orphan_release(&(*batch)->orphans[i]);
    buf_done(&(*batch)->payload);
    arena_done(&(*batch)->arena);
    free((*batch)->entries);
    free((*batch)->orphans);
    free(*batch);
    *batch = NULL;
}

static struct meter_batch *batch_new(struct meter *meter)
{
    struct meter_batch *batch = calloc(1, sizeof *batch);
    if (!batch) return NULL;
    batch->meter = meter;
    batch->payload.limit = 8 << 20;
    list_init(&batch->calls);
    return batch;
}

/* The carry goes into this batch's payload, and back if it comes to nothing. */
static void carry_take(struct meter *meter, struct meter_batch *batch)
{
    if (!meter->carry_count) return;
    batch->entries = meter->carry;
    batch->carry_count = meter->carry_count;
    meter->carry = NULL;
    meter->carry_count = meter->carry_room = 0;
}

static void carry_return(struct meter *meter, struct meter_batch *batch)
{
    bool left = batch->id.incarnation != meter->incarnation;
    for (size_t i = 0; i < batch->carry_count; i++) {
        struct journal_entry *entry = &batch->entries[i];
        if (left) entry->flags |= JOURNAL_UNLEASED; /* its lease is settled by the fold */
        if (carry_add(meter, entry) != ERR_OK)
            log_event(LOG_ERROR, "carry_full", "counts of answered calls were dropped");
    }
    free(batch->entries);
    batch->entries = NULL;
    batch->carry_count = 0;
}

/* Merges the calls into one entry a secret, as long as hour and period agree. */
static void batch_encode(struct meter_batch *batch)
{
    struct journal_entry stack[256], *entries = stack;
    size_t count = 0, room = 0;
    for (struct list *at = batch->calls.next; at != &batch->calls; at = at->next)
        room++;
    if (room > COUNT_OF(stack)) entries = calloc(room, sizeof *entries);
    if (!entries) {
        batch->payload.failed = true;
        return;
    }
    for (struct list *at = batch->calls.next; at != &batch->calls; at = at->next) {
        struct verify_call *call = CONTAINER_OF(at, struct verify_call, link);
        struct meter_secret *secret = call->secret;
        if (!secret->key || call->code == VERIFY_UNAVAILABLE) continue;
        struct journal_entry entry = call_entry(batch->meter, call);
        if (secret->entry && entry_merge(&entries[secret->entry - 1], &entry)) continue;
        entries[count++] = entry;
        secret->entry = (unsigned)count;
    }
    struct journal_writer writer;
    journal_encode_begin(&writer, &batch->payload);
    for (size_t i = 0; i < count; i++)
        journal_encode_entry(&writer, &entries[i]);
    for (size_t i = 0; i < batch->carry_count; i++)
        journal_encode_entry(&writer, &batch->entries[i]);
    journal_encode_end(&writer);
    for (struct list *at = batch->calls.next; at != &batch->calls; at = at->next)
        CONTAINER_OF(at, struct verify_call, link)->secret->entry = 0;
    if (entries != stack) free(entries);
}

/* Whether an answer waits for the insert. */
static bool batch_awaits_insert(const struct meter_batch *batch)
{
    for (struct list *at = batch->calls.next; at != &batch->calls; at = at->next) {
        const struct verify_call *call = CONTAINER_OF(at, struct verify_call, link);
        if (call->code == VERIFY_VALID && !call->by_memory) return true;
    }
    return false;
}

/* Counts of answered calls are kept for a moment, not for long and not many. */
static bool carry_is_due(const struct meter *meter, int64_t now_us)
{
    return meter->carry_count && (now_us - meter->carry_since_us > CARRY_WAIT_US ||
                                  meter->carry_count > CARRY_ENOUGH || meter->stop_asked);
}

/* Denied calls, and those of tiers with ack = memory, need the feed read, not the insert: their
 * counts go with a later one. */
static void batch_prepare(struct meter *meter, struct meter_batch *batch)
{
    buf_clear(&batch->payload);
    if (!batch_awaits_insert(batch) && !carry_is_due(meter, clock_mono_us())) return;
    carry_take(meter, batch);
    batch_encode(batch);
    batch->id = (struct journal_id){meter->node, meter->incarnation, ++meter->seq};
}

static void batch_done(struct db_job *job, enum err error);

static void batch_send(struct meter *meter, struct meter_batch *batch)
{
    batch->job = (struct db_job){.run = batch_run, .done = batch_done};
    batch->from = meter->applied;
    batch->connection = meter->connection;
    batch->insert_sent = batch->connection_changed = false;
    batch->closed_us = clock_mono_us();
    meter->feed_idle_us = batch->closed_us;
    meter->flying = batch;
    if (batch->payload.failed || db_submit(meter->flusher, &batch->job) != ERR_OK) {
        meter->flying = NULL;
        batch_done(&batch->job, ERR_NO_MEMORY);
    }
}

void batch_start(struct meter *meter)
{
    if (meter->flying || meter->unresolved) return;
    if (meter->state != METER_SERVING && meter->state != METER_STOPPING) return;
    if (meter->left) return; /* it could write nothing, and read of its own fence */
    int64_t now_us = clock_mono_us();
    if (now_us < meter->batch_retry_us) return;
    if (list_empty(&meter->open) && !carry_is_due(meter, now_us) &&
        now_us - meter->feed_idle_us < FEED_IDLE_US)
        return;
    struct meter_batch *batch = batch_new(meter);
    if (!batch) return;
    list_splice(&batch->calls, &meter->open);
    for (struct list *at = batch->calls.next; at != &batch->calls; at = at->next)
        CONTAINER_OF(at, struct verify_call, link)->batch = batch;
    batch_prepare(meter, batch);
    batch_send(meter, batch);
}

/* The call is answered, its counts go with a later insert. */
static void answered_carry(struct meter *meter, const struct verify_call *call)
{
    if (!call->secret->key || call->code == VERIFY_UNAVAILABLE) return;
    struct journal_entry entry = call_entry(meter, call);
    if (carry_add(meter, &entry) != ERR_OK)
        log_event(LOG_ERROR, "carry_full", "counts of answered calls were dropped");
}

/* Charges of callers answered 503 meanwhile, which now will not be written. */
static void orphans_uncharge(struct meter_batch *batch)
{
    for (size_t i = 0; i < batch->orphan_count; i++) {
        struct meter_orphan *orphan = &batch->orphans[i];
        orphan_give_back(orphan);
        orphan_release(orphan);
    }
    batch->orphan_count = 0;
}

/* Everything is through: the answers go out. */
void batch_answer(struct meter *meter, struct meter_batch *batch)
{
    bool inserted = batch->payload.length != 0;
    uint64_t calls_before = meter->stats.batched_calls;
    meter->stats.batches++;
    if (inserted) {
        meter->stats.inserts++;
        meter->stats.insert_us = clock_mono_us();
        histogram_add(&meter->stats.commit_us,
                      (uint64_t)(meter->stats.insert_us - batch->closed_us));
    }
    for (struct list *link; (link = list_shift(&batch->calls));) {
        struct verify_call *call = CONTAINER_OF(link, struct verify_call, link);
        call->batch = NULL;
        if (!inserted) answered_carry(meter, call);
        call_counted(meter, call);
        meter->stats.batched_calls++;
        call_answer(meter, call, call->code);
    }
    if (meter->stats.batched_calls != calls_before)
        histogram_add(&meter->stats.batch_calls, meter->stats.batched_calls - calls_before);
    if (!inserted) orphans_uncharge(batch);
    /* A charge whose caller was answered 503 meanwhile is given back with the next insert. */
    for (size_t i = 0; i < batch->orphan_count; i++) {
        struct meter_orphan *orphan = &batch->orphans[i];
        if (orphan->incarnation != meter->incarnation) orphan->refund.flags |= JOURNAL_UNLEASED;
        if (carry_add(meter, &orphan->refund) == ERR_OK) /* else it stays charged */
            orphan_give_back(orphan);
    }
    batch_end(&batch);
}

/* Nothing was written: every call is decided again, charges are taken back. */
void batch_undo(struct meter *meter, struct meter_batch *batch)
{
    for (struct list *at = batch->calls.next; at != &batch->calls; at = at->next) {
        struct verify_call *call = CONTAINER_OF(at, struct verify_call, link);
        call->batch = NULL;
        call_uncharge(call);
    }
    orphans_uncharge(batch);
    carry_return(meter, batch);
    calls_decide(meter, &batch->calls);
    batch_end(&batch);
}

static bool call_is_stale(const struct meter *meter, const struct verify_call *call)
{
    if (!secret_is_current(meter, call->secret) || meter->tiers_stale) return true;
    if (call->code == VERIFY_QUOTA_EXCEEDED && !call->denied_by->exceeded) return true;
    for (int i = 0; i < VERIFY_BUDGETS; i++)
        if (call->budgets[i] && call->budgets[i]->void_) return true;
    return false;
}

/* Moves the calls of `from` that the feed's news may concern to `stale`, their charges taken back.
 */
static void stale_take(const struct meter *meter, struct list *from, struct list *stale)
{
    for (struct list *at = from->next, *next; at != from; at = next) {
        next = at->next;
        struct verify_call *call = CONTAINER_OF(at, struct verify_call, link);
        if (!call_is_stale(meter, call)) continue;
        call->batch = NULL;
        call_uncharge(call);
        list_remove(at);
        list_append(stale, at);
    }
}

/* The feed had news: what they may concern is decided again (and so joins a later batch), the rest
 * is inserted under the read that was just made. The calls of the open batch were decided before
 * the news too, and the read of theirs will begin behind it: they are looked at with the same eyes.
 */
static void batch_feed_news(struct meter *meter, struct meter_batch *batch)
{
    feed_apply(meter, &batch->feed);
    if (meter->fenced) { /* whose units these were may have been given to others */
        meter_fenced(meter);
        batch_undo(meter, batch);
        return;
    }
    struct list stale;
    list_init(&stale);
    stale_take(meter, &batch->calls, &stale);
    stale_take(meter, &meter->open, &stale);
    orphans_uncharge(batch);
    carry_return(meter, batch);
    calls_decide(meter, &stale);
    batch->feed_done = true;
    batch_prepare(meter, batch);
    batch_send(meter, batch);
}

/* The server answers, but does not write: a full disk, say. Its calls will be in the next batch,
 * and that one would fail as well: not so soon that this fills two logs, on what may be the same
 * disk. */
static void batch_failed(struct meter *meter, enum err error)
{
    int64_t now_us = clock_mono_us();
    if (error != ERR_DB_RETRY) meter->batch_retry_us = now_us + FAILED_AGAIN_US;
    if (meter->batch_failed_us && now_us - meter->batch_failed_us < FAILED_LOG_US) return;
    meter->batch_failed_us = now_us;
    log_event(LOG_WARN, "batch_failed", "%s", err_name(error));
}

static void batch_done(struct db_job *job, enum err error)
{
    struct meter_batch *batch = CONTAINER_OF(job, struct meter_batch, job);
    struct meter *meter = batch->meter;
    meter->flying = NULL;
    if (!error) meter->stats.feed_us = batch->closed_us; /* known as it stood then */
    if (!error && !batch->feed_done) meter->feed_read_us = batch->closed_us;
    if (!error && batch->feed.count && !batch->feed_done) {
        batch_feed_news(meter, batch);
        return;
    }
    if (!error) {
        batch_answer(meter, batch);
        return;
    }
    bool lost = error == ERR_DB_LOST || error == ERR_DB_UNCERTAIN || error == ERR_NOT_FOUND;
    if (batch->insert_sent && (error == ERR_DB_LOST || error == ERR_DB_UNCERTAIN)) {
        log_event(LOG_WARN, "batch_uncertain", "connection lost while a batch was committed");
        meter_resolve(meter, batch);
        return;
    }
    /* A batch of an incarnation that was left already says nothing of the present one. */
    if (error == ERR_FENCED && batch->id.incarnation != meter->incarnation) {
        batch_undo(meter, batch);
        return;
    }
    if (error == ERR_FENCED)
        meter_fenced(meter);
    else if (lost)
        meter_sync(meter);
    else
        batch_failed(meter, error);
    batch_undo(meter, batch);
}

/* The call is about to be answered 503 while its batch is under way: what the batch writes of it is
 * taken back once that is known. */
void batch_orphan(struct verify_call *call)
{
    struct meter_batch *batch = call->batch;
    call->batch = NULL;
    if (!call->secret->key || call->code == VERIFY_UNAVAILABLE) return;
    if (batch->orphan_count == batch->orphan_room) {
        size_t room = batch->orphan_room ? batch->orphan_room * 2 : 64;
        struct meter_orphan *more = realloc(batch->orphans, room * sizeof *more);
        if (!more) return; /* stays charged: never the other way round */
        batch->orphans = more;
        batch->orphan_room = room;
    }
    struct journal_entry refund = call_entry(batch->meter, call);
    refund.units = -refund.units;
    refund.flags = (uint8_t)((refund.flags & ~JOURNAL_ACTIVE) | JOURNAL_TAKEN_BACK);
    refund.last_used_ms = 0;
    struct meter_orphan *orphan = &batch->orphans[batch->orphan_count++];
    *orphan = (struct meter_orphan){.refund = refund, .incarnation = call->charged_in};
    for (int i = 0; i < VERIFY_BUDGETS; i++) {
        orphan->budgets[i] = call->budgets[i];
        if (orphan->budgets[i]) orphan->budgets[i]->orphans++;
    }
    call->charged = 0;
}
