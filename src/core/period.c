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

/* `months` is counted from year 0; day 1…31. */
static int64_t boundary(int64_t months, unsigned day, int64_t time_of_day_ms)
{
    int64_t year = months / 12;
    unsigned month = (unsigned)(months % 12) + 1;
    int64_t first = days_from_date(year, month, 1);
    int64_t next =
        month == 12 ? days_from_date(year + 1, 1, 1) : days_from_date(year, month + 1, 1);
    int64_t last = next - 1, wanted = first + day - 1;
    return (wanted < last ? wanted : last) * DAY_MS + time_of_day_ms;
}

/* The anchor's boundaries around `now_ms`. */
static struct period around(int64_t anchor_ms, int64_t now_ms)
{
    int64_t year;
    unsigned month, day, unused;
    anchor_ms = not_before_1970(anchor_ms);
    now_ms = not_before_1970(now_ms);
    int64_t time_of_day_ms = anchor_ms % DAY_MS;
    date_from_days(anchor_ms / DAY_MS, &year, &month, &day);
    date_from_days(now_ms / DAY_MS, &year, &month, &unused);
    int64_t months = year * 12 + month - 1;
    if (boundary(months, day, time_of_day_ms) > now_ms) months--;
    return (struct period){boundary(months, day, time_of_day_ms),
                           boundary(months + 1, day, time_of_day_ms)};
}

struct period period_at(const struct period_rule *rule, int64_t now_ms)
{
    if (now_ms < rule->kept_until_ms)
        return (struct period){rule->kept_start_ms, rule->kept_until_ms};
    return around(rule->anchor_ms, now_ms); /* 0 is midnight of a first */
}

struct period_rule period_anchor(const struct period_rule *rule, int64_t anchor_ms, int64_t now_ms)
{
    /* A renewal: 28 February is a boundary of 31 January, and March ends on the 31st again. */
    if (anchor_ms && rule->anchor_ms && around(rule->anchor_ms, anchor_ms).start_ms == anchor_ms)
        return *rule;
    struct period running = period_at(rule, now_ms), next = around(anchor_ms, now_ms);
    if (running.start_ms == next.start_ms && running.next_ms == next.next_ms)
        return (struct period_rule){.anchor_ms = anchor_ms};
    return (struct period_rule){anchor_ms, running.start_ms, next.next_ms};
}
