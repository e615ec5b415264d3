/* Reservations and kept answers of calls with an Idempotency-Key. Any thread that has a `struct
 * db`; an attempt is known by its random claim, so that one which was taken over can neither finish
 * nor release what is another's by then. */
#ifndef KEYMETER_STORE_IDEMPOTENCY_H
#define KEYMETER_STORE_IDEMPOTENCY_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stddef.h>
#include <stdint.h>

struct db;

/* For how long an answer is kept (a claim link's for a retry alone), and after how long a
 * reservation is given up whose node lives but lost sight of it: longer than any call works. Taking
 * over too early would be harmless (the first attempt could not finish any more), only wasted work.
 */
#define IDEMPOTENCY_KEPT_MS       INT64_C(86400000)
#define IDEMPOTENCY_CLAIM_KEPT_MS INT64_C(600000)
#define IDEMPOTENCY_RESERVED_MS   INT64_C(180000)

struct idempotency_claim {
    unsigned char id[32], fingerprint[32];
    unsigned node, incarnation; /* in whose name the work is done */
    int64_t claim;              /* random, of this attempt */
    int64_t kept_ms;            /* for how long its answer is kept; longer than RESERVED_MS */
};

enum idempotency_state {
    IDEMPOTENCY_RESERVED,  /* by this claim: do the work */
    IDEMPOTENCY_IN_FLIGHT, /* somebody works on it */
    IDEMPOTENCY_MISMATCH,  /* it stands for another body */
    IDEMPOTENCY_KEPT,      /* the work is done, here is the answer */
};
struct idempotency_found {
    enum idempotency_state state;
    int status;         /* of a kept answer */
    struct span answer; /* sealed; in the arena */
};

/* In no transaction; commits its own. Takes over what a fenced node left behind. What is kept is
 * told only behind a commit of one's own, so it is durable. ERR_FENCED: this node's incarnation is
 * at its end. ERR_DB_UNCERTAIN: release it. */
MUST_USE enum err idempotency_reserve(struct db *db, const struct idempotency_claim *claim,
                                      int64_t now_ms, struct arena *arena,
                                      struct idempotency_found *found);
/* In the transaction that does the work and holds the node's row: keeps the answer. ERR_NOT_FOUND:
 * the reservation is another's by now, roll back. */
MUST_USE enum err idempotency_finish(struct db *db, const struct idempotency_claim *claim,
                                     int64_t now_ms, int status, struct span sealed);
/* One autocommitted statement. Nothing to release is no error: a finished call stays kept. */
MUST_USE enum err idempotency_release(struct db *db, const struct idempotency_claim *claim);

#endif
