/* The meter's own structures, shared by src/service/meter*.c only.
 *
 * Glossary. secret: a presented key text's hash and what it leads to. budget: this node's lease on
 * a customer's quota, or a key's cap, of one period. batch: calls answered by one feed read and one
 * insert. carry: journal entries without a batch (denials, refunds, calls of ack = memory) that go
 * with the next insert. orphan: the charge of a call that had 503 while its batch was under way.
 * epoch: counts the resets after a lost connection; what an older one loaded is loaded again.
 *
 * To add a reason to deny: meter_decide.c. To change what is journaled: meter_batch.c. Staleness
 * after a feed row: meter_feed.c. */
#ifndef KEYMETER_SERVICE_METER_PRIVATE_H
#define KEYMETER_SERVICE_METER_PRIVATE_H

#include "base/table.h"
#include "core/clock_watch.h"
#include "service/meter.h"
#include "service/meter_batch.h"
#include "service/meter_import.h"
#include "service/meter_lease.h"
#include "service/meter_table.h"
#include "store/fold.h"
#include "store/node.h"

struct loop_timer;
struct loop_hook;

/* Another node's heartbeat, as this one has seen it by its own successive reads. */
struct node_watch {
    unsigned id, incarnation;
    int64_t heartbeat, since_ms, read_ms; /* CLOCK_BOOTTIME */
};

enum meter_state {
    METER_JOINING,
    METER_SYNCING,
    METER_SERVING,
    METER_RESOLVING,
    METER_STOPPING,
    METER_REFUSED, /* another process has this node's name: nothing is answered any more */
};

enum { FEED_RING = 4096 };
struct feed_memory {
    uint64_t position;
    struct feed_row row;
};

struct meter {
    struct service *service;
    enum meter_state state;
    bool stop_asked;
    unsigned node, incarnation;
    uint64_t tag;             /* this process, in the node's row */
    struct node_watch former; /* the incarnation before the first join, while it may be alive */
    bool former_silent;
    uint32_t epoch;
    uint64_t seq;
    struct feed_place applied;
    uint64_t connection; /* the flusher's, as of the last sync; 0: none */

    struct db_pool *flusher, *loader, *leaser, *background;
    unsigned pools_open;

    struct table secrets, keys, customers, budgets;
    unsigned secret_limit;
    size_t trim_hand; /* a place in secrets */
    struct meter_tier tiers[TIERS_MAX];
    unsigned tier_count;
    uint32_t tier_loads;
    bool tiers_loading, tiers_stale; /* the load of the tiers brings the sources too */
    struct import_sources sources;   /* of imported hashes; one new to us makes them stale */
    bool sources_stale;
    uint32_t import_generation; /* rises with each import: entries that lead nowhere are void */
    int64_t import_known_us;    /* since when we know that there are imports; 0: none known */
    int64_t feed_read_us;       /* when the last feed read that came to its end was begun */
    struct list tier_waiters;

    unsigned waiting; /* calls in age */
    struct list open; /* decided calls for the next batch */
    struct list age;  /* every unanswered call, oldest first */
    struct meter_batch *flying, *unresolved;
    struct journal_entry *carry;
    size_t carry_count, carry_room;
    int64_t carry_since_us;
    struct use_window uses;

    struct list load_queue; /* struct meter_load */
    unsigned loads_flying;
    int64_t load_retry_us, take_retry_us; /* not before, after a failure */
    struct list take_queue;               /* budgets */
    bool take_flying;
    struct feed_memory ring[FEED_RING]; /* by position modulo FEED_RING */
    uint64_t ring_from;                 /* lowest position it holds all rows from */

    struct loop_timer *tick; /* every 10 ms */
    struct loop_hook *turn;  /* after each poll of the loop */
    int64_t feed_idle_us, housekeep_us, heartbeat_us;
    int64_t batch_retry_us, batch_failed_us; /* no batch before; when a failed one was logged */
    bool heartbeat_flying, fold_flying, control_flying; /* control: join, sync, resolve, leave */
    bool fenced;                                        /* a feed row says so of this incarnation */
    bool left, upkeep_flying;                           /* left: the node table */
    int64_t upkeep_due_us;
    struct clock_watch clock; /* from the start on; nothing confirms it */
    unsigned live_nodes;
    struct node_watch watches[NODE_ID_MAX];
    unsigned watch_count;
    int64_t control_retry_us;
    int64_t max_wait_us;
    bool told_serving, released;
    bool budgets_dropped; /* from memory, in this incarnation */
    int64_t stop_deadline_us;
    void (*closed)(void *context);
    void *closed_context;
    struct meter_stats stats;
};

/* meter_stats.c: why a call that waits now would be answered 503. */
enum meter_cause meter_cause_of(const struct meter *meter);

/* meter_decide.c: one call. */
void call_decide(struct meter *meter, struct verify_call *call); /* places it where it waits next */
void call_uncharge(struct verify_call *call);
void call_answer(struct meter *meter, struct verify_call *call, enum verify_code code);
void calls_decide(struct meter *meter, struct list *calls);

/* meter_load.c */
void load_end(struct meter_secret *secret); /* takes it out of the queue, if there is one */
void load_want(struct meter *meter, struct verify_call *call, struct meter_secret *secret);
void load_tiers_want(struct meter *meter, struct verify_call *call);
void loads_start(struct meter *meter);

/* meter_feed.c */
void feed_apply(struct meter *meter, const struct feed_read *feed);
bool feed_names_row(const struct meter *meter, uint64_t position, const struct key_load_row *row);
bool feed_names_tiers(const struct meter *meter, uint64_t position);
void feed_forget(struct meter *meter, struct feed_place place);

/* meter_sync.c: joining, reading the feed's end, resolving an uncertain batch. */
void meter_join(struct meter *meter);
void meter_fenced(struct meter *meter); /* it can write no more */
void meter_sync(struct meter *meter);
void meter_resolve(struct meter *meter, struct meter_batch *batch);

/* meter_background.c: heartbeat, fold, observing other nodes. */
void background_start(struct meter *meter);

/* meter_upkeep.c: deleting old rows. */
void upkeep_start(struct meter *meter); /* when it is due; never beside a fold */

#endif
