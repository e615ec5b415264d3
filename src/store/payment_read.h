/* What is read again at a payment provider, and when: a row a customer that it answers for. Also
 * the events of providers, each once, and approvals. DB thread.
 *
 * A reading has a ticket. One that began later may not be undone by one that began earlier, so only
 * a ticket above the newest applied one is applied. An event that comes while a reading is under
 * way leaves the row due. */
#ifndef KEYMETER_STORE_PAYMENT_READ_H
#define KEYMETER_STORE_PAYMENT_READ_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

enum {
    PAYMENT_READ_LEASE_MS = 60 * 1000, /* a reading that said nothing by then is begun anew */
};

/* ---- inside an operation's transaction ---- */
/* From here on the customer is read, first at read_at. provider_customer: "cus_…" or NULL. */
MUST_USE enum err payment_read_begin(struct db *db, uint64_t customer_id,
                                     const char *provider_customer, int64_t read_at);
/* The same reading goes on, of another customer of the provider's. */
MUST_USE enum err payment_read_rename(struct db *db, uint64_t customer_id,
                                      const char *provider_customer);
MUST_USE enum err payment_read_end(struct db *db, uint64_t customer_id);
/* ERR_EXISTS: the event came before. */
MUST_USE enum err provider_event_insert(struct db *db, const char *provider, const char *id,
                                        int64_t now_ms);
/* Whom an event is about, as far as it says; empty: it does not. */
struct payment_subject {
    struct span reference; /* resolved: "sub_…", or the http provider's own */
    struct span customer;  /* the provider's */
    struct span external_id;
    struct span charge;  /* that was taken back; to be looked at */
    struct span session; /* that is complete; to be looked at for that external_id */
};
/* Those are due at once. *found: how many rows were. A charge that another one stands before waits
 * as one whose customer is not known (store/payment_charge.h). */
MUST_USE enum err payment_read_ask(struct db *db, const char *provider,
                                   const struct payment_subject *subject, int64_t now_ms,
                                   uint64_t *found);
/* What a reading came to. `looked`: also at the session; else that is kept until the payment has
 * ended. ERR_NOT_FOUND: a later one was applied, or nobody is read any more. */
MUST_USE enum err payment_read_applied(struct db *db, uint64_t customer_id, uint64_t ticket,
                                       uint64_t asked, bool looked, int64_t next_at);
MUST_USE enum err payment_read_failed(struct db *db, uint64_t customer_id, uint64_t ticket,
                                      int64_t next_at);

struct payment_approval_row {
    uint64_t id, customer_id;
    const char *tier, *note;
    int64_t until, created_at;
    const char *created_by; /* "tok_…" */
};
MUST_USE enum err payment_approval_insert(struct db *db, const struct payment_approval_row *row);

/* ---- for the reconciler ---- */
struct payment_due {
    uint64_t customer_id; /* 0: of a charge alone (store/payment_charge.h) */
    uint64_t ticket, asked;
    const char *external_id;
    const char *provider, *reference; /* resolved; NULL: none, of http alone */
    const char *paid_tier;
    const char *charge, *session; /* that events named; NULL: none */
    uint32_t failures;
    bool urgent;
};
/* Those due, events first, with a ticket each, in the arena; the node's row is held. A transaction
 * of its own. Due is also what is only to be read behind latest_ms: a wrong clock wrote that.
 * latest_ms 0: events alone. ERR_FENCED. */
MUST_USE enum err payment_read_claim(struct db *db, unsigned node, unsigned incarnation,
                                     const char *provider, int64_t now_ms, int64_t latest_ms,
                                     size_t limit, struct arena *arena, struct payment_due **due,
                                     size_t *count);
/* The same for customers above `after` by id, due or not: a reconciliation that somebody asked
 * for. With `begin` false nothing is written and tickets are 0: for looking only. *last: the next
 * page goes on above it; 0: there is none. */
MUST_USE enum err payment_read_page(struct db *db, unsigned node, unsigned incarnation,
                                    const char *provider, uint64_t after, bool begin,
                                    int64_t now_ms, size_t limit, struct arena *arena,
                                    struct payment_due **due, size_t *count, uint64_t *last);
/* How many customers payment_read_page reads in all, counted no further than `at_most`. */
MUST_USE enum err payment_read_count(struct db *db, const char *provider, size_t at_most,
                                     uint64_t *count);
/* Readings that are due, counted no further than `at_most`; and how old the oldest is. */
MUST_USE enum err payment_read_waiting(struct db *db, int64_t now_ms, size_t at_most,
                                       uint64_t *count, int64_t *oldest_at);

#endif
