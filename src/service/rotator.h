/* The scheduler of rotations: looks each second for steps that are due, and has the committer do
 * them (service/rotation_work.h). Any number of nodes may do so at once. Loop thread. */
#ifndef KEYMETER_SERVICE_ROTATOR_H
#define KEYMETER_SERVICE_ROTATOR_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct rotator;
struct service;

/* Behind the meter, as whose node it writes. */
MUST_USE enum err rotator_new(struct rotator **out, struct service *service);
/* Waits for what is under way, then closed(context). Before the meter leaves. */
void rotator_stop(struct rotator *rotator, void (*closed)(void *context), void *context);
/* The wall clock is not to be believed: nothing is rotated or retired until it is back, or its
 * alert acknowledged. As of the last look. */
bool rotator_is_paused(const struct rotator *rotator);
/* What the clock is held against since it was last confirmed, for judging it elsewhere. */
struct clock_watch;
void rotator_watch(const struct rotator *rotator, struct clock_watch *out);

struct rotator_stats {
    uint64_t notices, rotations, reminders, retirements, expiring; /* steps done by this node */
    uint64_t failed;
    uint64_t
        late_s; /* how long the first due step of all nodes has been due, as of the last look */
};
void rotator_get_stats(const struct rotator *rotator, struct rotator_stats *stats);

/* What is due, done now: as much as fits into 4 seconds and the allowance of the minute. */
struct rotator_run {
    struct list link;                      /* the rotator's */
    void (*done)(struct rotator_run *run); /* loop; never inside rotator_run */
    int64_t until_us;
    uint64_t notified, rotated, retired, others; /* steps done by this node */
    uint64_t due;                                /* steps still due, counted up to 10,000 */
    bool paused, failed;
};
void rotator_run(struct rotator *rotator, struct rotator_run *run);

#endif
