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

/* When a customer's months begin. Zeroed: with the calendar's. */
struct period_rule {
    int64_t anchor_ms;     /* a start of the billing period; 0: calendar months */
    int64_t kept_start_ms; /* of the period that ran when the anchor was set … */
    int64_t kept_until_ms; /* … and runs on until here, a boundary of the new anchor; 0: none */
};

struct period {
    int64_t start_ms, next_ms;
};

/* The period that `now_ms` is in. Boundaries are the anchor's day and time of day in every month,
 * or the month's last day where it has no such day, always counted from the anchor: 31 January, 28
 * February, 31 March. An annual plan's anchor steps monthly like any other. */
struct period period_at(const struct period_rule *rule, int64_t now_ms);
/* The rule from `now_ms` on. The running period is not cut: it ends at the new anchor's next
 * boundary, so that what was used stays used. An anchor that is a boundary already changes nothing.
 */
struct period_rule period_anchor(const struct period_rule *rule, int64_t anchor_ms, int64_t now_ms);

#endif
