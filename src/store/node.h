/* Nodes, their incarnations, heartbeats and fences (engine.md's "leases and fencing"; in short:
 * every statement a node runs in its own name first holds its row here, so that a node that was
 * given up can never write again). DB thread. */
#ifndef KEYMETER_STORE_NODE_H
#define KEYMETER_STORE_NODE_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

enum { NODE_ID_MAX = 511 };

struct node_row {
    unsigned id, incarnation;
    bool fenced;
    int64_t heartbeat;  /* a counter, not a time */
    int64_t started_at; /* wall ms */
};

/* Begins a new incarnation of the node called `name` (1 to 64 printable ASCII characters) and
 * fences all its former ones, in one transaction of its own. Ids are 1…NODE_ID_MAX: ERR_FULL when
 * they are used up. After ERR_DB_UNCERTAIN join again: that fences what may have been begun. */
MUST_USE enum err node_join(struct db *db, const char *name, int64_t now_ms, unsigned *id,
                            unsigned *incarnation);
/* One autocommitted statement. ERR_FENCED: this incarnation is at its end. */
MUST_USE enum err node_heartbeat(struct db *db, unsigned id, unsigned incarnation);
/* Locks the node's row in share mode within the caller's transaction. ERR_FENCED: roll back. */
MUST_USE enum err node_hold(struct db *db, unsigned id, unsigned incarnation);
/* Unfenced incarnations first, then the fenced ones, newest first; at most `capacity`. No locks. */
MUST_USE enum err node_list(struct db *db, struct node_row *rows, size_t capacity, size_t *count);
/* Fences the incarnation if its heartbeat is still the one seen, with its feed row, in one
 * transaction of its own. ERR_NOT_FOUND: it has moved on, or was fenced already. */
MUST_USE enum err node_fence(struct db *db, int64_t now_ms, unsigned id, unsigned incarnation,
                             int64_t heartbeat_seen);
/* The same for oneself, once everything is handed back. ERR_FENCED: another did it first. */
MUST_USE enum err node_leave(struct db *db, int64_t now_ms, unsigned id, unsigned incarnation);

#endif
