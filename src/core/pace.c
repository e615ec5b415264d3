/* So many in any second. Called by the reconciler on the loop. What always holds: the slot that is
 * next is the oldest, so a window is one look at it. */
#include "core/pace.h"

#include <string.h>

/* A little more than a second: on the way some come late, and the next ones not. */
enum { WINDOW_US = 1050 * 1000 };

void pace_init(struct pace *pace, size_t rate)
{
    memset(pace, 0, sizeof *pace);
    pace->rate = rate < 1 ? 1 : rate > PACE_MAX ? PACE_MAX : rate;
}

static bool is_past(int64_t begun_us, int64_t now_us)
{
    return !begun_us || now_us - begun_us >= WINDOW_US;
}

bool pace_allows(const struct pace *pace, int64_t now_us)
{
    return is_past(pace->begun_us[pace->next], now_us);
}

size_t pace_free(const struct pace *pace, int64_t now_us)
{
    size_t count = 0;
    while (count < pace->rate && is_past(pace->begun_us[(pace->next + count) % pace->rate], now_us))
        count++;
    return count;
}

void pace_take(struct pace *pace, int64_t now_us)
{
    pace->begun_us[pace->next] = now_us;
    pace->next = (pace->next + 1) % pace->rate;
}
