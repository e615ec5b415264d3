/* A node's leases: what it may spend of a customer's quota without asking. Shared by
 * src/service/meter*.c only; loop thread. */
#ifndef KEYMETER_SERVICE_METER_LEASE_H
#define KEYMETER_SERVICE_METER_LEASE_H

#include "base/list.h"
#include "store/lease.h"

struct meter;
struct meter_customer;
struct meter_extras;
struct meter_key;
struct period;
struct verify_call;

struct meter_budget {
    struct budget_key key;
    bool known;             /* granted is what the row says */
    bool fresh;             /* was dropped from memory: read the row first, all granted is spent */
    unsigned incarnation;   /* whose lease it is */
    bool frozen;            /* a take with hand-back is under way: spend nothing */
    bool taking;            /* in take_queue or under way */
    bool void_;             /* the limit may have changed: hand back before spending */
    bool release;           /* hand everything back (asked, idle or stopping) */
    unsigned voids, clears; /* counts feed rows, to see those that come during a take */
    int64_t retry_us;       /* no take before */
    uint64_t granted, spent, asked_at;
    bool exceeded; /* kept verdict: only `available` units are left anywhere */
    int64_t available;
    bool limited, has_limit;
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
    struct meter_customer *customer; /* whose current one it is, or NULL */
    struct meter_extras *extras;     /* the same of a cap */
};

/* meter_budget.c */
void budgets_init(struct meter *meter);
void budgets_done(struct meter *meter);
struct meter_budget *budget_get(struct meter *meter, struct meter_customer *customer,
                                const struct period *period);
/* Of a key's monthly cap. */
struct meter_budget *cap_get(struct meter *meter, struct meter_key *key,
                             const struct period *period);
struct meter_budget *budget_find(const struct meter *meter, const struct budget_key *key);
void budget_void(struct meter_budget *budget);
void budgets_each(struct meter *meter, void (*each)(struct meter *, struct meter_budget *));
void budget_drop_idle(struct meter *meter, int64_t now_us);

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

#endif
