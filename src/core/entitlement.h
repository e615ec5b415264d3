/* What a customer is entitled to, as its payment goes. Pure; times are wall ms, 0 stands for
 * "none".
 *
 *             confirmed            failed                      grace over
 *   pending ─────────────► active ────────► past_due ──────────────────────► suspended
 *                            ▲ │               │                    or ─────► downgraded (to free)
 *                            │ └───────────────┼── canceled: when what was paid is over ──► │
 *                            └──── paid ◄──────┴─────────────────── paid ◄──────────────────┘
 *
 * Nothing is kept of a pending one: a sign-up without a confirmed payment leaves nothing behind. */
#ifndef KEYMETER_CORE_ENTITLEMENT_H
#define KEYMETER_CORE_ENTITLEMENT_H

#include "base/compiler.h"
#include "base/span.h"
#include "core/tier.h"

#include <stdbool.h>
#include <stdint.h>

#define FREE_TIER "free" /* where on_lapse "free" leads */

/* What a provider says of a payment: Stripe's words for a subscription, and "none". */
enum pay_status {
    PAY_NONE,
    PAY_ACTIVE,
    PAY_TRIALING,
    PAY_PAST_DUE,
    PAY_UNPAID,
    PAY_CANCELED,
    PAY_INCOMPLETE,
    PAY_INCOMPLETE_EXPIRED,
    PAY_PAUSED,
};
enum entitlement_state {
    ENTITLED_PENDING,
    ENTITLED_ACTIVE,
    ENTITLED_PAST_DUE,
    ENTITLED_SUSPENDED,
    ENTITLED_DOWNGRADED, /* on free since the payment ended; outwardly "active" */
};

struct entitlement {
    enum entitlement_state state;
    enum pay_status payment;
    char tier[TIER_SLUG_SIZE];       /* that counts */
    char paid_tier[TIER_SLUG_SIZE];  /* that was bought; "": none was */
    char later_tier[TIER_SLUG_SIZE]; /* "": none. A smaller one that follows … */
    int64_t later_at;                /* … then */
    int64_t period_start, period_end;
    int64_t paid_until;
    int64_t ends_at;     /* the tier ends then, unless it is paid; 0: it goes on */
    int64_t refunded_at; /* the charge of the period that ran then was taken back */
    uint32_t lapses;     /* failures so far: numbers their notices */
    uint32_t reminded;   /* reminders sent before this ends_at */
};

/* One reading. */
struct pay_facts {
    enum pay_status status;
    const char *tier;                 /* bought; NULL: the same as before */
    bool lower;                       /* it is smaller than the tier that counts */
    int64_t period_start, period_end; /* 0: not told, then what was known stays */
    bool owes;                        /* the newest invoice is not paid */
    bool refunded;                    /* the charge of the running period was taken back */
    int64_t ends_at;                  /* paid, and ends then for certain: an approval */
};

struct pay_rules {
    int64_t grace_ms;
    bool ends_at_once;      /* unpaid and canceled: no grace, nor what was paid to its end */
    bool lower_at_once;     /* a smaller tier does not wait for the period's end */
    enum on_lapse on_lapse; /* of the tier that was bought */
    bool has_free;          /* there is a tier "free" */
    bool clock_rests;       /* the wall clock is not believed: nothing ends by it */
};

/* True for active and trialing: what confirms. */
bool pay_status_pays(enum pay_status status);
/* There is no such payment any more: nothing makes it pay again. */
bool pay_status_ended(enum pay_status status);
const char *pay_status_name(enum pay_status status); /* "past_due" */
MUST_USE bool pay_status_parse(struct span word, enum pay_status *status);
const char *entitlement_state_name(enum entitlement_state state);
MUST_USE bool entitlement_state_parse(struct span word, enum entitlement_state *state);

/* The new state from what was read at now_ms. A pending one becomes active or stays. */
void entitlement_read(struct entitlement *entitlement, const struct pay_facts *facts,
                      const struct pay_rules *rules, int64_t now_ms);
/* What has come due by the clock alone. */
void entitlement_tick(struct entitlement *entitlement, const struct pay_rules *rules,
                      int64_t now_ms);
/* When the clock is to be asked next; 0: never. */
int64_t entitlement_look_at(const struct entitlement *entitlement);
/* How many reminders before ends_at are due by now: 14 days before it, and 3. They are for what
 * ends as agreed (approved, canceled), not for a grace. */
uint32_t entitlement_reminders(const struct entitlement *entitlement, int64_t now_ms);
/* Fewer units a month, or as many and fewer keys. */
bool tier_is_lower(const struct tier *tier, const struct tier *than);

/* What the customer is told of a change. */
enum entitlement_news {
    NEWS_NONE,
    NEWS_PAYMENT_FAILED, /* the grace has begun */
    NEWS_SUSPENDED,
    NEWS_DOWNGRADED,
    NEWS_RESTORED, /* paid again after one of these */
};
enum entitlement_news entitlement_news(const struct entitlement *before,
                                       const struct entitlement *after);
bool entitlement_equal(const struct entitlement *one, const struct entitlement *other);

#endif
