/* What others' clocks say, to be held against this machine's. Nothing else ever asks the database
 * for the time. DB thread. */
#ifndef KEYMETER_STORE_DATABASE_CLOCK_H
#define KEYMETER_STORE_DATABASE_CLOCK_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

struct db;

struct other_clocks {
    int64_t database_ms; /* wall ms of the database's server */
    int64_t node_ms;     /* newest heartbeat of another live node, by its own clock; 0: none */
};
MUST_USE enum err other_clocks_read(struct db *db, unsigned node, struct other_clocks *out);

#endif
