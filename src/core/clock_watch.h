/* Whether the wall clock may be believed: it has not moved by more than 5 minutes against the
 * machine's own time since the start, and is not further than that from the database's, nor behind
 * another node's. Pure. */
#ifndef KEYMETER_CORE_CLOCK_WATCH_H
#define KEYMETER_CORE_CLOCK_WATCH_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

enum { CLOCK_TOLERANCE_MS = 5 * 60 * 1000 };

/* What was confirmed is the new zero. */
struct clock_watch {
    int64_t boot_offset_ms;                     /* wall - CLOCK_BOOTTIME */
    int64_t database_offset_ms, node_offset_ms; /* what was confirmed of the others' */
};
struct clock_reading {
    int64_t wall_ms, boot_ms;
    int64_t database_ms, node_ms; /* node_ms 0: no other node */
};

/* From the start of the process on. */
void clock_watch_begin(struct clock_watch *watch, int64_t wall_ms, int64_t boot_ms);
/* How far it is off, by the largest of the three; 0: within the tolerance. */
MUST_USE int64_t clock_watch_off_ms(const struct clock_watch *watch,
                                    const struct clock_reading *now);
/* From here on this is right. */
void clock_watch_confirm(struct clock_watch *watch, const struct clock_reading *now);

#endif
