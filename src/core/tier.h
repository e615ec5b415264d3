/* What a tier grants: quota, rate limits, keys, rotation. Pure data and its words. */
#ifndef KEYMETER_CORE_TIER_H
#define KEYMETER_CORE_TIER_H

#include "core/rate_limit.h"

enum {
    TIERS_MAX = 64, /* in all: every node has all of them in memory */
    TIER_SLUG_SIZE = 41,
    TIER_NAME_SIZE = 101, /* bytes of UTF-8 with the NUL */
    TIER_LIST_SIZE = 2048,
};

enum overage { OVERAGE_BLOCK, OVERAGE_ALLOW };
enum ack { ACK_COMMIT, ACK_MEMORY };
enum on_unclaimed { ON_UNCLAIMED_KEEP, ON_UNCLAIMED_RETIRE };
enum on_lapse { ON_LAPSE_SUSPEND, ON_LAPSE_FREE };

struct tier {
    char slug[TIER_SLUG_SIZE];
    char name[TIER_NAME_SIZE];
    bool has_quota; /* false: monthly_quota is null */
    uint64_t monthly_quota;
    enum overage overage;
    struct rate_limit rate_limits[RATE_LIMITS_MAX];
    unsigned rate_limit_count;
    uint32_t max_keys;
    bool requires_payment;
    char label[TIER_SLUG_SIZE];
    uint32_t rotation_days, notice_days, grace_seconds, hard_stop_days, max_overlap_days;
    enum on_unclaimed on_unclaimed;
    enum on_lapse on_lapse;
    char permissions[TIER_LIST_SIZE];      /* comma-joined, core/permission.h */
    char price_references[TIER_LIST_SIZE]; /* comma-joined */
    enum ack ack;
};

/* The contract's words: "block", "commit", "keep", "suspend" … and back; false: no such word. */
const char *overage_name(enum overage overage);
const char *ack_name(enum ack ack);
const char *on_unclaimed_name(enum on_unclaimed on_unclaimed);
const char *on_lapse_name(enum on_lapse on_lapse);
MUST_USE bool overage_parse(struct span word, enum overage *overage);
MUST_USE bool ack_parse(struct span word, enum ack *ack);
MUST_USE bool on_unclaimed_parse(struct span word, enum on_unclaimed *on_unclaimed);
MUST_USE bool on_lapse_parse(struct span word, enum on_lapse *on_lapse);

/* [a-z0-9][a-z0-9_-]{0,39} */
MUST_USE bool tier_slug_valid(struct span slug);

#endif
