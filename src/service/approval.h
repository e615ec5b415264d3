/* Offline payment: an admin approves a tier until a date. */
#ifndef KEYMETER_SERVICE_APPROVAL_H
#define KEYMETER_SERVICE_APPROVAL_H

#include "service/operation.h"
#include "store/customer.h"

struct approval {
    struct operation operation; /* the caller sets service, request, token_id, status, write */
    struct customer_name customer;
    const char *tier, *note; /* note NULL: "" */
    int64_t until;           /* wall ms */
    /* Loop, exactly once; after it, approval_done. */
    void (*done)(struct approval *approval, enum err error);
    /* results: */
    uint64_t id, customer_id;
    int64_t created_at;
    struct arena arena;
};
/* ERR_FULL, ERR_CLOSED: done will not be called. */
MUST_USE enum err approval_submit(struct approval *approval);
void approval_done(struct approval *approval);

#endif
