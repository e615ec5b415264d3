/* The sign-up flow's one call. Called by the routing on the loop thread; service/signup.h does the
 * three steps. What always holds: the secret is in the one answer behind its commit and nowhere
 * else, or on its way by mail and not in the answer. */
#include "api/signups.h"

#include "api/customers.h"
#include "api/idempotency.h"
#include "api/key_json.h"
#include "base/json.h"

static void signup_write(struct operation *operation, struct buf *out)
{
    const struct signup *signup = CONTAINER_OF(operation, struct signup, operation);
    json_open(out, NULL, '{');
    customer_put(out, "customer", &signup->customer);
    key_put(out, "key", &signup->made.view, NULL);
    if (signup->made.secret) json_put_text(out, "secret", secret_span(signup->made.secret));
    json_close(out, '}');
}

static void signup_answer(struct signup *signup, enum err error)
{
    struct http_request *request = signup->operation.request;
    struct answer answer = answer_take(&signup->operation, error);
    signup_done(signup);
    answer_finish(request, &answer);
}

static void key_read(struct fields *fields, const struct caller *caller, struct signup *signup)
{
    struct fields key;
    signup->with_key = true;
    signup->key.within = caller->permissions;
    enum field result = field_object(fields, "key", &key);
    if (!field_not_null(fields, "key", result) || result != FIELD_SET) return;
    key_settings_read(&key, caller, &signup->key);
    fields_finish(&key);
}

struct verdict handle_signup_create(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct signup *signup = ARENA_NEW(&request->arena, struct signup);
    if (!signup) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    customer_fields_read(&body.fields, signup);
    key_read(&body.fields, caller_of(request), signup);
    signup->made.delivery.by_mail = deliver_read(&body.fields, request_service(request));
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    signup->operation.service = request_service(request);
    signup->operation.request = request;
    signup->operation.token_id = caller_of(request)->token_id;
    signup->operation.status = 201;
    signup->operation.write = signup_write;
    signup->done = signup_answer;
    enum err error = signup_start(signup);
    return error ? problem_reply_error(request, error, NULL) : http_pending(request);
}
