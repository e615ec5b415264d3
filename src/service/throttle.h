/* Wrong tries, counted by network: so many a minute, then no more for a while. A table of fixed
 * size; a flood from many networks drives the oldest counts out. Loop thread. */
#ifndef KEYMETER_SERVICE_THROTTLE_H
#define KEYMETER_SERVICE_THROTTLE_H

#include "base/compiler.h"
#include "base/err.h"
#include "core/network.h"

#include <stdbool.h>
#include <stdint.h>

struct throttle;

/* `tries` wrong ones a minute of one IPv4 address or IPv6 /64. */
MUST_USE enum err throttle_new(struct throttle **out, uint32_t tries);
void throttle_free(struct throttle **throttle); /* accepts NULL */
/* Whether another try is let in; else *retry_after_s. */
MUST_USE bool throttle_allows(struct throttle *throttle, const struct address *address,
                              int64_t now_us, unsigned *retry_after_s);
/* It was a wrong one. Where the answer takes its time, all that are let in meanwhile are charged
 * first, and the right ones given back; else any number of them would be let in side by side. */
void throttle_charge(struct throttle *throttle, const struct address *address, int64_t now_us);
void throttle_give_back(struct throttle *throttle, const struct address *address);

#endif
