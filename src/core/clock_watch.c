/* Judging the wall clock. Called by the rotation's job before each look at what is due. */
#include "core/clock_watch.h"

static int64_t off(int64_t by_ms)
{
    return by_ms > CLOCK_TOLERANCE_MS || by_ms < -CLOCK_TOLERANCE_MS ? by_ms : 0;
}

/* A node's newest heartbeat lies in the past by as long as it is silent: only a later one tells. */
static int64_t node_ahead(const struct clock_reading *now)
{
    int64_t by_ms = now->node_ms - now->wall_ms;
    return now->node_ms && by_ms > 0 ? by_ms : 0;
}

void clock_watch_begin(struct clock_watch *watch, int64_t wall_ms, int64_t boot_ms)
{
    *watch = (struct clock_watch){.boot_offset_ms = wall_ms - boot_ms};
}

int64_t clock_watch_off_ms(const struct clock_watch *watch, const struct clock_reading *now)
{
    int64_t by_ms = off(now->wall_ms - now->boot_ms - watch->boot_offset_ms);
    if (!by_ms) by_ms = off(now->wall_ms - now->database_ms - watch->database_offset_ms);
    if (!by_ms && node_ahead(now) - watch->node_offset_ms > CLOCK_TOLERANCE_MS)
        by_ms = -node_ahead(now);
    return by_ms;
}

void clock_watch_confirm(struct clock_watch *watch, const struct clock_reading *now)
{
    watch->boot_offset_ms = now->wall_ms - now->boot_ms;
    watch->database_offset_ms = now->wall_ms - now->database_ms;
    watch->node_offset_ms = node_ahead(now);
}
