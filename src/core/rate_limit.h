/* Rate limits by GCRA (the leaky bucket as a meter, ITU-T I.371): a key may spend `limit` calls at
 * once and gets them back evenly over the window, so in any span of d seconds it makes at most
 * limit + d * limit / window calls. Pure; times are microseconds of one monotonic clock. */
#ifndef KEYMETER_CORE_RATE_LIMIT_H
#define KEYMETER_CORE_RATE_LIMIT_H

#include "base/compiler.h"
#include "base/span.h"

#include <stdint.h>

enum {
    RATE_LIMITS_MAX = 8, /* a key */
    RATE_NAME_SIZE = 32,
    RATE_LIMIT_MAX = 1000000,
    RATE_WINDOW_MAX_S = 2592000, /* 30 days */
};

struct rate_limit {
    char name[RATE_NAME_SIZE]; /* [a-z0-9_-]{1,31} */
    uint32_t limit;            /* calls, 1…RATE_LIMIT_MAX */
    uint32_t window_s;         /* 1…RATE_WINDOW_MAX_S */
};

/* Zeroed: nothing spent. Survives a change of its limit: whoever had spent n of N calls has spent n
 * of the M of the new shape, all of them when n is more. */
struct rate_state {
    int64_t tat_us;           /* when all would be given back: GCRA's theoretical arrival time */
    uint32_t fraction;        /* and this many 1/limit of a microsecond */
    uint32_t limit, window_s; /* the shape that the two count in; limit 0: nothing spent */
};

struct rate_view {
    bool allowed;                 /* one more call, now */
    uint32_t remaining;           /* calls that could be made now */
    uint32_t reset_seconds;       /* until all is given back, rounded up */
    uint32_t retry_after_seconds; /* until one call is allowed, rounded up; 0 when allowed */
};

MUST_USE bool rate_name_valid(struct span name);
/* Changes nothing. Called before rate_charge it decides; called after it tells what is left. */
void rate_check(const struct rate_limit *limit, const struct rate_state *state, int64_t now_us,
                struct rate_view *view);
/* Counts one call. Only after rate_check allowed it with the same now_us. */
void rate_charge(const struct rate_limit *limit, struct rate_state *state, int64_t now_us);
/* Gives one call back, also when the limit has changed since: it was charged, but then decided
 * again or never answered. */
void rate_refund(struct rate_state *state);

/* A key's limit replaces the tier's of the same name, further ones are added, up to
 * RATE_LIMITS_MAX. Returns how many are in `out`. */
unsigned rate_limits_merge(const struct rate_limit *tiers, unsigned tier_count,
                           const struct rate_limit *keys, unsigned key_count,
                           struct rate_limit out[RATE_LIMITS_MAX]);
/* True when `a` lets through no more than `b`, in a burst and in the long run. */
MUST_USE bool rate_limit_is_tighter(const struct rate_limit *a, const struct rate_limit *b);

#endif
