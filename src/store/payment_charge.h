/* Charges that an event named without their customer, until the provider has said whose they are;
 * and those that wait until another charge of their customer has been looked at. DB thread. */
#ifndef KEYMETER_STORE_PAYMENT_CHARGE_H
#define KEYMETER_STORE_PAYMENT_CHARGE_H

#include "store/payment_read.h"

/* ---- inside an operation's transaction ---- */
/* Due at read_at; one that is there already is due then again. */
MUST_USE enum err payment_charge_ask(struct db *db, const char *provider, struct span id,
                                     int64_t read_at);
/* It is known whose it is, or that it is nobody's. ERR_NOT_FOUND: another reading was first, or one
 * began later. */
MUST_USE enum err payment_charge_end(struct db *db, const struct payment_due *due);
MUST_USE enum err payment_charge_failed(struct db *db, const struct payment_due *due,
                                        int64_t next_at);

/* ---- for the reconciler ---- */
/* Adds those due to *due, of room `limit`, with a ticket each; inside a transaction that holds the
 * node's row. latest_ms as in payment_read_claim. */
MUST_USE enum err payment_charge_claim(struct db *db, const char *provider, int64_t now_ms,
                                       int64_t latest_ms, size_t limit, struct arena *arena,
                                       struct payment_due *due, size_t *count);

#endif
