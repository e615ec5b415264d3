/* The key table of a node: what was loaded of secrets, keys, customers and tiers, and whether it
 * still holds. Shared by src/service/meter*.c only; loop thread. */
#ifndef KEYMETER_SERVICE_METER_TABLE_H
#define KEYMETER_SERVICE_METER_TABLE_H

#include "base/list.h"
#include "base/span.h"
#include "core/network.h"
#include "core/rate_limit.h"
#include "core/tier.h"
#include "store/key_load.h"

struct meter;
struct meter_budget;
struct verify_call;

/* Limits in force, never changed once made: the keys without limits of their own share their
 * tier's.
 */
struct limit_set {
    unsigned users; /* a tier and keys */
    unsigned count;
    struct rate_limit limits[];
};

struct meter_tier {
    char slug[TIER_SLUG_SIZE];
    struct limit_set *limits; /* its own alone */
    enum ack ack;
};

struct meter_customer {
    uint64_t id;
    uint32_t generation; /* rises with each feed row that names it */
    char *external_id;
    struct meter_tier *tier;
    bool active;
    unsigned keys; /* that point here */
    struct period_rule months;
    struct period period;        /* of `months`, as last asked for */
    struct meter_budget *budget; /* of that period, or NULL */
};

/* What most keys have nothing of. */
struct meter_extras {
    char *permissions, *metadata_json;
    unsigned network_count, limit_count;
    bool unreadable;          /* its limits: it is refused, not let through without them */
    bool capped;              /* there is a monthly cap; how high, only the lease knows */
    struct meter_budget *cap; /* of the current period, or NULL */
    struct network *networks;
    struct rate_limit *limits; /* the key's own, which replace the tier's of the same name */
};

enum { STATES_INSIDE = 2 };

/* There may be a million of these and of secrets: 250 bytes for both with their places in the
 * tables, when a key has no extras and two limits (tests/unit/test_meter_table.c). */
struct meter_key {
    uint64_t id;
    struct meter_customer *customer;
    struct meter_extras *extras; /* NULL: none */
    struct limit_set *limits;    /* NULL: not made up yet */
    int64_t expires_at;
    uint32_t generation;  /* rises with each feed row that names it */
    uint32_t limits_at;   /* meter->tier_loads when `limits` was made up */
    uint32_t active_hour; /* since 1970, that the journal was last told of (JOURNAL_ACTIVE) */
    uint16_t secrets;     /* that point here */
    bool live : 1, disabled : 1, suspended : 1, revoked : 1;
    union { /* one for each of limits, inside when they fit */
        struct rate_state inside[STATES_INSIDE];
        struct rate_state *outside;
    } states;
};

struct meter_load;

/* An entry of the key table. key NULL: this hash leads nowhere (kept, until a feed row names it or
 * anything is imported: key_generation is meter->import_generation then). */
struct meter_secret {
    unsigned char hash[32];
    uint64_t id;
    struct meter_key *key;
    struct meter_load *load; /* waits or is under way; NULL: none */
    int64_t expires_at;
    uint32_t epoch, key_generation, customer_generation; /* as loaded */
    uint32_t pins;                                       /* calls that point here */
    uint32_t entry;     /* 1 + place in the batch being closed; 0: none */
    bool fresh : 1;     /* false: never loaded, or loaded and void */
    bool asked_for : 1; /* since the trimming hand last came by */
    bool replaced : 1;  /* by a rotation; it works on for a while */
    uint16_t used_in;   /* the window (meter_decide.c) of its last use; 0: none */
};

/* A load that is wanted: the calls that wait for it. */
struct meter_load {
    struct list link; /* in meter->load_queue */
    struct list waiters;
    struct meter_secret *secret;
    uint32_t sources_at; /* meter->import_generation when the calls' text was last looked at */
    struct import_hashes *alternates; /* NULL: none */
};

void table_init(struct meter *meter);
/* The quota's period that `now_ms` is in. */
const struct period *customer_period(struct meter_customer *customer, int64_t now_ms);
void table_done(struct meter *meter);
struct meter_secret *secret_get(struct meter *meter,
                                const unsigned char hash[32]); /* found or new */
/* `sources_at`: as of the load. */
void secret_install(struct meter *meter, struct meter_secret *secret,
                    const struct key_load_row *row, uint32_t sources_at);
bool secret_is_current(const struct meter *meter, const struct meter_secret *secret);
struct meter_tier *meter_tier_find(struct meter *meter, struct span slug); /* NULL: unknown */

/* meter_key.c */
/* Takes a tier over as read. False: no memory, or there are too many. */
bool meter_tier_set(struct meter *meter, const struct tier *tier);
void meter_tiers_done(struct meter *meter);
/* Takes a key over as read. False: no memory, nothing changed. */
bool key_set(struct meter *meter, struct meter_key *key, const struct key_load_row *row);
/* Frees what the key points to. */
void key_clear(struct meter_key *key);
/* The limits in force for a key, its own merged with its tier's; *states beside them, one for each.
 * NULL: no memory. */
const struct limit_set *key_limits(struct meter *meter, struct meter_key *key,
                                   struct rate_state **states);
/* As key_limits last made them up; NULL: never. */
struct rate_state *key_states(struct meter_key *key, unsigned *count);

#endif
