/* The journal of metered calls and the feed read that goes with each insert: the statements of the
 * verify path. DB thread; autocommit (each is a transaction of its own). */
#ifndef KEYMETER_STORE_JOURNAL_H
#define KEYMETER_STORE_JOURNAL_H

#include "base/arena.h"
#include "io/db.h"
#include "store/feed.h"

/* The identity of one batch; unique for ever. */
struct journal_id {
    unsigned node, incarnation;
    uint64_t seq;
};

/* A place in the feed: position and the random tag of the row there. */
struct feed_place {
    uint64_t position, tag;
};

/* One autocommitted insert that also checks this incarnation is not fenced. ERR_FENCED when it is
 * (nothing written), ERR_EXISTS when the row stands, ERR_DB_UNCERTAIN when the outcome is unknown.
 */
MUST_USE enum err journal_insert(struct db *db, struct journal_id id, struct span payload);

/* The same, and only while `place` is the feed's end: reading the feed and writing in one
 * statement. Nothing written: the feed has news (feed_read), or this incarnation is fenced
 * (journal_insert will say so). */
MUST_USE enum err journal_insert_at(struct db *db, struct journal_id id, struct span payload,
                                    struct feed_place place, bool *written);

/* Whether the row of that id stands. Only to be trusted when the connection that sent the insert
 * has left the process list (outcome_end_connection). */
MUST_USE enum err journal_look(struct db *db, struct journal_id id, bool *found);

/* Commits something of one's own, so that what was seen of others' commits is durable too. */
MUST_USE enum err journal_own_commit(struct db *db, unsigned node, unsigned incarnation);

enum { FEED_READ_MAX = 16000 };
struct feed_read {
    struct feed_row *rows; /* behind the place, in order; in the arena */
    size_t count;
    struct feed_place end; /* the last row's place; the given one when count is 0 */
};
/* Reads what stands behind `from` until exhausted. ERR_NOT_FOUND: the row at `from` is gone or has
 * another tag, so what was applied may never have become durable; or there are more than
 * FEED_READ_MAX rows behind it: read everything again. */
MUST_USE enum err feed_read(struct db *db, struct feed_place from, struct arena *arena,
                            struct feed_read *out);
MUST_USE enum err feed_newest(struct db *db, struct feed_place *out);

#endif
