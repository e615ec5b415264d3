/* So many in any second at the other end, whatever the way there takes: what is under way counts,
 * and each for a second after its answer. Pure; not shared between threads. */
#ifndef KEYMETER_CORE_PACE_H
#define KEYMETER_CORE_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACE_MAX = 1000 };

struct pace {
    size_t rate, next, flying;
    int64_t ended_us[PACE_MAX]; /* the last `rate` of them, 0: none */
};

/* 1 to PACE_MAX a second. */
void pace_init(struct pace *pace, size_t rate);
/* Whether so many calls may begin together; more than the rate: when nothing else counts. */
bool pace_allows(const struct pace *pace, size_t calls, int64_t now_us);
/* How long until they may; 0: now. -1: one of those under way has to end first. */
int64_t pace_wait_us(const struct pace *pace, size_t calls, int64_t now_us);
/* How many may begin now; of a time to come: if none begins and none ends until then. */
size_t pace_free(const struct pace *pace, int64_t now_us);
/* One begins, whether it may or not, and ends. */
void pace_begin(struct pace *pace);
void pace_end(struct pace *pace, int64_t now_us);

#endif
