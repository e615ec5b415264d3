/* A new secret that is delivered by mail: encrypted to the customer where there is a key for it,
 * otherwise as a claim link, of which the secret is made when it is used. Three steps: what is slow
 * is prepared on a reader's thread, before anything is locked; then the operation checks that the
 * customer is still as it was, and queues the mail with what it tells. */
#ifndef KEYMETER_SERVICE_DELIVERY_H
#define KEYMETER_SERVICE_DELIVERY_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stdint.h>

struct customer_keys;
struct customer_row;
struct db;
struct notice;
struct operation;
struct service;
struct tier_row;

struct delivery {
    bool by_mail; /* the caller's; false: in the answer */
    /* prepared: */
    struct secret *secret; /* NULL: a claim link */
    struct buf body;
    uint64_t key_id, mail_id; /* key_id: of a key that is to be made */
    int64_t customer_at;      /* customer.updated_at then; 0: of a customer that is to be made */
    int64_t ends_at;          /* what the mail says of the former secret's end; 0: nothing */
};

/* Of a key that does not exist yet. `keys` NULL: those on file. Reader's thread. */
struct delivery_key {
    const struct customer_row *customer;
    const struct customer_keys *keys;
    const char *title, *environment, *label;
    const struct tier_row *tier;
};
MUST_USE enum err delivery_prepare_new(struct db *db, struct service *service,
                                       struct delivery *delivery, const struct delivery_key *what);
/* Of the next secret of a key; kind "rotated" or "regenerated", `ends_at` the former secret's (0:
 * not said). A key that is gone is left to the operation to find. Reader's thread. */
MUST_USE enum err delivery_prepare_next(struct db *db, struct service *service,
                                        struct delivery *delivery, uint64_t key_id,
                                        const char *kind, int64_t ends_at);
void delivery_done(struct delivery *delivery);

/* ---- the operation's, on the committer's thread ---- */
/* 422 delivery_unavailable: the customer has no address; 409 conflict: it was changed meanwhile. */
MUST_USE enum err delivery_check(struct operation *operation, const struct delivery *delivery,
                                 const struct customer_row *customer);
/* Queues the mail, whose customer, kind and context are set, with the secret's body or a link to
 * what follows the notice's generation. */
MUST_USE enum err delivery_tell(struct db *db, struct operation *operation,
                                const struct delivery *delivery, struct notice *notice);

#endif
