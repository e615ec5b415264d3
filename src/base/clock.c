/* System clocks behind the injectable source. */
#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id, int64_t per_second)
{
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * per_second + now.tv_nsec / (1000000000 / per_second);
}

static int64_t system_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME, 1000);
}
static int64_t system_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC, 1000000);
}
static int64_t system_boot_ms(void)
{
    return read_clock(CLOCK_BOOTTIME, 1000);
}

static const struct clock_source system_source = {system_wall_ms, system_mono_us, system_boot_ms};
static const struct clock_source *source = &system_source;

int64_t clock_wall_ms(void)
{
    return source->wall_ms();
}
int64_t clock_mono_us(void)
{
    return source->mono_us();
}
int64_t clock_boot_ms(void)
{
    return source->boot_ms();
}

void clock_install(const struct clock_source *replacement)
{
    source = replacement ? replacement : &system_source;
}
