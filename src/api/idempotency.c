/* The wrapper that api/routes.c puts around the handlers of calls that create or replace a secret.
 * Loop thread. What always holds: the handler runs only behind the reservation of its call
 * (service/idempotency.h), and an Idempotency-Key that could be guessed gets no secret. */
#include "api/idempotency.h"

#include "api/auth.h"
#include "api/request.h"
#include "api/version.h"
#include "service/idempotency.h"

struct idempotent_call {
    struct reservation reservation;
    http_handler *handler;
};

/* ---- answers ---- */

struct answer answer_take(struct operation *operation, enum err error)
{
    struct answer answer = {
        .error = error, .problem = operation->problem, .status = operation->status};
    if (error) {
        answer_wipe(&operation->answer);
        return answer;
    }
    answer.body = operation->answer;
    operation->answer = (struct buf){0};
    if (!answer.body.length && operation->write) operation->write(operation, &answer.body);
    return answer;
}

void answer_finish(struct http_request *request, struct answer *answer)
{
    if (answer->error)
        problem_finish_error(request, answer->error, &answer->problem);
    else if (answer->body.length || answer->body.failed)
        finish_json_version(request, answer->status, &answer->body, answer->version);
    else
        finish_empty(request, answer->status);
    answer_wipe(&answer->body);
}

/* ---- the header ---- */

/* The Idempotency-Key, or the problem is set. */
static bool key_read(const struct http_request *request, size_t min, struct span *key,
                     struct problem *problem)
{
    bool printable = true;
    *key = http_header(request, "idempotency-key");
    for (size_t i = 0; i < key->length; i++)
        printable &= key->data[i] >= ' ' && key->data[i] <= '~';
    if (http_header_count(request, "idempotency-key") != 1)
        problem_add_field(problem, "header.Idempotency-Key", "must stand there only once");
    else if (!printable || key->length < min || key->length > IDEMPOTENCY_KEY_MAX)
        problem_add_field(problem, "header.Idempotency-Key",
                          "must be %zu to %d printable ASCII characters; send a random UUID", min,
                          IDEMPOTENCY_KEY_MAX);
    else if (is_key_text(*key))
        problem_add_field(problem, "header.Idempotency-Key",
                          "must not be a key or token; send a random UUID");
    return problem->field_count == 0;
}

/* ---- the call ---- */

static void replay(struct http_request *request, struct reservation *reservation)
{
    struct http_response response = {
        .status = reservation->found.status,
        .content_type = "application/json",
        .headers = SPAN("Idempotent-Replayed: true\r\n"),
        .body = buf_span(&reservation->answer),
    };
    struct reservation own = *reservation; /* the request's arena dies with the answer */
    http_finish(request, &response);
    reservation_done(&own);
}

static void reserved(struct reservation *reservation, enum err error)
{
    struct idempotent_call *call = CONTAINER_OF(reservation, struct idempotent_call, reservation);
    struct http_request *request = reservation->request;
    if (!error && reservation->found.state == IDEMPOTENCY_KEPT) {
        replay(request, reservation);
        return;
    }
    reservation_done(reservation);
    if (error) {
        problem_finish_error(request, error, &reservation->problem);
        return;
    }
    /* The handler answers or keeps the request; a verdict is due only inside a dispatch. */
    struct verdict verdict = call->handler(request);
    (void)verdict;
}

static struct verdict call_run(struct http_request *request, http_handler *handler, size_t key_min,
                               struct span link)
{
    struct span key;
    struct problem problem = {0};
    if (!http_header_count(request, "idempotency-key")) return handler(request);
    if (!key_read(request, key_min, &key, &problem)) return problem_reply(request, &problem);
    struct idempotent_call *call = ARENA_NEW(&request->arena, struct idempotent_call);
    if (!call) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    call->handler = handler;
    call->reservation.service = request_service(request);
    call->reservation.request = request;
    call->reservation.scope = (struct kept_scope){.token_id = caller_of(request)->token_id,
                                                  .method = request->method_text,
                                                  .path = request->path,
                                                  .key = key,
                                                  .link = link};
    call->reservation.done = reserved;
    enum err error = reservation_start(&call->reservation);
    if (error) return problem_reply_error(request, error, NULL);
    return http_pending(request);
}

struct verdict idempotency_run(struct http_request *request, http_handler *handler, size_t key_min)
{
    return call_run(request, handler, key_min, SPAN(""));
}

struct verdict idempotency_run_link(struct http_request *request, http_handler *handler,
                                    struct span link)
{
    return call_run(request, handler, IDEMPOTENCY_KEY_MIN_SECRET, link);
}
