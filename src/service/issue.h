/* Issuing a key: POST /v1/keys, and the first key of a sign-up. */
#ifndef KEYMETER_SERVICE_ISSUE_H
#define KEYMETER_SERVICE_ISSUE_H

#include "core/rate_limit.h"
#include "service/key_change.h"
#include "store/customer.h"

struct customer_keys;
struct tier_row;
struct key_import;

/* What a caller may choose. Texts live until the operation is done. */
struct key_settings {
    const char *title, *description; /* NULL: "" */
    const char *label;               /* NULL: the tier's, or km_test */
    const char *permissions;         /* comma-joined; NULL: none */
    bool test;                       /* environment "test" */
    bool has_monthly_cap;            /* false: none */
    uint64_t monthly_cap;
    int64_t expires_at; /* wall ms; 0: never */
    bool rotation_off;  /* never rotated by itself */
    struct rate_limit rate_limits[RATE_LIMITS_MAX];
    unsigned rate_limit_count;
    const char *allowed_networks;    /* JSON; NULL: [] */
    const char *metadata;            /* JSON; NULL: {} */
    const char *within;              /* permissions of the caller's token; NULL: any */
    bool may_loosen;                 /* a rate limit may be wider than the tier's: scope admin */
    const char *at;                  /* "body" or "body.key", for error locations */
    const struct key_import *import; /* made elsewhere; NULL: a secret is made here */
};

struct issue {
    struct key_change change;
    struct customer_name customer;
    struct key_settings settings;
};

/* Sets run and done of the operation; then key_change_submit. */
void issue_init(struct issue *issue);

/* In a transaction that holds the customer's lock and has made sure of the entitlement: inserts the
 * key with its secret, which made->delivery says how to deliver, and tells the customer; results
 * are made->secret and made->view, whose texts stand in `arena` and in the settings. 403
 * key_limit_reached, 422 for what the tier does not allow. */
MUST_USE enum err issue_key(struct db *db, struct operation *operation,
                            const struct key_settings *settings,
                            const struct customer_row *customer, const struct tier_row *tier,
                            const struct period_rule *months, struct arena *arena,
                            struct key_change *made);

/* Prepares the delivery by mail of a key with these settings; `keys` NULL: those on file. Reader's
 * thread. */
MUST_USE enum err issue_deliver(struct db *db, struct service *service,
                                const struct key_settings *settings,
                                const struct customer_row *customer,
                                const struct customer_keys *keys, const struct tier_row *tier,
                                struct delivery *delivery);

/* Adds errors for permissions outside the tier or the token, and for limits wider than the tier's.
 * True when there are none. */
MUST_USE bool issue_permissions_allowed(struct problem *problem,
                                        const struct key_settings *settings,
                                        const struct tier_row *tier);
MUST_USE bool issue_limits_allowed(struct problem *problem, const struct key_settings *settings,
                                   const struct tier_row *tier);

#endif
