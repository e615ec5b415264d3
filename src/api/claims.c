/* Revealing a claim link's secret. Called by the routing on the loop thread, without a service
 * token: the link's own token says who may. What always holds: a text that is no token reaches no
 * database, wrong ones are counted by network, and the secret is wiped once its answer is written.
 */
#include "api/claims.h"

#include "api/client_address.h"
#include "api/request.h"
#include "base/clock.h"
#include "base/json.h"
#include "core/api_key.h"
#include "crypto/key_hash.h"
#include "service/claim.h"
#include "service/context.h"
#include "service/idempotency.h"
#include "service/throttle.h"
#include "store/claim.h"

enum { TOKEN_MAX = 255 };

static enum err not_found(struct problem *problem)
{
    return problem_set(problem, 404, "claim_not_found",
                       "There is no such link; copy it whole, or ask for a new one.");
}

static void reveal_put(struct buf *out, const struct claim_reveal *reveal)
{
    json_open(out, NULL, '{');
    json_put_text(out, "secret", secret_span(reveal->secret));
    json_put_id(out, "key_id", "key", reveal->key_id);
    json_open(out, "customer", '{');
    json_put_id(out, "id", "cus", reveal->customer_id);
    json_put_string(out, "external_id", reveal->external_id);
    json_close(out, '}');
    json_close(out, '}');
}

static void charge(struct http_request *request)
{
    struct address address = client_address(request);
    throttle_charge(request_service(request)->claim_throttle, &address, clock_mono_us());
}

static void reveal_answer(struct claim_reveal *reveal, enum err error)
{
    enum { ROOM = 1024 };
    struct http_request *request = reveal->operation.request;
    struct problem problem = reveal->operation.problem;
    struct buf out = {0};
    if (reveal->unknown) charge(request);
    if (!error && !buf_reserve(&out, ROOM)) error = ERR_NO_MEMORY;
    if (!error) reveal_put(&out, reveal);
    claim_reveal_done(reveal);
    if (error)
        problem_finish_error(request, error, &problem);
    else {
        struct http_response response = {
            .status = 200, .content_type = "application/json", .body = buf_span(&out)};
        http_finish(request, &response);
    }
    answer_wipe(&out);
}

struct verdict handle_claim_reveal(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct api_key_parts parts;
    const char *token = "";
    unsigned retry_after_s = 0;
    struct address address = client_address(request);
    struct claim_reveal *reveal = ARENA_NEW(&request->arena, struct claim_reveal);
    if (!reveal) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    field_required(&body.fields, "token", field_key(&body.fields, "token", TOKEN_MAX, &token));
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    struct service *service = request_service(request);
    enum err error = ERR_OK;
    if (!throttle_allows(service->claim_throttle, &address, clock_mono_us(), &retry_after_s)) {
        body.problem.retry_after = retry_after_s;
        error = problem_set(&body.problem, 429, "too_many_attempts",
                            "Too many wrong links from this address; wait a little.");
    } else if (!api_key_parse(span_text(token), &parts) || !span_is(parts.label, CLAIM_LABEL)) {
        charge(request);
        error = not_found(&body.problem);
    }
    if (error) return problem_reply(request, &body.problem);
    key_hash(service->keyring, span_text(token), reveal->hash);
    reveal->operation.service = service;
    reveal->operation.request = request;
    reveal->done = reveal_answer;
    error = claim_reveal_start(reveal);
    if (!error) return http_pending(request);
    return problem_reply_error(request, error, &reveal->operation.problem);
}
