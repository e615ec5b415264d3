/* Editing and erasing a customer. A change to a tier that requires payment, or of what pays for it,
 * is asked at the billing system first, as a sign-up is. */
#ifndef KEYMETER_SERVICE_CUSTOMER_EDIT_H
#define KEYMETER_SERVICE_CUSTOMER_EDIT_H

#include "service/contact_change.h"
#include "service/precondition.h"
#include "service/signup.h"

struct customer_edit {
    struct operation operation; /* the caller sets service, request, token_id */
    struct customer_name customer;
    struct precondition precondition;
    bool erase;       /* nothing else counts then */
    const char *tier; /* NULL: as it is; so for all below */
    const char *metadata;
    struct contact_change contact; /* email and encryption: the caller's */
    bool has_name, has_reference, has_language;
    const char *language;  /* NULL: none of its own any more */
    const char *name;      /* NULL: none any more */
    const char *reference; /* NULL: none any more */
    /* Loop, exactly once; with ERR_DENIED operation.problem tells. After it, customer_edit_done. */
    void (*done)(struct customer_edit *edit, enum err error);
    struct customer_view view; /* result of ERR_OK, not of an erasure */
    /* its own: */
    struct db_job look_job, count_job;
    struct payment_ask ask;
    bool asked;
    char prices[TIER_LIST_SIZE]; /* the tier's price_references */
    struct arena look_arena, arena;
};

/* ERR_FULL, ERR_CLOSED: done will not be called. */
MUST_USE enum err customer_edit_start(struct customer_edit *edit);
void customer_edit_done(struct customer_edit *edit);

#endif
