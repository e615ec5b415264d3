/* The meter's own structures, shared by src/service/meter*.c only.
 *
 * Glossary. secret: a presented key text's hash and what it leads to. budget: this node's lease on
 * a customer's quota of one period. batch: calls answered by one feed read and one insert. carry:
 * journal entries without a batch (denials, refunds) that go with the next insert. epoch: counts
 * the resets after a lost connection; what was loaded in an older epoch is loaded again.
 *
 * To add a reason to deny: meter_decide.c. To change what is journaled: meter_batch.c. Staleness
 * after a feed row: meter_feed.c. */
#ifndef KEYMETER_SERVICE_METER_PRIVATE_H
#define KEYMETER_SERVICE_METER_PRIVATE_H

#include "base/arena.h"
#include "base/table.h"
#include "core/journal.h"
#include "core/tier.h"
#include "io/db.h"
#include "service/meter.h"
#include "store/fold.h"
#include "store/journal.h"
#include "store/key_load.h"
#include "store/lease.h"

struct loop_timer;
struct loop_hook;

struct meter_tier {
    struct tier tier;
    bool stale;
};

struct meter_customer {
    uint64_t id;
    uint64_t generation; /* rises with each feed row that names it */
    char *external_id;
    struct meter_tier *tier;
    bool active;
    unsigned keys;               /* that point here */
    struct meter_budget *budget; /* of the current period, or NULL */
};

struct meter_key {
    uint64_t id;
    uint64_t generation;
    struct meter_customer *customer;
    unsigned secrets; /* that point here */
    bool live, disabled, suspended, revoked;
    int64_t expires_at;
    char *permissions, *metadata_json;
    unsigned network_count, own_count, state_count;
    struct network *networks;
    struct rate_limit *own;    /* the key's, which replace the tier's of the same name */
    struct rate_limit *merged; /* NULL: the tier's alone */
    struct rate_state *states; /* one for each limit in force */
    uint64_t merged_at;        /* meter->tier_loads then */
};

/* An entry of the key table. key NULL: this hash leads nowhere (kept, until a feed row names it).
 */
struct meter_secret {
    unsigned char hash[32];
    struct list lru;
    uint64_t id;
    uint64_t epoch, key_generation, customer_generation; /* as loaded */
    struct meter_key *key;
    int64_t expires_at;
    bool fresh;            /* false: never loaded, or loaded and void */
    bool loading;          /* a load for it waits or is under way */
    unsigned pins;         /* calls that point here */
    struct list waiters;   /* calls */
    struct list load_link; /* in meter->load_queue */
    unsigned entry;        /* 1 + place in the batch being closed; 0: none */
};

struct meter_budget {
    struct budget_key key;
    bool known;             /* granted is what the row says */
    bool fresh;             /* memory never knew the lease: all granted counts as spent */
    bool frozen;            /* a take with hand-back is under way: spend nothing */
    bool taking;            /* in take_queue or under way */
    bool void_;             /* the limit may have changed: hand back before spending */
    bool release;           /* hand everything back (asked, idle or stopping) */
    unsigned voids, clears; /* counts feed rows, to see those that come during a take */
    int64_t retry_us;       /* no take before */
    uint64_t granted, spent, asked_at;
    bool exceeded; /* kept verdict: only `available` units are left anywhere */
    int64_t available;
    bool limited;
    uint64_t limit;
    int64_t claimed;  /* used + leased in all, as of the newest take */
    unsigned orphans; /* charges whose outcome is unknown and that point here */
    uint64_t recent;  /* units spent since rate_since_us */
    int64_t rate_since_us, used_at_us;
    int64_t touched_us;  /* the newest decision that points here */
    unsigned asks;       /* counts other nodes' asks, as voids does */
    double rate;         /* units a second */
    struct list waiters; /* calls */
    struct list take_link;
    struct meter_customer *customer;
};

/* A charge whose caller got 503 before its batch's outcome was known. */
struct meter_orphan {
    struct meter_budget *budget;
    struct journal_entry refund;
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

/* Another node's heartbeat, as this one has seen it by its own successive reads. */
struct node_watch {
    unsigned id, incarnation;
    int64_t heartbeat, since_ms, read_ms; /* CLOCK_BOOTTIME */
};

enum meter_state { METER_JOINING, METER_SYNCING, METER_SERVING, METER_RESOLVING, METER_STOPPING };

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
    uint64_t epoch, seq;
    struct feed_place applied;
    uint64_t connection; /* the flusher's, as of the last sync; 0: none */

    struct db_pool *flusher, *loader, *leaser, *background;
    unsigned pools_open;

    struct table secrets, keys, customers, budgets;
    struct list lru;
    unsigned secret_limit;
    struct meter_tier tiers[64];
    unsigned tier_count;
    uint64_t tier_loads;
    bool tiers_loading, tiers_stale;
    struct list tier_waiters;

    unsigned waiting; /* calls in age */
    struct list open; /* decided calls for the next batch */
    struct list age;  /* every unanswered call, oldest first */
    struct meter_batch *flying, *unresolved;
    struct journal_entry *carry;
    size_t carry_count, carry_room;
    int64_t carry_since_us;

    struct list load_queue; /* secrets */
    unsigned loads_flying;
    int64_t load_retry_us, take_retry_us; /* not before, after a failure */
    struct list take_queue;               /* budgets */
    bool take_flying;
    struct feed_memory ring[FEED_RING]; /* by position modulo FEED_RING */
    uint64_t ring_from;                 /* lowest position it holds all rows from */

    struct loop_timer *tick; /* every 10 ms */
    struct loop_hook *turn;  /* after each poll of the loop */
    int64_t feed_idle_us, housekeep_us, heartbeat_us;
    bool heartbeat_flying, fold_flying, control_flying; /* control: join, sync, resolve, leave */
    bool left;                                          /* the node table */
    unsigned live_nodes;
    struct node_watch watches[64];
    unsigned watch_count;
    int64_t control_retry_us;
    int64_t max_wait_us;
    bool released;
    int64_t stop_deadline_us;
    void (*closed)(void *context);
    void *closed_context;
    struct meter_stats stats;
};

/* meter_table.c: the key table. */
MUST_USE enum err table_init(struct meter *meter);
void table_done(struct meter *meter);
struct meter_secret *secret_get(struct meter *meter,
                                const unsigned char hash[32]); /* found or new */
void secret_install(struct meter *meter, struct meter_secret *secret,
                    const struct key_load_row *row);
bool secret_is_current(const struct meter *meter, const struct meter_secret *secret);
struct meter_tier *meter_tier_find(struct meter *meter, struct span slug); /* NULL: unknown */
struct meter_budget *budget_get(struct meter *meter, struct meter_customer *customer,
                                int64_t period_start);
/* The limits in force for a key, its own merged with its tier's, with their states beside them. */
const struct rate_limit *key_limits(struct meter *meter, struct meter_key *key, unsigned *count);
struct meter_budget *budget_find(const struct meter *meter, const struct budget_key *key);
void budget_void(struct meter_budget *budget);
void budgets_each(struct meter *meter, void (*each)(struct meter *, struct meter_budget *));
void budget_drop_idle(struct meter *meter, int64_t now_us);

/* meter_decide.c: one call. */
void call_decide(struct meter *meter, struct verify_call *call); /* places it where it waits next */
void call_uncharge(struct verify_call *call);
void call_answer(struct meter *meter, struct verify_call *call, enum verify_code code);
void calls_decide(struct meter *meter, struct list *calls);

/* meter_load.c */
void load_want(struct meter *meter, struct verify_call *call, struct meter_secret *secret);
void load_tiers_want(struct meter *meter, struct verify_call *call);
void loads_start(struct meter *meter);

/* meter_feed.c */
void feed_apply(struct meter *meter, const struct feed_read *feed);
bool feed_names_row(const struct meter *meter, uint64_t position, const struct key_load_row *row);
bool feed_names_tiers(const struct meter *meter, uint64_t position);
void feed_forget(struct meter *meter, struct feed_place place);

/* meter_batch.c */
void batch_start(struct meter *meter); /* closes the open batch when the flusher is free */
void batch_answer(struct meter *meter, struct meter_batch *batch);
void batch_undo(struct meter *meter, struct meter_batch *batch);
void batch_orphan(struct meter *meter, struct verify_call *call);
MUST_USE enum err carry_add(struct meter *meter, const struct journal_entry *entry);
struct journal_entry call_entry(const struct verify_call *call);

/* meter_sync.c: joining, reading the feed's end, resolving an uncertain batch. */
void meter_join(struct meter *meter);
void meter_sync(struct meter *meter);
void meter_resolve(struct meter *meter, struct meter_batch *batch);
void batch_end(struct meter *meter, struct meter_batch **batch); /* frees it */

/* meter_lease.c */
void lease_want(struct meter *meter, struct meter_budget *budget, struct verify_call *call);
void lease_refill(struct meter *meter, struct meter_budget *budget);
void takes_start(struct meter *meter);
uint64_t budget_unspent(const struct meter_budget *budget);
void budget_spend(struct meter_budget *budget, uint64_t units, int64_t now_us);
bool leases_idle(const struct meter *meter);

void leases_forget(struct meter *meter, bool new_incarnation);
void leases_housekeep(struct meter *meter);
void leases_release_all(struct meter *meter);

/* meter_background.c: heartbeat, fold, observing other nodes. */
void background_start(struct meter *meter);

#endif
