/* Revealing a claim link's secret. Called by the routing on the loop thread, without a service
 * token: the link's own token says who may. What always holds: a text that is no token reaches no
 * database, wrong ones are counted by network and reserve nothing, a page of another site gets
 * nothing, and the secret is wiped once its answer is written. */
#include "api/claims.h"

#include "api/auth.h"
#include "api/idempotency.h"
#include "api/request.h"
#include "base/clock.h"
#include "base/json.h"
#include "core/api_key.h"
#include "crypto/key_hash.h"
#include "service/claim.h"
#include "service/client_address.h"
#include "service/context.h"
#include "service/throttle.h"
#include "store/claim.h"

enum { TOKEN_MAX = 255 };

/* In the request's arena; its caller is the link's holder. */
struct claim_call {
    struct caller caller;
    struct claim_reveal reveal;
    struct span token;
};

static struct claim_call *call_of(struct claim_reveal *reveal)
{
    return CONTAINER_OF(reveal, struct claim_call, reveal);
}

static enum err not_found(struct problem *problem)
{
    return problem_set(problem, 404, "claim_not_found",
                       "There is no such link; copy it whole, or ask for a new one.");
}

static void reveal_write(struct operation *operation, struct buf *out)
{
    const struct claim_reveal *reveal = CONTAINER_OF(operation, struct claim_reveal, operation);
    json_open(out, NULL, '{');
    json_put_text(out, "secret", secret_span(reveal->secret));
    json_put_id(out, "key_id", "key", reveal->key_id);
    json_put_string(out, "title", reveal->title);
    json_put_string(out, "environment", reveal->environment);
    json_open(out, "customer", '{');
    json_put_id(out, "id", "cus", reveal->customer_id);
    json_put_string(out, "external_id", reveal->external_id);
    json_close(out, '}');
    if (reveal->old.start[0]) {
        json_open(out, "old_secret", '{');
        json_put_string(out, "start", reveal->old.start);
        json_put_time(out, "expires_at", reveal->old.ends_at);
        json_put_u64(out, "grace_seconds", reveal->old.grace_s);
        json_close(out, '}');
    } else {
        json_put_null(out, "old_secret");
    }
    json_close(out, '}');
}

/* Each try, before it is looked up, so that many side by side count too … */
static void charge(struct http_request *request)
{
    struct address address = client_address(request);
    throttle_charge(request_service(request)->claim_throttle, &address, clock_mono_us());
}

/* … and this one was no wrong one. */
static void give_back(struct http_request *request)
{
    struct address address = client_address(request);
    throttle_give_back(request_service(request)->claim_throttle, &address);
}

static void revealed(struct claim_reveal *reveal, enum err error)
{
    struct http_request *request = reveal->operation.request;
    struct answer answer = answer_take(&reveal->operation, error);
    claim_reveal_done(reveal);
    answer_finish(request, &answer);
}

/* Once for each Idempotency-Key, or at once without one. */
static struct verdict reveal_run(struct http_request *request)
{
    struct caller *caller = request->user;
    struct claim_reveal *reveal = &CONTAINER_OF(caller, struct claim_call, caller)->reveal;
    enum err error = claim_reveal_start(reveal);
    if (!error) return http_pending(request);
    return problem_reply_error(request, error, &reveal->operation.problem);
}

static void looked(struct claim_reveal *reveal, enum err error)
{
    struct http_request *request = reveal->operation.request;
    if (!reveal->unknown) give_back(request);
    if (error) {
        problem_finish_error(request, error, &reveal->operation.problem);
        return;
    }
    /* The handler answers or keeps the request; a verdict is due only inside a dispatch. */
    struct verdict verdict = idempotency_run_link(request, reveal_run, call_of(reveal)->token);
    (void)verdict;
}

/* A browser says from where a call comes; what is no browser says nothing. */
static bool is_of_another_site(const struct http_request *request)
{
    struct span site = http_header(request, "sec-fetch-site");
    return site.data && !span_is(site, "same-origin") && !span_is(site, "none");
}

/* Whether the text may be looked up; else the problem is set. */
static enum err token_admit(struct http_request *request, struct span token,
                            struct problem *problem)
{
    struct api_key_parts parts;
    unsigned retry_after_s = 0;
    struct address address = client_address(request);
    if (is_of_another_site(request))
        return problem_set(problem, 403, "cross_site",
                           "A page of another site may not reveal a secret; open the link itself.");
    if (!throttle_allows(request_service(request)->claim_throttle, &address, clock_mono_us(),
                         &retry_after_s)) {
        problem->retry_after = retry_after_s;
        return problem_set(problem, 429, "too_many_attempts",
                           "Too many wrong links from this address; wait a little.");
    }
    charge(request);
    bool formed = api_key_parse(token, &parts) && span_is(parts.label, CLAIM_LABEL);
    return formed ? ERR_OK : not_found(problem);
}

static enum err reveal_begin(struct http_request *request, struct claim_call *call)
{
    struct claim_reveal *reveal = &call->reveal;
    struct service *service = request_service(request);
    request->user = &call->caller;
    key_hash(service->keyring, call->token, reveal->hash);
    reveal->operation.service = service;
    reveal->operation.request = request;
    reveal->operation.status = 200;
    reveal->operation.write = reveal_write;
    reveal->looked = looked;
    reveal->done = revealed;
    return claim_look_start(reveal);
}

struct verdict handle_claim_reveal(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    const char *token = "";
    struct claim_call *call = ARENA_NEW(&request->arena, struct claim_call);
    if (!call) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    field_required(&body.fields, "token", field_key(&body.fields, "token", TOKEN_MAX, &token));
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    call->token = span_text(token);
    enum err error = token_admit(request, call->token, &body.problem);
    if (error) return problem_reply(request, &body.problem);
    error = reveal_begin(request, call);
    if (!error) return http_pending(request);
    give_back(request);
    return problem_reply_error(request, error, &call->reveal.operation.problem);
}
