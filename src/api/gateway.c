/* The gateway endpoint. Loop thread; the hottest path of the daemon, so the answer is put together
 * in one buffer that is used again and again. The identity headers always stand all there, empty
 * when unknown, so that a client's forged ones are overwritten by whoever copies them. */
#include "api/gateway.h"

#include "api/gateway_options.h"
#include "api/problem.h"
#include "api/request_log.h"
#include "base/codec.h"
#include "conf/settings.h"
#include "service/client_address.h"
#include "service/context.h"
#include "service/meter.h"

struct gateway_call {
    struct verify_call verify;
    struct http_request *request;
    bool deny_403, problem_header;
};

static struct buf head, body; /* of the answer being written; loop thread only */

static void header_text(const char *name, const char *value)
{
    buf_add_text(&head, name);
    if (value) buf_add_text(&head, value);
    buf_add(&head, "\r\n", 2);
}

static void identity_headers(const struct verify_key *key)
{
    char id[ID_TEXT_SIZE] = "", expires[TIME_TEXT_SIZE] = "";
    bool known = key->key_id != 0;
    if (known) id_format(id, "key", key->key_id);
    int64_t ends = key->secret_expires_at;
    if (key->key_expires_at && (!ends || key->key_expires_at < ends)) ends = key->key_expires_at;
    if (known && ends) time_format(expires, ends);
    header_text("X-Key-Id: ", id);
    header_text("X-Key-Customer: ", known ? key->external_id : NULL);
    header_text("X-Key-Tier: ", known ? key->tier : NULL);
    header_text("X-Key-Environment: ", !known ? NULL : key->live ? "live" : "test");
    header_text("X-Key-Permissions: ", known ? key->permissions : NULL);
    header_text("X-Key-Expires-At: ", expires);
}

static void rate_item(const char *name, const char *first, uint64_t a, const char *second,
                      uint64_t b, bool comma)
{
    if (comma) buf_add(&head, ", ", 2);
    buf_add_char(&head, '"');
    buf_add_text(&head, name);
    buf_add_text(&head, first);
    buf_add_u64(&head, a);
    buf_add_text(&head, second);
    buf_add_u64(&head, b);
}

static uint64_t seconds_until(int64_t at_ms, int64_t now_ms)
{
    return at_ms > now_ms ? (uint64_t)(at_ms - now_ms + 999) / 1000 : 0;
}

/* RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11): each rate limit by its
 * name, the quota as "month". */
static void rate_headers(const struct verify_call *call)
{
    const struct verify_quota *quota = &call->quota;
    bool with_quota = quota->known && quota->limited;
    if (!call->rate_count && !with_quota) return;
    buf_add_text(&head, "RateLimit-Policy: ");
    for (unsigned i = 0; i < call->rate_count; i++)
        rate_item(call->rate_limits[i].name, "\";q=", call->rate_limits[i].limit,
                  ";w=", call->rate_limits[i].window_s, i > 0);
    if (with_quota)
        rate_item("month", "\";q=", quota->limit,
                  ";w=", (uint64_t)(quota->resets_at - quota->period_start) / 1000,
                  call->rate_count > 0);
    buf_add_text(&head, "\r\nRateLimit: ");
    for (unsigned i = 0; i < call->rate_count; i++)
        rate_item(call->rate_limits[i].name, "\";r=", call->rates[i].remaining,
                  ";t=", call->rates[i].reset_seconds, i > 0);
    if (with_quota)
        rate_item("month", "\";r=", quota->remaining,
                  ";t=", seconds_until(quota->resets_at, call->decided_ms), call->rate_count > 0);
    buf_add(&head, "\r\n", 2);
}

static void header_number(const char *name, uint64_t value)
{
    buf_add_text(&head, name);
    buf_add_u64(&head, value);
    buf_add(&head, "\r\n", 2);
}

/* The older, unstandardised three, for the limit with the least left. */
static void x_rate_headers(const struct verify_call *call)
{
    unsigned least = 0;
    for (unsigned i = 1; i < call->rate_count; i++)
        if (call->rates[i].remaining < call->rates[least].remaining) least = i;
    if (!call->rate_count) return;
    header_number("X-RateLimit-Limit: ", call->rate_limits[least].limit);
    header_number("X-RateLimit-Remaining: ", call->rates[least].remaining);
    header_number("X-RateLimit-Reset: ", call->rates[least].reset_seconds);
}

struct denial {
    int status;
    const char *code, *detail;
};

static struct denial denial_of(enum verify_code code)
{
    switch (code) {
    case VERIFY_VALID:
        break;
    case VERIFY_NOT_FOUND:
        return (struct denial){401, "key_not_found", "The API key is not known."};
    case VERIFY_REVOKED:
        return (struct denial){401, "key_revoked", "The API key was revoked."};
    case VERIFY_EXPIRED:
        return (struct denial){401, "key_expired", "The API key has expired."};
    case VERIFY_DISABLED:
        return (struct denial){403, "key_disabled", "The API key is disabled."};
    case VERIFY_SUSPENDED:
        return (struct denial){403, "key_suspended", "The API key is suspended."};
    case VERIFY_INSUFFICIENT_PERMISSIONS:
        return (struct denial){403, "insufficient_permissions",
                               "The API key lacks a permission that this call needs."};
    case VERIFY_IP_NOT_ALLOWED:
        return (struct denial){403, "ip_not_allowed", "The API key may not be used from here."};
    case VERIFY_RATE_LIMITED:
        return (struct denial){429, "rate_limited", "Too many calls; see Retry-After."};
    case VERIFY_QUOTA_EXCEEDED:
        return (struct denial){429, "quota_exceeded", "The quota of this month is used up."};
    case VERIFY_UNAVAILABLE:
        break;
    }
    return (struct denial){503, "unavailable", "The call could not be recorded; try again."};
}

static void denial_body(const struct http_request *request, const struct denial *denial)
{
    /* The draft names a problem type for an exhausted quota; the others are Keymeter's own. */
    const char *type = !strcmp(denial->code, "quota_exceeded")
                           ? "https://iana.org/assignments/http-problem-types#quota-exceeded"
                           : NULL;
    buf_add_text(&body, "{\"type\":\"");
    buf_add_text(&body, type ? type : "urn:keymeter:problem:");
    if (!type) buf_add_text(&body, denial->code);
    buf_printf(&body, "\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\",\"code\":\"%s\",",
               problem_title(denial->status), denial->status, denial->detail, denial->code);
    buf_printf(&body, "\"request_id\":\"%s\"}", request->request_id);
}

static void answer_fill(const struct gateway_call *call, struct http_response *response)
{
    const struct verify_call *verify = &call->verify;
    response->status = 200;
    identity_headers(&verify->key);
    rate_headers(verify);
    struct service *service = call->request->listener_context;
    if (service->settings->metering.x_ratelimit) x_rate_headers(verify);
    if (verify->code == VERIFY_VALID) return;
    struct denial denial = denial_of(verify->code);
    response->status = denial.status;
    if (denial.status == 401) header_text("WWW-Authenticate: Bearer realm=\"api\"", NULL);
    if (denial.status == 503) header_number("Retry-After: ", 1);
    if (denial.status == 429) header_number("Retry-After: ", verify->retry_after_s);
    if (call->deny_403 && denial.status != 503) {
        header_number("X-Verify-Status: ", (uint64_t)denial.status);
        response->status = 403;
    }
    denial_body(call->request, &denial);
    response->content_type = "application/problem+json";
    if (!call->problem_header) return;
    /* nginx throws the body of its question away; what is one line of JSON may be a header. */
    buf_add_text(&head, "X-Verify-Problem: ");
    buf_add(&head, buf_span(&body).data, buf_span(&body).length);
    buf_add(&head, "\r\n", 2);
    buf_clear(&body);
    response->content_type = NULL;
}

static void response_make(const struct gateway_call *call, struct http_response *response)
{
    buf_clear(&head);
    buf_clear(&body);
    *response = (struct http_response){0};
    answer_fill(call, response);
    response->headers = buf_span(&head);
    response->body = buf_span(&body);
    if (head.failed || body.failed) *response = (struct http_response){.status = 500};
}

/* A key is in X-API-Key, else a bearer token; one that stands twice is nobody's. */
static struct span presented_key(const struct http_request *request)
{
    struct span key = http_header(request, "X-API-Key");
    if (key.data) return http_header_count(request, "X-API-Key") == 1 ? key : (struct span){0};
    struct span authorization = http_header(request, "Authorization");
    enum { SCHEME = 7 };
    if (authorization.length <= SCHEME || strncasecmp(authorization.data, "Bearer ", SCHEME) != 0)
        return (struct span){0};
    if (http_header_count(request, "Authorization") != 1) return (struct span){0};
    while (authorization.length > SCHEME && authorization.data[SCHEME] == ' ')
        authorization = span_of(authorization.data + 1, authorization.length - 1);
    return span_of(authorization.data + SCHEME, authorization.length - SCHEME);
}

static void on_verified(struct verify_call *verify)
{
    struct gateway_call *call = CONTAINER_OF(verify, struct gateway_call, verify);
    struct http_response response;
    if (verify->code != VERIFY_VALID)
        auth_failed_code(call->request, AUTH_GATEWAY, verify, presented_key(call->request));
    response_make(call, &response);
    http_finish(call->request, &response);
}

/* No key, or one whose form or check digits are wrong. */
static struct verdict refuse(struct gateway_call *call, struct span key)
{
    struct http_response response;
    const struct service *service = call->request->listener_context;
    call->verify.code = VERIFY_NOT_FOUND;
    meter_count_unknown(service->meter);
    auth_failed(call->request, AUTH_GATEWAY, key.length ? AUTH_MALFORMED : AUTH_MISSING, key, NULL);
    response_make(call, &response);
    return http_reply(call->request, &response);
}

struct verdict gateway_handle(struct http_request *request)
{
    struct service *service = request->listener_context;
    struct gateway_options options;
    const char *wrong;
    enum err error = gateway_options_read(request, &options, &wrong);
    if (error == ERR_NOT_FOUND) return problem_reply_not_found(request, "gateway path");
    if (error) {
        struct problem problem = {0};
        error = problem_set(&problem, 400, "invalid_option", "%s", wrong);
        return problem_reply_error(request, error, &problem);
    }
    struct gateway_call *call = ARENA_NEW(&request->arena, struct gateway_call);
    if (!call) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    call->request = request;
    call->deny_403 = options.deny_403;
    call->problem_header = options.problem_header;
    struct span key = presented_key(request);
    if (!meter_take_key(service, &call->verify, key)) return refuse(call, key);
    call->verify.cost = options.cost;
    call->verify.permissions = options.permissions;
    call->verify.address = client_address(request);
    call->verify.done = on_verified;
    meter_verify(service->meter, &call->verify);
    return http_pending(request);
}
