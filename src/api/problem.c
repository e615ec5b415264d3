/* Problems as answers (RFC 9457). Called by every handler and, for what the server refuses by
 * itself, by io/http through http_listen_config.error_body. Loop thread. What always holds: a
 * problem has a status of 4xx or 5xx and a code, and 429 and 503 carry Retry-After. */
#include "api/problem.h"

#include "base/json.h"
#include "base/log.h"

static const struct {
    int status;
    const char *title;
    const char *code; /* when the server answers by itself */
} known[] = {
    {400, "Bad Request", "bad_request"},
    {401, "Unauthorized", "unauthenticated"},
    {402, "Payment Required", "payment_required"},
    {403, "Forbidden", "forbidden"},
    {404, "Not Found", "not_found"},
    {405, "Method Not Allowed", "method_not_allowed"},
    {408, "Request Timeout", "request_timeout"},
    {409, "Conflict", "conflict"},
    {412, "Precondition Failed", "precondition_failed"},
    {413, "Content Too Large", "body_too_large"},
    {414, "URI Too Long", "target_too_long"},
    {415, "Unsupported Media Type", "unsupported_media_type"},
    {417, "Expectation Failed", "expectation_failed"},
    {422, "Unprocessable Content", "validation_failed"},
    {429, "Too Many Requests", "rate_limited"},
    {431, "Request Header Fields Too Large", "head_too_large"},
    {500, "Internal Server Error", "internal"},
    {502, "Bad Gateway", "bad_gateway"},
    {503, "Service Unavailable", "unavailable"},
    {505, "HTTP Version Not Supported", "version_not_supported"},
};

const char *problem_title(int status)
{
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (known[i].status == status) return known[i].title;
    return "Error";
}

static const char *status_code(int status)
{
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (known[i].status == status) return known[i].code;
    return "error";
}

static void problem_write(const struct problem *problem, const char *request_id, struct buf *out)
{
    json_open(out, NULL, '{');
    buf_add_text(out, "\"type\":\"urn:keymeter:problem:");
    buf_add_text(out, problem->code);
    buf_add_char(out, '"');
    json_put_string(out, "title", problem_title(problem->status));
    json_put_i64(out, "status", problem->status);
    json_put_string(out, "detail",
                    problem->detail[0] ? problem->detail : problem_title(problem->status));
    json_put_string(out, "code", problem->code);
    json_put_string(out, "request_id", request_id);
    if (problem->customer_id[0]) json_put_string(out, "customer_id", problem->customer_id);
    if (problem->field_count) {
        json_open(out, "errors", '[');
        for (unsigned i = 0; i < problem->field_count; i++) {
            json_open(out, NULL, '{');
            json_put_string(out, "location", problem->fields[i].location);
            json_put_string(out, "message", problem->fields[i].message);
            json_close(out, '}');
        }
        json_close(out, ']');
    }
    json_close(out, '}');
}

static void response_build(struct http_request *request, const struct problem *problem,
                           struct buf *body, struct buf *headers, struct http_response *response)
{
    problem_write(problem, request->request_id, body);
    unsigned retry_after = problem->retry_after;
    if (!retry_after && (problem->status == 503 || problem->status == 429))
        retry_after = PROBLEM_RETRY_AFTER_S;
    if (retry_after) buf_printf(headers, "Retry-After: %u\r\n", retry_after);
    if (problem->status == 401) buf_add_text(headers, "WWW-Authenticate: Bearer\r\n");
    *response = (struct http_response){.status = problem->status,
                                       .content_type = "application/problem+json",
                                       .headers = buf_span(headers),
                                       .body = buf_span(body)};
}

struct verdict problem_reply(struct http_request *request, const struct problem *problem)
{
    struct buf body CLEANUP(buf_done) = {0}, headers CLEANUP(buf_done) = {0};
    struct http_response response;
    response_build(request, problem, &body, &headers, &response);
    return http_reply(request, &response);
}

void problem_finish(struct http_request *request, const struct problem *problem)
{
    struct buf body CLEANUP(buf_done) = {0}, headers CLEANUP(buf_done) = {0};
    struct http_response response;
    response_build(request, problem, &body, &headers, &response);
    http_finish(request, &response);
}

void problem_answer_early(struct http_request *request, const char *detail)
{
    struct buf body CLEANUP(buf_done) = {0}, headers CLEANUP(buf_done) = {0};
    struct problem problem = {0};
    struct http_response response;
    enum err denied = problem_set(&problem, 503, "unavailable", "%s", detail);
    (void)denied;
    response_build(request, &problem, &body, &headers, &response);
    http_answer_early(request, &response);
}

enum err problem_for_error(enum err error, struct problem *problem)
{
    switch (error) {
    case ERR_DENIED:
        if (problem->code) return ERR_DENIED;
        break;
    case ERR_NOT_FOUND:
        return problem_set(problem, 404, "not_found", "There is no such thing.");
    case ERR_NO_MEMORY:
    case ERR_FULL:
    case ERR_TIMEOUT:
    case ERR_CLOSED:
    case ERR_FENCED:
    case ERR_DB_UNABLE:
    case ERR_DB_RETRY:
    case ERR_DB_LOST:
    case ERR_DB_UNCERTAIN:
        problem->retry_after = PROBLEM_RETRY_AFTER_S;
        return problem_set(problem, 503, "unavailable",
                           error == ERR_DB_UNCERTAIN
                               ? "The database was lost while it committed: send it again with the "
                                 "same Idempotency-Key, or look whether it was done."
                               : "Keymeter cannot answer at the moment; try again shortly.");
    case ERR_OK:
    case ERR_INVALID:
    case ERR_EXISTS:
    case ERR_IO:
    case ERR_CRYPTO:
    case ERR_DB:
        break;
    }
    return problem_set(problem, 500, "internal",
                       "Keymeter could not do this; its log says why, under the request_id.");
}

/* Says in the log what a 500 hides from the client. The route, not the path: that of a one-time
 * link ends with its token. */
static void error_to_problem(const struct http_request *request, enum err error,
                             struct problem *problem)
{
    problem_for_error(error, problem);
    if (problem->status == 500)
        log_event(LOG_ERROR, "request_failed", "%s: %s, request_id %s",
                  request->route ? request->route->pattern : "no route", err_name(error),
                  request->request_id);
}

struct verdict problem_reply_error(struct http_request *request, enum err error,
                                   struct problem *problem)
{
    struct problem own = {0};
    if (!problem) problem = &own;
    error_to_problem(request, error, problem);
    return problem_reply(request, problem);
}

void problem_finish_error(struct http_request *request, enum err error, struct problem *problem)
{
    struct problem own = {0};
    if (!problem) problem = &own;
    error_to_problem(request, error, problem);
    problem_finish(request, problem);
}

struct verdict problem_reply_not_found(struct http_request *request, const char *what)
{
    struct problem problem = {0};
    enum err denied = problem_set(&problem, 404, "not_found", "There is no such %s.", what);
    (void)denied;
    return problem_reply(request, &problem);
}

struct verdict problem_reply_method(struct http_request *request, unsigned allowed)
{
    char methods[64];
    struct problem problem = {0};
    struct http_response response;
    struct buf body CLEANUP(buf_done) = {0}, headers CLEANUP(buf_done) = {0};
    http_allow_text(allowed, methods);
    enum err denied =
        problem_set(&problem, 405, "method_not_allowed", "This path takes only: %s.", methods);
    (void)denied;
    buf_printf(&headers, "Allow: %s\r\n", methods);
    response_build(request, &problem, &body, &headers, &response);
    return http_reply(request, &response);
}

void problem_error_body(int status, const char *request_id, struct buf *out)
{
    struct problem problem = {.status = status, .code = status_code(status)};
    problem_write(&problem, request_id, out);
}
