/* What is to be done to one customer's entitlement without a call: a reading of its provider to be
 * applied, or what the clock brings. One operation each (service/operation.h). */
#ifndef KEYMETER_SERVICE_PAYMENT_WORK_H
#define KEYMETER_SERVICE_PAYMENT_WORK_H

#include "base/arena.h"
#include "core/clock_watch.h"
#include "service/operation.h"
#include "service/pay_reading.h"
#include "store/payment_read.h"

enum payment_work_kind { PAYMENT_WORK_CLOCK, PAYMENT_WORK_READ, PAYMENT_WORK_FAILED };

struct payment_work {
    struct operation operation; /* the maker sets service and done */
    enum payment_work_kind kind;
    unsigned node, incarnation;
    struct payment_due due; /* CLOCK: customer_id alone; of a charge alone: no customer_id, and
                               reading.customer says whose it is */
    struct pay_reading reading;
    struct pay_reading renewal; /* what pays instead, if it buys a tier … */
    bool renewed;               /* … which there is */
    bool dry;                   /* computed, and rolled back */
    struct clock_watch watch;   /* rotator_watch's, as of its claim … */
    bool rests;                 /* … when the clock was not believed */
    int64_t next_at;            /* of the next reading */
    /* results: */
    bool changed;
    const char *before, *after; /* JSON, in the arena; NULL: nothing was done */
    struct arena arena;
    /* the maker's: */
    void *context;
    struct arena texts; /* of `due` */
};

/* Whether the clock is not to be believed just now, by this machine's own time, the database's and
 * the other nodes'. Then payments that pay count, and nothing ends. DB thread. */
MUST_USE enum err payment_clock_judge(struct db *db, const struct service *service, unsigned node,
                                      const struct clock_watch *watch, bool *rests);

/* Sets run. ERR_NOT_FOUND: nothing to do any more. ERR_DENIED of a dry one: computed. */
void payment_work_init(struct payment_work *work);
void payment_work_done(struct payment_work *work);
/* One of its own memory, to be done in this node's name. NULL: no memory. */
struct payment_work *payment_work_new(struct service *service, unsigned node, unsigned incarnation);
void payment_work_free(struct payment_work *work);
/* Copies the row, whose texts may go. */
void payment_work_take(struct payment_work *work, const struct payment_due *due);

#endif
