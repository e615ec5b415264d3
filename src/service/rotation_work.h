/* One due step of a rotation, as an operation of the committer: customer, key and step are locked,
 * what is due is checked again (core/rotation.h), and done with its mail, feed and audit rows in
 * the same transaction. Those that wait together are done together, by a page (rotation_page.c): it
 * locks and reads for all of them, each decides by itself what it wants written (rotation_work.c),
 * and the page writes it in few statements. */
#ifndef KEYMETER_SERVICE_ROTATION_WORK_H
#define KEYMETER_SERVICE_ROTATION_WORK_H

#include "base/secret.h"
#include "service/notice.h"
#include "service/operation.h"
#include "store/api_key.h"
#include "store/claim.h"
#include "store/customer.h"
#include "store/outbox.h"
#include "store/rotation.h"
#include "store/tier.h"

enum { ROTATION_WORK_ROWS = 4 };

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
    /* Locked and read for it by the page, whose memory it is in: */
    struct customer_row customer;
    struct api_key_row key;
    const struct tier *tier;
    bool suspended; /* the customer */
    struct rotation_state state;
    struct rotation_row row; /* the step's, changed as it goes */
    /* What it wants written: */
    struct arena arena;
    struct rotation_row rows[ROTATION_WORK_ROWS];
    size_t row_count;
    struct outbox_row mail;
    struct claim_row link;
    struct key_secret_row made;
    bool mails, links, makes, key_changed;
    bool ends;  /* the old secret, with links and reminders */
    bool wrote; /* something by statements of its own: an error undoes the page */
};

/* Sets the operation's run_many. ERR_NOT_FOUND of it: somebody else is at the key, or has done it,
 * or the page has another step of this key. */
void rotation_work_init(struct rotation_work *work);
/* Frees and wipes what it holds, not itself. */
void rotation_work_done(struct rotation_work *work);

/* ---- its parts, on the committer's thread, everything locked and loaded ---- */
/* run_many, of works only. */
MUST_USE enum err rotation_page_run(struct db *db, struct operation **operations, size_t count);
/* Decides; sets `did` and what is to be written. */
MUST_USE enum err rotation_work_decide(struct db *db, struct rotation_work *work);
/* The reminder that is due, and the next one's row. */
MUST_USE enum err rotation_remind(struct db *db, struct rotation_work *work);
MUST_USE enum err rotation_expiring(struct rotation_work *work);
/* The first reminder, a day after a rotation. */
void rotation_remind_begin(struct rotation_work *work, const struct rotation_row *retirement);
/* A step's row is to be written; at most ROTATION_WORK_ROWS. */
void rotation_work_put(struct rotation_work *work, const struct rotation_row *row);
/* This step is done and not shown any more. */
void rotation_work_finish(struct rotation_work *work, enum rotation_status status);
/* Nothing is to come of it. */
MUST_USE enum err rotation_work_drop(struct db *db, struct rotation_work *work);
/* The alert that a new secret was not picked up. */
MUST_USE enum err rotation_work_unclaimed(struct db *db, struct rotation_work *work,
                                          const char *reason);
/* One mail, one link; *mail_id may be NULL. ERR_NOT_FOUND: the customer has no address. */
MUST_USE enum err rotation_work_mail(struct rotation_work *work, struct notice *notice,
                                     uint64_t *mail_id);
void rotation_work_link(struct rotation_work *work, struct notice *notice);

#endif
