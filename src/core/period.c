/* Where metering periods begin. Called by the meter on the loop and by usage reads on DB threads.
 * Months are those of the Gregorian calendar in UTC, whatever the machine's time zone. */
#include "core/period.h"

#include "base/codec.h"

static int64_t not_before_1970(int64_t wall_ms)
{
    return wall_ms < 0 ? 0 : wall_ms;
}

int64_t period_month_start(int64_t wall_ms)
{
    int64_t year;
    unsigned month, day;
    date_from_days(not_before_1970(wall_ms) / DAY_MS, &year, &month, &day);
    return days_from_date(year, month, 1) * DAY_MS;
}

int64_t period_month_next(int64_t start_ms)
{
    int64_t year;
    unsigned month, day;
    date_from_days(not_before_1970(start_ms) / DAY_MS, &year, &month, &day);
    return (month == 12 ? days_from_date(year + 1, 1, 1) : days_from_date(year, month + 1, 1)) *
           DAY_MS;
}

int64_t period_hour_start(int64_t wall_ms)
{
    wall_ms = not_before_1970(wall_ms);
    return wall_ms - wall_ms % HOUR_MS;
}

int64_t period_day_start(int64_t wall_ms)
{
    wall_ms = not_before_1970(wall_ms);
    return wall_ms - wall_ms % DAY_MS;
}
