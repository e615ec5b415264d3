/* What the portal shows of keys and usage, as values for templates/web. Loop thread. A value that
 * cannot be made for want of memory is missing on the page. */
#ifndef KEYMETER_API_PORTAL_VIEW_H
#define KEYMETER_API_PORTAL_VIEW_H

#include "core/rate_limit.h"
#include "store/key_view.h"
#include "store/usage.h"

#include <jansson.h>

struct tier;

enum { PORTAL_DAYS = 30 };

/* Sets a member; takes the value over, also NULL. */
void portal_put(json_t *object, const char *name, json_t *value);
/* A number with commas. */
void portal_put_number(json_t *object, const char *name, uint64_t value);
/* {iso, text, day}: "2026-11-28T05:10:00Z", "28 November 2026, 05:10 UTC", "28 November 2026";
 * null for 0. */
json_t *portal_time(int64_t wall_ms);

/* id, title, start, status, tone, environment, live, times, secrets, overlap … */
json_t *portal_key_json(const struct key_view *view, int64_t now_ms);
/* name, left, limit, window, share of each. `views` NULL: nothing is known to be spent. */
json_t *portal_rates_json(const struct rate_limit *limits, const struct rate_view *views,
                          unsigned count);
/* A key's own limits merged with its tier's. */
unsigned portal_limits(const struct tier *tier, const char *rate_limits_json,
                       struct rate_limit out[RATE_LIMITS_MAX]);

struct portal_quota {
    bool has_limit, blocks;
    uint64_t limit, used;
    struct period period;
};
/* used, limit, left, share, tone, resets, and `runs_out` when it does before that at this pace. */
json_t *portal_quota_json(const struct portal_quota *quota, int64_t now_ms);

/* The last PORTAL_DAYS days, today too, to be read by usage_series_read; memory of the arena. */
MUST_USE enum err portal_series(struct usage_series *series, enum usage_kind kind, uint64_t subject,
                                int64_t now_ms, struct arena *arena);
/* svg, top, middle, first, last, total, denied, rows. */
json_t *portal_plot_json(const struct usage_series *series);

#endif
