/* Finding out what became of a commit whose connection was lost under way (engine.md, "unknown
 * outcomes"): end the old connection for certain, then look for a row that the lost transaction
 * wrote, then commit something of one's own, because what is visible is not yet durable. DB thread.
 */
#ifndef KEYMETER_STORE_OUTCOME_H
#define KEYMETER_STORE_OUTCOME_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

struct db;

/* Kills the connection `id` and returns once it has left the server's process list, so that it can
 * commit nothing more. `age_ms`: how long that connection is known to have existed; a server that
 * is up for less has been restarted since, and the id may be another's: nothing is killed then.
 * ERR_TIMEOUT after timeout_ms. Outside a transaction. */
MUST_USE enum err outcome_end_connection(struct db *db, uint64_t id, int64_t age_ms,
                                         unsigned timeout_ms);

#endif
