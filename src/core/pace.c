/* So many in any second. Called by the reconciler on the loop. What always holds: the slot that is
 * next is the oldest, and those under way will take as many from there on; so a call that begins
 * does so a second after the answer of the one that stands `rate` before it. */
#include "core/pace.h"

#include <string.h>

enum { WINDOW_US = 1010 * 1000 }; /* a second, and what clocks differ by */

void pace_init(struct pace *pace, size_t rate)
{
    memset(pace, 0, sizeof *pace);
    pace->rate = rate < 1 ? 1 : rate > PACE_MAX ? PACE_MAX : rate;
}

static int64_t left_us(const struct pace *pace, size_t ahead, int64_t now_us)
{
    int64_t ended_us = pace->ended_us[(pace->next + ahead) % pace->rate];
    int64_t wait_us = ended_us ? ended_us + WINDOW_US - now_us : 0;
    return wait_us > 0 ? wait_us : 0;
}

int64_t pace_wait_us(const struct pace *pace, size_t calls, int64_t now_us)
{
    if (calls > pace->rate) calls = pace->rate;
    size_t flying = pace->flying + calls;
    return flying <= pace->rate ? left_us(pace, flying - 1, now_us) : -1;
}

bool pace_allows(const struct pace *pace, size_t calls, int64_t now_us)
{
    return pace_wait_us(pace, calls, now_us) == 0;
}

size_t pace_free(const struct pace *pace, int64_t now_us)
{
    size_t ahead = pace->flying;
    while (ahead < pace->rate && !left_us(pace, ahead, now_us))
        ahead++;
    return ahead - pace->flying;
}

void pace_begin(struct pace *pace)
{
    pace->flying++;
}

void pace_end(struct pace *pace, int64_t now_us)
{
    pace->flying--;
    pace->ended_us[pace->next] = now_us;
    pace->next = (pace->next + 1) % pace->rate;
}
