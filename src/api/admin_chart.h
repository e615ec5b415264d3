/* Charts of the dashboard, of usage as GET …/usage gives it, and the choice of their range. Loop
 * thread. */
#ifndef KEYMETER_API_ADMIN_CHART_H
#define KEYMETER_API_ADMIN_CHART_H

#include "api/admin_page.h"

struct admin_range {
    const char *word; /* "24h", "7d", "30d" */
    int64_t from, to; /* wall ms, whole buckets */
    bool hours;       /* buckets of an hour, else of a day */
};
/* By the query's `range`; 7 days without one. */
struct admin_range admin_range_read(struct http_request *request);
/* "from=…&to=…&granularity=…" for a usage call; NULL: no memory. */
const char *admin_range_query(struct http_request *request, const struct admin_range *range);
/* {svg, top, middle, first, last, allowed_text, denied_text, rows, ranges}; `data` is the list of
 * {start, allowed, denied_quota, denied_rate, denied_other}. */
json_t *admin_chart_make(const json_t *data, const struct admin_range *range);

#endif
