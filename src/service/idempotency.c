/* Reserving, keeping and releasing. Reserve and release are jobs of the readers, begin and keep run
 * on the committer's thread, the rest on the loop. What always holds: no handler of a call with an
 * Idempotency-Key runs without its reservation, and a call that was not kept is answered only when
 * its reservation is released, or could not be. */
#include "service/idempotency.h"

#include "base/clock.h"
#include "base/log.h"
#include "io/http.h"
#include "service/context.h"
#include "service/meter.h"
#include "service/operation.h"
#include "store/node.h"
#include "store/token.h"

#include <sodium.h>
#include <stdlib.h>

enum { ANSWER_ROOM = 8192, RETRY_AFTER_S = 1 };

void answer_wipe(struct buf *answer)
{
    if (answer->data) sodium_memzero(answer->data, answer->capacity);
    buf_done(answer);
}

/* ---- reserve ---- */

static enum err in_flight(struct problem *problem)
{
    problem->retry_after = RETRY_AFTER_S;
    return problem_set(problem, 409, "idempotency_in_flight",
                       "A call with this Idempotency-Key is still at work; try again shortly.");
}

/* What was found, as a problem where it is one; a kept answer is opened. */
static enum err found_read(struct reservation *reservation)
{
    switch (reservation->found.state) {
    case IDEMPOTENCY_RESERVED:
        return ERR_OK;
    case IDEMPOTENCY_IN_FLIGHT:
        return in_flight(&reservation->problem);
    case IDEMPOTENCY_MISMATCH:
        return problem_set(&reservation->problem, 422, "idempotency_mismatch",
                           "This Idempotency-Key was used with another body; send that body "
                           "again, or a new key.");
    case IDEMPOTENCY_KEPT:
        break;
    }
    return kept_answer_open(reservation->service->keyring, &reservation->scope,
                            reservation->found.answer, &reservation->answer);
}

static enum err reserve_run(struct db *db, struct db_job *job)
{
    struct reservation *reservation = CONTAINER_OF(job, struct reservation, job);
    enum err error = ERR_OK; /* a claim link has been looked up before */
    if (reservation->scope.token_id)
        error = token_is_live(db, reservation->scope.token_id, reservation->now_ms);
    if (error == ERR_DENIED)
        return problem_set(&reservation->problem, 401, "unauthenticated",
                           "The service token has been revoked or has expired; use another one.");
    if (!error)
        error = idempotency_reserve(db, &reservation->claim, reservation->now_ms,
                                    &reservation->arena, &reservation->found);
    return error ? error : found_read(reservation);
}

/* ---- release ---- */

/* A reservation whose release failed with the database: released when that is back, so that the
 * next try, on whichever node, need not wait until it counts as forgotten. */
struct leftover {
    struct db_job job;
    struct service *service;
    struct idempotency_claim claim;
    int64_t until_us;
};

static enum err leftover_run(struct db *db, struct db_job *job)
{
    return idempotency_release(db, &CONTAINER_OF(job, struct leftover, job)->claim);
}

/* Worth another try: each of these has cost a second of waiting, or a connection. */
static bool may_pass(enum err error)
{
    return error == ERR_DB_LOST || error == ERR_DB_UNCERTAIN || error == ERR_DB_RETRY;
}

static void leftover_done(struct db_job *job, enum err error)
{
    struct leftover *leftover = CONTAINER_OF(job, struct leftover, job);
    if (may_pass(error) && clock_mono_us() < leftover->until_us &&
        db_submit(leftover->service->readers, job) == ERR_OK)
        return;
    if (error) log_event(LOG_WARN, "idempotency_release_failed", "%s", err_name(error));
    free(leftover);
}

static void leftover_start(const struct reservation *reservation)
{
    struct leftover *leftover = calloc(1, sizeof *leftover);
    if (!leftover) return;
    *leftover = (struct leftover){
        .job = {.run = leftover_run, .done = leftover_done},
        .service = reservation->service,
        .claim = reservation->claim,
        .until_us = clock_mono_us() + IDEMPOTENCY_RESERVED_MS * 1000,
    };
    if (db_submit(leftover->service->readers, &leftover->job) != ERR_OK) free(leftover);
}

static enum err release_run(struct db *db, struct db_job *job)
{
    struct reservation *reservation = CONTAINER_OF(job, struct reservation, job);
    return idempotency_release(db, &reservation->claim);
}

static void release_done(struct db_job *job, enum err error)
{
    struct reservation *reservation = CONTAINER_OF(job, struct reservation, job);
    if (error) leftover_start(reservation);
    http_finish(reservation->request, reservation->held);
}

static bool copy_span(struct arena *arena, struct span *span)
{
    if (!span->length) return true;
    span->data = arena_copy(arena, *span);
    return span->data != NULL;
}

static bool release_start(struct reservation *reservation, const struct http_response *response)
{
    struct arena *arena = &reservation->request->arena;
    if (response->status < 300) return false;
    struct http_response *copy = ARENA_NEW(arena, struct http_response);
    if (!copy) return false;
    *copy = *response;
    if (!copy_span(arena, &copy->headers) || !copy_span(arena, &copy->body)) return false;
    reservation->held = copy;
    reservation->job = (struct db_job){.run = release_run, .done = release_done};
    return db_submit(reservation->service->readers, &reservation->job) == ERR_OK;
}

/* http_request.hold: a success was kept in its own transaction; any other answer waits until its
 * reservation is released. */
static bool hold(struct http_request *request, const struct http_response *response)
{
    struct reservation *reservation = request->hold_context;
    request->hold = reservation->outer_hold;
    request->hold_context = reservation->outer_context;
    if (release_start(reservation, response)) return true;
    if (!request->hold) return false;
    request->hold = NULL;
    return reservation->outer_hold(request, response);
}

/* ---- the frame ---- */

static void reserve_done(struct db_job *job, enum err error)
{
    struct reservation *reservation = CONTAINER_OF(job, struct reservation, job);
    bool reserved = !error && reservation->found.state == IDEMPOTENCY_RESERVED;
    /* With an unknown outcome the row may stand. */
    if (reserved || error == ERR_DB_UNCERTAIN) {
        reservation->outer_hold = reservation->request->hold;
        reservation->outer_context = reservation->request->hold_context;
        reservation->request->hold = hold;
        reservation->request->hold_context = reservation;
    }
    reservation->done(reservation, error);
}

enum err reservation_start(struct reservation *reservation)
{
    const struct service *service = reservation->service;
    struct idempotency_claim *claim = &reservation->claim;
    if (!meter_identity(service->meter, &claim->node, &claim->incarnation)) return ERR_FENCED;
    kept_answer_id(service->keyring, &reservation->scope, claim->id);
    kept_answer_fingerprint(service->keyring, claim->id, reservation->request->body,
                            claim->fingerprint);
    randombytes_buf(&claim->claim, sizeof claim->claim);
    claim->kept_ms = reservation->scope.token_id ? IDEMPOTENCY_KEPT_MS : IDEMPOTENCY_CLAIM_KEPT_MS;
    reservation->now_ms = clock_wall_ms();
    reservation->job = (struct db_job){.run = reserve_run, .done = reserve_done};
    return db_submit(service->readers, &reservation->job);
}

void reservation_done(struct reservation *reservation)
{
    answer_wipe(&reservation->answer);
    arena_done(&reservation->arena);
}

struct reservation *reservation_of(const struct http_request *request)
{
    return request && request->hold == hold ? request->hold_context : NULL;
}

/* ---- the work's own transaction ---- */

enum err reservation_begin(struct db *db, struct operation *operation)
{
    const struct reservation *reservation = operation->reservation;
    if (!reservation) return ERR_OK;
    answer_wipe(&operation->answer);
    return node_hold(db, reservation->claim.node, reservation->claim.incarnation);
}

enum err reservations_hold(struct db *db, struct operation **operations, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct reservation *reservation = operations[i]->reservation;
        if (reservation)
            return node_hold(db, reservation->claim.node, reservation->claim.incarnation);
    }
    return ERR_OK;
}

enum err reservation_keep(struct db *db, struct operation *operation)
{
    struct buf sealed CLEANUP(buf_done) = {0};
    const struct reservation *reservation = operation->reservation;
    if (!reservation) return ERR_OK;
    if (!operation->write) return ERR_INVALID; /* a bug: it would be done twice */
    /* Room at once: a buffer that grows leaves copies of a secret behind. */
    if (!buf_reserve(&operation->answer, ANSWER_ROOM)) return ERR_NO_MEMORY;
    operation->write(operation, &operation->answer);
    if (operation->answer.failed) return ERR_NO_MEMORY;
    enum err error = kept_answer_seal(operation->service->keyring, &reservation->scope,
                                      buf_span(&operation->answer), &sealed);
    if (!error)
        error = idempotency_finish(db, &reservation->claim, operation->now_ms, operation->status,
                                   buf_span(&sealed));
    return error == ERR_NOT_FOUND ? in_flight(&operation->problem) : error;
}
