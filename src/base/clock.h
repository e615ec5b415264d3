/* The one source of time. Wall-clock UTC is for due dates and records, monotonic for timeouts, boot
 * time for fencing (it goes on while the machine sleeps). Tests install a source of their own. */
#ifndef KEYMETER_BASE_CLOCK_H
#define KEYMETER_BASE_CLOCK_H

#include <stdint.h>

struct clock_source {
    int64_t (*wall_ms)(void); /* milliseconds since 1970-01-01T00:00:00Z */
    int64_t (*mono_us)(void); /* microseconds, CLOCK_MONOTONIC */
    int64_t (*boot_ms)(void); /* milliseconds, CLOCK_BOOTTIME */
};

/* Any thread. */
int64_t clock_wall_ms(void);
int64_t clock_mono_us(void);
int64_t clock_boot_ms(void);

/* Replaces the source; NULL restores the system's. Before any thread starts. */
void clock_install(const struct clock_source *source);

#endif
