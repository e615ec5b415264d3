/* The engine: verifies and meters calls. A call is decided in memory, waits in a batch, and is
 * answered when the batch's feed read and insert are through (docs/ARCHITECTURE.md, "the life of a
 * verify"). Loop thread only. */
#ifndef KEYMETER_SERVICE_METER_H
#define KEYMETER_SERVICE_METER_H

#include "base/list.h"
#include "base/span.h"
#include "core/network.h"
#include "core/period.h"
#include "core/rate_limit.h"
#include "service/meter_stats.h"

#include <stdbool.h>
#include <stdint.h>

struct service;
struct meter;
struct meter_secret;
struct meter_budget;

enum verify_code {
    VERIFY_VALID,
    VERIFY_NOT_FOUND,
    VERIFY_REVOKED,
    VERIFY_DISABLED,
    VERIFY_EXPIRED,
    VERIFY_SUSPENDED,
    VERIFY_INSUFFICIENT_PERMISSIONS,
    VERIFY_IP_NOT_ALLOWED,
    VERIFY_RATE_LIMITED,
    VERIFY_QUOTA_EXCEEDED,
    VERIFY_UNAVAILABLE, /* Keymeter itself cannot answer: 503, never on the wire as a code */
};
enum { VERIFY_CODES = VERIFY_UNAVAILABLE + 1 };
/* "VALID", "NOT_FOUND", … */
const char *verify_code_name(enum verify_code code);

/* What a caller may know of the key; valid inside `done` only. */
struct verify_key {
    uint64_t key_id, customer_id;
    const char *external_id, *tier, *permissions, *metadata_json;
    bool live;
    int64_t secret_expires_at, key_expires_at; /* wall ms, 0: none */
};

struct verify_quota {
    bool known, limited;
    uint64_t limit, used, remaining;
    int64_t period_start, resets_at; /* wall ms */
};

/* What a call's units are taken from. */
enum { VERIFY_BUDGET_QUOTA, VERIFY_BUDGET_CAP, VERIFY_BUDGETS };

/* One call. Zero it, fill the first part, keep it in place until done has run. */
struct verify_call {
    unsigned char hash[32];  /* key_hash of the presented secret */
    struct span text;        /* the secret itself, until done: imported keys have other hashes */
    uint64_t cost;           /* 0…1000000 */
    struct span permissions; /* joined by commas, all needed */
    struct address address;  /* length 0: unknown */
    uint64_t token_id;       /* the service token that asked; 0: the gateway */
    void (*done)(struct verify_call *call);
    void *context;
    /* the answer */
    enum verify_code code;
    struct verify_key key; /* key_id 0 when the key is not known */
    struct verify_quota quota;
    unsigned rate_count;
    struct rate_limit rate_limits[RATE_LIMITS_MAX];
    struct rate_view rates[RATE_LIMITS_MAX];
    unsigned retry_after_s;
    /* the meter's own */
    struct list link; /* where it waits: for a batch, in one, for a load, tiers or units */
    struct list age;  /* in meter->age, by arrival */
    struct meter_secret *secret;
    struct meter_budget *budgets[VERIFY_BUDGETS]; /* NULL: does not count there */
    struct meter_budget *denied_by;               /* with QUOTA_EXCEEDED */
    struct meter_batch *batch;                    /* while it is being committed */
    uint64_t charged;                             /* units taken from each of budgets */
    unsigned charged_in;                          /* the incarnation whose lease they are of */
    int64_t arrived_us, decided_ms;
    struct period period;   /* of the quota, when it was decided */
    enum meter_cause cause; /* with VERIFY_UNAVAILABLE */
    bool rate_charged;
    bool by_memory; /* the tier's ack: answered before its count is committed */
};

enum { VERIFY_TEXT_MAX = 255 };

/* Starts the connections and joins the database as a node; verifying works as soon as that is done,
 * until then calls wait and get VERIFY_UNAVAILABLE after max_wait. */
MUST_USE enum err meter_new(struct meter **out, struct service *service);
/* Sets call->hash and call->text. False: a text that can be no key, to be denied on the spot. While
 * nothing was imported these are the texts that have not the form of our keys; afterwards any text
 * of up to VERIFY_TEXT_MAX bytes may be one. */
MUST_USE bool meter_take_key(const struct service *service, struct verify_call *call,
                             struct span text);
/* done runs later, never inside, exactly once, at the latest after max_wait. */
void meter_verify(struct meter *meter, struct verify_call *call);
/* How many more calls fit before metering.queue is full; beyond it they get VERIFY_UNAVAILABLE. */
unsigned meter_room(const struct meter *meter);
/* Commits what is open, hands units back, leaves the node table, then closed(context). */
void meter_stop(struct meter *meter, void (*closed)(void *context), void *context);

/* The batch or feed read under way has had no answer for a second. */
bool meter_is_stalled(const struct meter *meter);
bool meter_is_ready(const struct meter *meter);
/* As which node it writes; false: it has not joined, or is about to join anew. */
bool meter_identity(const struct meter *meter, unsigned *node, unsigned *incarnation);
/* No node denies imported keys on the spot any more: an import that was committed before may be
 * answered. */
bool meter_import_is_settled(const struct meter *meter);

/* The rate limits of the key with that lookup hash and what is left of them, as this node has them
 * in memory; 0: it has not, since the key was not used here lately. */
unsigned meter_rates(struct meter *meter, const unsigned char hash[32],
                     struct rate_limit limits[RATE_LIMITS_MAX],
                     struct rate_view views[RATE_LIMITS_MAX]);

/* Counts a call that was answered without the meter: its check digits were wrong. */
void meter_count_unknown(struct meter *meter);

#endif
