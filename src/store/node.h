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

/* So long after its fence nobody speaks of an incarnation any more: its rows may go, but the newest
 * of each node, which keeps the number; and a name all of whose incarnations are that old makes
 * room for a new one when the ids are used up. */
#define NODE_KEPT_MS (30 * INT64_C(86400000))

struct node_row {
    unsigned id, incarnation;
    bool fenced;
    int64_t heartbeat;  /* a counter, not a time */
    int64_t started_at; /* wall ms */
};

/* What a join came to. */
struct node_joined {
    unsigned id, incarnation;
    unsigned fenced; /* former incarnations that had not left, and are fenced now */
};
/* Begins a new incarnation of the node called `name` (1 to 64 printable ASCII characters) and
 * fences all its former ones, in one transaction of its own. `tag` is the process' own random
 * number, never 0: a process may join again after it was fenced, or after ERR_DB_UNCERTAIN, but
 * gets ERR_DENIED once a process of another tag has joined behind it. Ids are 1…NODE_ID_MAX:
 * ERR_FULL when they are used up, and all in use. */
MUST_USE enum err node_join(struct db *db, const char *name, uint64_t tag, int64_t now_ms,
                            struct node_joined *out);
/* The same for a process that knows that it had joined before. ERR_DENIED also when its rows, or
 * its name, are gone: it was stopped for so long that others may be in its place. */
MUST_USE enum err node_join_again(struct db *db, const char *name, uint64_t tag, int64_t now_ms,
                                  struct node_joined *out);

/* The newest incarnation of a name, while it is not fenced: of a process that crashed, or lives. */
struct node_former {
    unsigned id, incarnation;
    uint64_t tag;
    int64_t heartbeat;
    bool connected; /* the connection of its last heartbeat still stands on the server */
};
/* Plain read; now_ms is the wall clock. ERR_NOT_FOUND: the name is new, or all its incarnations
 * have left. */
MUST_USE enum err node_find_former(struct db *db, const char *name, int64_t now_ms,
                                   struct node_former *out);
/* One autocommitted statement. ERR_FENCED: this incarnation is at its end. */
MUST_USE enum err node_heartbeat(struct db *db, unsigned id, unsigned incarnation, int64_t now_ms);
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
