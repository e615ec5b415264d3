/* Visits to the customer portal: a link for one opening, the session behind it, its end, and what
 * lets a visitor's change into its transaction. */
#ifndef KEYMETER_SERVICE_PORTAL_H
#define KEYMETER_SERVICE_PORTAL_H

#include "base/secret.h"
#include "service/operation.h"
#include "store/customer.h"
#include "store/portal.h"

/* The label of a link's text (core/api_key.h). */
#define PORTAL_LABEL "km_portal"

/* ---- a new link ---- */
struct portal_link {
    struct operation operation; /* the caller sets service, request, token_id, status and write */
    struct customer_name customer;
    unsigned may;
    const char *within;
    void (*done)(struct portal_link *link, enum err error); /* then portal_link_done */
    /* results: */
    struct secret *token;
    int64_t expires_at;
    /* its own: */
    struct arena arena;
};
/* ERR_NO_MEMORY, ERR_FULL, ERR_CLOSED: done will not be called. 404 for no such customer. */
MUST_USE enum err portal_link_start(struct portal_link *link);
void portal_link_done(struct portal_link *link);

/* ---- opening it ---- */
struct portal_opening {
    struct operation operation; /* the caller sets service and request */
    unsigned char link_hash[32];
    unsigned char hash[32]; /* of the session that begins */
    void (*done)(struct portal_opening *opening, enum err error);
    /* result: */
    bool first; /* the customer was never here before */
};
/* 409 link_used, link_expired; 404 link_not_found. */
MUST_USE enum err portal_opening_start(struct portal_opening *opening);
/* Why a link cannot be opened; ERR_OK: it can. */
MUST_USE enum err portal_link_refuse(const struct portal_session *row, int64_t now_ms,
                                     struct problem *problem);

/* ---- signing out ---- */
struct portal_ending {
    struct operation operation; /* the caller sets service, request, done */
    unsigned char hash[32];
    bool everywhere; /* and all other visits of the customer */
};
MUST_USE enum err portal_ending_start(struct portal_ending *ending);

/* ---- a visitor's change ---- */
/* operation.admit and admit_context of each: the session lives, may do this, and the form has not
 * been sent before. 401 session_ended, 403 not_permitted, 409 already_done. Lives until done. */
struct portal_admission {
    unsigned char hash[32];
    unsigned need;                        /* of enum portal_may */
    unsigned char form[PORTAL_FORM_SIZE]; /* the form's number */
    uint64_t customer_id;                 /* whose session it was when the form was read */
};
void portal_admit(struct operation *operation, struct portal_admission *admission);

#endif
