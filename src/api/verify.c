/* `POST /v1/verify`: always 200 with a code, but for errors of the call itself. The service token
 * is looked at again when the batch's feed read is through, so that a revoked one is obeyed at
 * once. */
#include "api/verify.h"

#include "api/auth.h"
#include "api/problem.h"
#include "api/request.h"
#include "base/json.h"
#include "core/api_key.h"
#include "crypto/key_hash.h"
#include "service/context.h"
#include "service/meter.h"
#include "service/token_cache.h"

enum { COST_MAX = 1000000, KEY_TEXT_MAX = 255 };

struct verify_request {
    struct verify_call call;
    struct http_request *request;
    uint64_t tokens; /* token_cache_generation when the caller was let in */
    struct token_look look;
    struct buf answer; /* while the token is looked at again */
};

static void quota_write(struct buf *out, const struct verify_quota *quota)
{
    if (!quota->known) return;
    json_open(out, "quota", '{');
    if (quota->limited) {
        json_put_u64(out, "limit", quota->limit);
        json_put_u64(out, "used", quota->used);
        json_put_u64(out, "remaining", quota->remaining);
    } else {
        json_put_null(out, "limit");
        json_put_u64(out, "used", quota->used);
        json_put_null(out, "remaining");
    }
    json_put_time(out, "resets_at", quota->resets_at);
    json_close(out, '}');
}

static void rates_write(struct buf *out, const struct verify_call *call)
{
    json_open(out, "rate_limits", '[');
    for (unsigned i = 0; i < call->rate_count; i++) {
        json_open(out, NULL, '{');
        json_put_string(out, "name", call->rate_limits[i].name);
        json_put_u64(out, "limit", call->rate_limits[i].limit);
        json_put_u64(out, "remaining", call->rates[i].remaining);
        json_put_u64(out, "reset_seconds", call->rates[i].reset_seconds);
        json_close(out, '}');
    }
    json_close(out, ']');
}

/* "a,b" becomes ["a","b"]. */
static void names_write(struct buf *out, const char *name, const char *joined)
{
    json_open(out, name, '[');
    while (joined && *joined) {
        size_t length = strcspn(joined, ",");
        json_put_text(out, NULL, span_of(joined, length));
        joined += length + (joined[length] == ',');
    }
    json_close(out, ']');
}

static void answer_write(struct buf *out, const struct verify_call *call)
{
    const struct verify_key *key = &call->key;
    json_open(out, NULL, '{');
    json_put_bool(out, "valid", call->code == VERIFY_VALID);
    json_put_string(out, "code", verify_code_name(call->code));
    if (key->key_id) {
        json_put_id(out, "key_id", "key", key->key_id);
        json_open(out, "customer", '{');
        json_put_id(out, "id", "cus", key->customer_id);
        json_put_string(out, "external_id", key->external_id);
        json_close(out, '}');
        json_put_string(out, "tier", key->tier);
        json_put_string(out, "environment", key->live ? "live" : "test");
        names_write(out, "permissions", key->permissions);
        json_put_raw(out, "metadata", span_text(key->metadata_json));
        quota_write(out, &call->quota);
        rates_write(out, call);
        json_put_time(out, "secret_expires_at", key->secret_expires_at);
    }
    json_close(out, '}');
}

static bool token_stands(const struct verify_request *verify)
{
    return !token_cache_changed_since(request_service(verify->request)->tokens, verify->tokens,
                                      verify->call.token_id);
}

static void on_token_looked(struct token_look *look, const struct token_entry *entry,
                            enum err error)
{
    struct verify_request *verify = CONTAINER_OF(look, struct verify_request, look);
    struct problem problem = {0};
    struct buf answer = verify->answer; /* the request takes its memory along when it is answered */
    if (entry) {
        finish_json(verify->request, 200, &answer);
    } else {
        if (error == ERR_NOT_FOUND)
            error = problem_set(&problem, 401, "unauthenticated", "The token was revoked.");
        problem_finish_error(verify->request, error, &problem);
    }
    buf_done(&answer);
}

/* The feed named the caller's token since it was let in: it was made, or it was revoked. */
static void token_look_again(struct verify_request *verify)
{
    verify->look.done = on_token_looked;
    memcpy(verify->look.hash, caller_of(verify->request)->hash, sizeof verify->look.hash);
    struct token_cache *tokens = request_service(verify->request)->tokens;
    enum err error = token_cache_look(tokens, &verify->look);
    if (!error) return;
    buf_done(&verify->answer);
    problem_finish_error(verify->request, error, NULL);
}

static void on_verified(struct verify_call *call)
{
    struct verify_request *verify = CONTAINER_OF(call, struct verify_request, call);
    if (call->code == VERIFY_UNAVAILABLE) {
        problem_finish_error(verify->request, ERR_FULL, NULL);
        return;
    }
    struct buf answer = {0};
    answer_write(&answer, call);
    if (!token_stands(verify)) {
        verify->answer = answer;
        token_look_again(verify);
        return;
    }
    finish_json(verify->request, 200, &answer);
    buf_done(&answer);
}

static bool verify_read(struct body *body, struct verify_call *call, const char **key)
{
    const char *permissions = "", *ip = NULL;
    struct fields *fields = &body->fields;
    call->cost = 1;
    field_required(fields, "key", field_text(fields, "key", 0, KEY_TEXT_MAX, key));
    field_not_null(fields, "cost", field_u64(fields, "cost", 0, COST_MAX, &call->cost));
    field_not_null(fields, "permissions", field_names(fields, "permissions", 64, 64, &permissions));
    if (field_text(fields, "ip", 0, 64, &ip) == FIELD_SET &&
        !address_parse(span_text(ip), &call->address))
        field_wrong(fields, "ip", "must be an IPv4 or IPv6 address");
    call->permissions = span_text(permissions);
    return body_finish(body);
}

struct verdict handle_verify(struct http_request *request)
{
    struct service *service = request_service(request);
    struct body body CLEANUP(body_done) = {0};
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    struct verify_request *verify = ARENA_NEW(&request->arena, struct verify_request);
    if (!verify) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    const char *key = "";
    if (!verify_read(&body, &verify->call, &key)) return problem_reply(request, &body.problem);
    verify->request = request;
    verify->tokens = token_cache_generation(service->tokens);
    verify->call.token_id = caller_of(request)->token_id;
    struct api_key_parts parts;
    if (!api_key_parse(span_text(key), &parts) || parts.is_token) {
        struct buf out = {0};
        verify->call.code = VERIFY_NOT_FOUND;
        answer_write(&out, &verify->call);
        struct verdict verdict = reply_json(request, 200, &out);
        buf_done(&out);
        return verdict;
    }
    key_hash(service->keyring, span_text(key), verify->call.hash);
    verify->call.done = on_verified;
    meter_verify(service->meter, &verify->call);
    return http_pending(request);
}
