/* Reading paid customers at their provider again, and what the clock brings: each second's share of
 * what is due, within a rate, on any number of nodes. Loop thread. */
#ifndef KEYMETER_SERVICE_RECONCILER_H
#define KEYMETER_SERVICE_RECONCILER_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/list.h"
#include "core/clock_watch.h"
#include "io/db_pool.h"
#include "store/payment_read.h"

#include <stdbool.h>
#include <stdint.h>

struct payment_work;
struct reconciler;
struct service;

/* Behind the meter, as whose node it writes. */
MUST_USE enum err reconciler_new(struct reconciler **out, struct service *service);
/* Waits for what is under way, then closed(context). Behind curl's stop, before the meter leaves.
 */
void reconciler_stop(struct reconciler *reconciler, void (*closed)(void *context), void *context);
/* Something is due: looks now, not at the next tick. */
void reconciler_wake(struct reconciler *reconciler);

struct reconciler_stats {
    uint64_t read, changed, failed; /* so far */
    unsigned under_way;
    uint64_t due;    /* waiting, of all nodes; as of some seconds ago, and counted only so far */
    uint64_t late_s; /* how long the first of them has waited */
};
void reconciler_get_stats(const struct reconciler *reconciler, struct reconciler_stats *stats);

/* A page of customers above `after`, all read now. Zero it, fill the first part. */
struct reconcile_page {
    bool dry;
    uint64_t after;
    size_t limit; /* fewer are taken where the rate is small */
    void *context;
    void (*done)(struct reconcile_page *page, enum err error); /* loop, exactly once */
    /* results: */
    struct payment_work *works[100]; /* with their before and after; reconcile_page_done frees */
    bool unread[100];                /* the provider could not be asked */
    size_t count;
    uint64_t last; /* the next page goes on above it; 0: there is none */
    /* its own: */
    struct db_job job;
    struct reconciler *reconciler;
    unsigned node, incarnation;
    struct clock_watch watch;
    bool rests;
    struct payment_due *due;
    size_t due_count, left;
    enum err error;
    struct arena arena;
};
/* ERR_FULL: others are under way; ERR_CLOSED, ERR_FENCED. Then done will not be called. */
MUST_USE enum err reconcile_page_start(struct reconciler *reconciler, struct reconcile_page *page);
void reconcile_page_done(struct reconcile_page *page);

#endif
