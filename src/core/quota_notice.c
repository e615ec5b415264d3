/* The thresholds of a quota. Called by the step behind the fold; the fold's own look
 * (store/quota_notice.c) asks the same of many customers at once, in SQL. */
#include "core/quota_notice.h"

struct quota_notices quota_notices_due(uint64_t limit, uint64_t used, const struct quota_told *told)
{
    uint64_t at_80 = limit - limit / 5; /* 80 %, rounded up, without an overflow */
    return (struct quota_notices){
        .at_80 = used >= at_80 && told->at_80 < limit,
        .at_100 = used >= limit && told->at_100 < limit,
    };
}
