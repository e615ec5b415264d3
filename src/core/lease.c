/* Lease sizes: large enough that a busy budget asks about once a second, small enough that what
 * lies unspent on one node does not starve the others. Called by the meter on the loop. */
#include "core/lease.h"

uint64_t lease_size(uint64_t need, uint64_t rate_per_second, uint64_t remaining,
                    unsigned live_nodes)
{
    uint64_t share = remaining / (2 * (uint64_t)(live_nodes ? live_nodes : 1));
    if (remaining == LEASE_NO_LIMIT) share = INT64_MAX; /* what the database can count */
    uint64_t wanted = rate_per_second < share ? rate_per_second : share;
    return wanted > need ? wanted : need;
}
