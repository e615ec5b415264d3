/* Calls with an Idempotency-Key: done once, answered the same each time (contract, "Conventions").
 *
 * Three steps. The row is reserved in a commit of its own before the handler runs. The operation
 * that does the work writes its answer inside its transaction, which keeps it sealed in that row,
 * or rolls back when another has taken the reservation over: so the work and its answer stand
 * together or not at all. An answer that is no success releases the row before it goes out, so that
 * the same key may be tried again at once. */
#ifndef KEYMETER_SERVICE_IDEMPOTENCY_H
#define KEYMETER_SERVICE_IDEMPOTENCY_H

#include "base/buf.h"
#include "crypto/kept_answer.h"
#include "io/db_pool.h"
#include "service/problem.h"
#include "store/idempotency.h"

struct http_request;
struct http_response;
struct operation;
struct service;

/* In the request's arena. The caller fills the first part; spans live as long as the request. */
struct reservation {
    struct service *service;
    struct http_request *request;
    struct kept_scope scope;
    /* Loop, exactly once. ERR_OK with found.state RESERVED: run the handler, the request is
     * watched. KEPT: `answer` is the kept one, reservation_done wipes it. Else the problem of an
     * ERR_DENIED tells. */
    void (*done)(struct reservation *reservation, enum err error);
    struct idempotency_found found;
    struct buf answer;
    struct problem problem;
    /* its own: */
    struct idempotency_claim claim;
    int64_t now_ms;
    struct db_job job;
    struct arena arena;
    struct http_response *held; /* while the row is being released */
    /* Who else waits for the answer: it is theirs once the reservation is done with. */
    bool (*outer_hold)(struct http_request *request, const struct http_response *response);
    void *outer_context;
};

/* ERR_FULL, ERR_CLOSED, ERR_FENCED: answer 503, done will not be called. Loop thread. */
MUST_USE enum err reservation_start(struct reservation *reservation);
/* Frees and wipes what was read; of one that was not reserved, or before the handler runs. */
void reservation_done(struct reservation *reservation);
/* The reservation that watches the request, or NULL. */
struct reservation *reservation_of(const struct http_request *request);

/* ---- for the committer, on its thread, around an operation's run ---- without a reservation they
 * do nothing. ERR_FENCED: the node's incarnation is at its end. ERR_DENIED: the reservation is
 * another's by now. */
MUST_USE enum err reservation_begin(struct db *db, struct operation *operation);
MUST_USE enum err reservation_keep(struct db *db, struct operation *operation);
/* Holds the node's row ahead, when one of these has a reservation, because it comes before the rows
 * of customers. */
MUST_USE enum err reservations_hold(struct db *db, struct operation **operations, size_t count);

/* Frees a buffer whose text may hold a secret. */
void answer_wipe(struct buf *answer);

#endif
