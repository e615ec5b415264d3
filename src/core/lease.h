/* How many units of a budget a node asks for at once. Pure arithmetic. */
#ifndef KEYMETER_CORE_LEASE_H
#define KEYMETER_CORE_LEASE_H

#include <stdint.h>

#define LEASE_NO_LIMIT UINT64_MAX

/* At least `need`; otherwise about one second of the recent rate, but never more than this node's
 * half share of what remains: max(need, remaining / (2 * live_nodes)). `remaining` LEASE_NO_LIMIT:
 * a budget without end. live_nodes 0 counts as 1. Asking does not mean getting: with remaining <
 * need the grant is refused by the store. */
uint64_t lease_size(uint64_t need, uint64_t rate_per_second, uint64_t remaining,
                    unsigned live_nodes);

#endif
