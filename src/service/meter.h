/* The engine: verifies and meters calls. A call is decided in memory, waits in a batch, and is
 * answered when the batch's feed read and insert are through (docs/ARCHITECTURE.md, "the life of a
 * verify"). Loop thread only. */
#ifndef KEYMETER_SERVICE_METER_H
#define KEYMETER_SERVICE_METER_H

#include "base/list.h"
#include "base/span.h"
#include "core/network.h"
#include "core/rate_limit.h"

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

/* One call. Zero it, fill the first part, keep it in place until done has run. */
struct verify_call {
    unsigned char hash[32];  /* key_hash of the presented secret */
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
    struct list link; /* in a batch, a load or a budget's waiters */
    struct list age;  /* in meter->waiting, by arrival */
    struct meter_secret *secret;
    struct meter_budget *budget;
    struct meter_batch *batch; /* while it is being committed */
    uint64_t charged;          /* units taken from the budget */
    int64_t arrived_us, decided_ms;
    bool rate_charged;
    bool loaded_for; /* a load was made for this very call: do not join an older one */
};

/* Starts the connections and joins the database as a node; verifying works as soon as that is done,
 * until then calls wait and get VERIFY_UNAVAILABLE after max_wait. */
MUST_USE enum err meter_new(struct meter **out, struct service *service);
/* done runs later, never inside, exactly once, at the latest after max_wait. */
void meter_verify(struct meter *meter, struct verify_call *call);
/* Commits what is open, hands units back, leaves the node table, then closed(context). */
void meter_stop(struct meter *meter, void (*closed)(void *context), void *context);

bool meter_is_ready(const struct meter *meter);

struct meter_stats {
    uint64_t codes[VERIFY_CODES];
    uint64_t batches, batched_calls, inserts, feed_rows, loads, takes, folded_rows, resets;
    uint64_t commit_us_total;
    unsigned keys, customers, budgets, waiting;
};
void meter_get_stats(const struct meter *meter, struct meter_stats *stats);

#endif
