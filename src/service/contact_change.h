/* A customer's address or encryption key changes: the address that was on file before is told,
 * encrypted to the key that was. */
#ifndef KEYMETER_SERVICE_CONTACT_CHANGE_H
#define KEYMETER_SERVICE_CONTACT_CHANGE_H

#include "base/buf.h"
#include "service/encryption.h"

struct db;

struct contact_change {
    const char *email;            /* NULL: as it is */
    struct encryption encryption; /* what is given */
    /* looked up: */
    int64_t customer_at; /* customer.updated_at then */
    bool email_changed, key_changed[MAIL_KEY_KINDS];
    bool tells; /* there is something to be told, and an address to tell it */
    uint64_t mail_id;
    struct buf body; /* for who had a key that can be encrypted to; empty: none */
};
bool contact_change_wanted(const struct contact_change *change);
/* Checks the keys, compares with what is on file, and makes the mail that must be encrypted.
 * ERR_NOT_FOUND: no such customer; ERR_DENIED with the problem. Reader's thread. */
struct customer_name;
MUST_USE enum err contact_change_look(struct db *db, struct service *service,
                                      struct contact_change *change,
                                      const struct customer_name *name, struct problem *problem);
/* Under the customer's lock, `row` as it was: sets the keys and queues the mail. 409 conflict: the
 * customer was changed meanwhile. */
MUST_USE enum err contact_change_apply(struct db *db, struct operation *operation,
                                       const struct contact_change *change,
                                       const struct customer_row *row);
void contact_change_done(struct contact_change *change);

#endif
