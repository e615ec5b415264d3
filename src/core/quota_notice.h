/* When a customer is told of the use of its quota. Pure, any thread. */
#ifndef KEYMETER_CORE_QUOTA_NOTICE_H
#define KEYMETER_CORE_QUOTA_NOTICE_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* What was told in a period: for each threshold the highest limit of which it was; 0: none. */
struct quota_told {
    uint64_t at_80, at_100;
};

struct quota_notices {
    bool at_80, at_100;
};
/* What is to be told of `used` out of `limit`: a threshold that is reached, unless it was told of
 * this limit, or a higher one, before. So an upgrade counts anew, and a limit that comes and goes
 * repeats nothing. Never of a limit of 0. */
struct quota_notices quota_notices_due(uint64_t limit, uint64_t used,
                                       const struct quota_told *told);

#endif
