/* One due step of a rotation, as an operation of the committer: it locks customer, key and step,
 * checks again what is due (core/rotation.h), and does it with its mail, feed and audit rows in the
 * same transaction. */
#ifndef KEYMETER_SERVICE_ROTATION_WORK_H
#define KEYMETER_SERVICE_ROTATION_WORK_H

#include "base/secret.h"
#include "service/operation.h"
#include "store/api_key.h"
#include "store/customer.h"
#include "store/rotation.h"
#include "store/tier.h"

struct rotation_work {
    struct operation operation; /* the caller sets service, and done */
    struct rotation_pick pick;
    unsigned node, incarnation; /* in whose name */
    /* For an encrypted delivery, made beforehand; secret NULL: a claim link. */
    struct secret *secret;
    struct buf body;
    int64_t customer_at;
    uint64_t mail_id; /* 0: any */
    /* what came of it: */
    enum rotation_step did; /* NONE: it was not due any more, or is held */
    /* its own, while it runs: */
    struct arena arena;
    struct customer_row customer;
    struct api_key_row key;
    struct rotation_row row;
    struct tier_row tier;
    bool suspended; /* the customer */
    struct rotation_secret old, next;
};

/* Sets the operation's run. ERR_NOT_FOUND of it: somebody else is at the key, or has done it. */
void rotation_work_init(struct rotation_work *work);
/* Frees and wipes what it holds, not itself. */
void rotation_work_done(struct rotation_work *work);

/* ---- its parts, on the committer's thread, everything locked and loaded ---- */
/* The reminder that is due, and the next one's row. */
MUST_USE enum err rotation_remind(struct db *db, struct rotation_work *work);
MUST_USE enum err rotation_expiring(struct db *db, struct rotation_work *work);
/* The first reminder, a day after a rotation. */
MUST_USE enum err rotation_remind_begin(struct db *db, const struct rotation_row *retirement,
                                        int64_t now_ms);
/* This step is done and not shown any more. */
MUST_USE enum err rotation_work_finish(struct db *db, struct rotation_work *work,
                                       enum rotation_status status);

#endif
