/* Metering periods: calendar months and hours in UTC. Milliseconds since 1970; pure, no libc time
 * zone. Times before 1970 count as 1970. */
#ifndef KEYMETER_CORE_PERIOD_H
#define KEYMETER_CORE_PERIOD_H

#include <stdint.h>

#define HOUR_MS ((int64_t)3600000)
#define DAY_MS  ((int64_t)86400000)

int64_t period_month_start(int64_t wall_ms); /* the first instant of its month */
int64_t period_month_next(int64_t start_ms); /* the first instant of the month after it */
int64_t period_hour_start(int64_t wall_ms);
int64_t period_day_start(int64_t wall_ms);

#endif
