/* The rotation machine: what comes next in the life of a secret, and when. Pure; times are wall ms,
 * 0 stands for "not yet" or "none".
 *
 *            notice_days before          rotates_at, and notice_days
 *            rotates_at                  after the notice was accepted
 *   issued ───► NOTICE ────────────────────► ROTATE ──────────────────────► RETIRE
 *            scheduled     notified              │          rotated            retired
 *                          postponed ◄── notice  │   old secret works until the earlier of
 *                                      not       │   first use of the new + grace, and
 *                                      accepted  │   delivery + hard_stop_days
 *                                                └── claim link not used: reminders each day;
 *                                                    at max_overlap_days keep (alert) or retire
 *
 * Generation: the version of the secret whose life it is. A step's row is made by the step before
 * it and done once. */
#ifndef KEYMETER_CORE_ROTATION_H
#define KEYMETER_CORE_ROTATION_H

#include "base/compiler.h"
#include "base/span.h"
#include "core/tier.h"

#include <stdbool.h>
#include <stdint.h>

/* In the database: never renumber. */
enum rotation_step {
    ROTATION_NONE = 0,
    ROTATION_NOTICE = 1,
    ROTATION_ROTATE = 2,
    ROTATION_RETIRE = 3,
    ROTATION_EXPIRING = 4, /* the notice before a key's own expires_at; generation 0 */
    ROTATION_REMIND = 100, /* and 101, 102 …: one each day from the rotation to the retirement */
};
enum rotation_status {
    ROTATION_HIDDEN = 0,
    ROTATION_SCHEDULED = 1, /* the notice is next */
    ROTATION_NOTIFIED = 2,
    ROTATION_ROTATED = 3,   /* the old secret is to be retired */
    ROTATION_POSTPONED = 4, /* due, but its notice was not accepted, or something else holds it */
    ROTATION_RETIRED = 5,
};
const char *rotation_status_name(enum rotation_status status);
MUST_USE bool rotation_status_parse(struct span word, enum rotation_status *status);
/* "notice", "rotate", "retire" */
const char *rotation_step_name(enum rotation_step step);

/* The end of a replaced secret that only its retirement will set: such a secret works on, whatever
 * a clock says. 9999-12-31T23:59:59Z. */
#define SECRET_END_OPEN INT64_C(253402300799000)

enum {
    ROTATION_POLL_S = 3600,  /* between two looks at what holds a step back */
    ROTATION_SLEEP_S = 86400 /* the same for a key that is disabled, suspended or expired */
};

struct rotation_facts {
    int64_t issued_at;      /* the generation's secret */
    int64_t rotates_at;     /* as promised; 0: it does not rotate by itself */
    int64_t key_expires_at; /* 0: never */
    bool off;               /* opted out */
    bool asleep;            /* disabled, suspended, expired: nobody to be told */
    bool overlaps;          /* an older secret than this generation's still works */
    bool notified;          /* the notice stands in the outbox … */
    int64_t noticed_at;     /* … and was accepted by the relay */
    int64_t rotated_at;     /* the next secret was made, or its claim link */
    bool by_claim;          /* a link, and nothing revealed yet */
    bool kept;              /* max_overlap_days are over and it was decided to keep */
    int64_t delivered_at;   /* the encrypted mail accepted, or the claim revealed */
    int64_t used_at;        /* the first use of the next secret that was seen */
    int64_t ends_at;        /* the old secret's end, set by an admin's rotation */
    bool retired;
};

struct rotation_plan {
    enum rotation_step step; /* NONE: nothing is to come */
    int64_t due_at;          /* 0: not known yet */
    bool due;                /* do it now */
    bool held;               /* it would be due, but something holds it back */
    bool decide;             /* unclaimed for max_overlap_days: keep, with an alert */
    int64_t look_at;         /* when to look again, > now unless due; 0 with NONE */
};
struct rotation_plan rotation_plan(const struct tier *tier, const struct rotation_facts *facts,
                                   int64_t now_ms);

/* When the notice for a rotation or an expiry at `at_ms` is due, never before `from_ms`. */
int64_t rotation_notice_at(const struct tier *tier, int64_t at_ms, int64_t from_ms);
/* When a secret made at `issued_at` is to be followed; 0: never. */
int64_t rotation_date(const struct tier *tier, int64_t issued_at);

#endif
