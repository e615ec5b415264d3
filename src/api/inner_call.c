/* Calls of pages to the handlers of api/routes.c. Called by the pages of the dashboard on the loop
 * thread. What always holds: the handler sees a request of the call's method, path and body with
 * the page's caller, its answer is caught before it goes out (http_request.hold), and the page's
 * own request is put back before anybody else looks at it. */
#include "api/inner_call.h"

#include "api/routes.h"
#include "base/codec.h"
#include "base/json.h"

#include <sodium.h>
#include <string.h>

static void outer_save(struct inner_call *call)
{
    const struct http_request *request = call->request;
    call->outer.method = request->method;
    call->outer.method_text = request->method_text;
    call->outer.path = request->path;
    call->outer.query = request->query;
    call->outer.body = request->body;
    call->outer.headers = request->headers;
    call->outer.header_count = request->header_count;
    call->outer.route = request->route;
    memcpy(call->outer.arguments, request->path_arguments, sizeof call->outer.arguments);
}

static void outer_restore(const struct inner_call *call)
{
    struct http_request *request = call->request;
    request->method = call->outer.method;
    request->method_text = call->outer.method_text;
    request->path = call->outer.path;
    request->query = call->outer.query;
    request->body = call->outer.body;
    request->headers = call->outer.headers;
    request->header_count = call->outer.header_count;
    request->route = call->outer.route;
    memcpy(request->path_arguments, call->outer.arguments, sizeof call->outer.arguments);
}

/* That of the answer's ETag; 0: it has none. */
static int64_t version_of(const struct http_response *response)
{
    static const char name[] = "ETag: \"";
    uint64_t version = 0;
    struct span headers = response->headers;
    const char *at =
        headers.length ? memmem(headers.data, headers.length, name, sizeof name - 1) : NULL;
    if (!at) return 0;
    at += sizeof name - 1;
    size_t left = headers.length - (size_t)(at - headers.data), digits = 0;
    while (digits < left && at[digits] >= '0' && at[digits] <= '9')
        digits++;
    return u64_parse((struct span){at, digits}, INT64_MAX, &version) ? (int64_t)version : 0;
}

/* http_request.hold */
static bool caught(struct http_request *request, const struct http_response *response)
{
    struct inner_call *call = request->hold_context;
    request->hold_context = NULL;
    outer_restore(call);
    call->status = response->status;
    call->version = version_of(response);
    call->replayed = memmem(response->headers.data ? response->headers.data : "",
                            response->headers.length, "Idempotent-Replayed", 19) != NULL;
    call->answer = response->body.length
                       ? json_loadb(response->body.data, response->body.length, 0, NULL)
                       : NULL;
    call->done(call);
    return true;
}

static const char *method_text(enum http_method method)
{
    if (method == HTTP_M_GET) return "GET";
    if (method == HTTP_M_PATCH) return "PATCH";
    if (method == HTTP_M_PUT) return "PUT";
    return method == HTTP_M_DELETE ? "DELETE" : "POST";
}

/* Those of the page's request, which tell whose address it is, but for what is about its body. */
static const struct http_header *headers_make(const struct inner_call *call, size_t *count)
{
    struct http_request *request = call->request;
    struct http_header *headers =
        arena_alloc(&request->arena, (request->header_count + 4) * sizeof *headers);
    if (!headers) return NULL;
    for (size_t i = 0; i < request->header_count; i++) {
        struct span name = request->headers[i].name;
        if (span_is_nocase(name, "content-type") || span_is_nocase(name, "content-length") ||
            span_is_nocase(name, "idempotency-key") || span_is_nocase(name, "authorization") ||
            span_is_nocase(name, "if-match") || span_is_nocase(name, "if-none-match"))
            continue;
        headers[(*count)++] = request->headers[i];
    }
    if (call->body.data)
        headers[(*count)++] = (struct http_header){SPAN("content-type"), SPAN("application/json")};
    if (call->if_match)
        headers[(*count)++] = (struct http_header){SPAN("if-match"), span_text(call->if_match)};
    if (call->if_none) headers[(*count)++] = (struct http_header){SPAN("if-none-match"), SPAN("*")};
    if (call->once.length)
        headers[(*count)++] = (struct http_header){SPAN("idempotency-key"), call->once};
    return headers;
}

void inner_call_start(struct inner_call *call, struct http_request *request)
{
    call->request = request;
    call->status = 0;
    call->answer = NULL;
    outer_save(call);
    size_t count = 0;
    const struct http_header *headers = headers_make(call, &count);
    request->method = call->method;
    request->method_text = span_text(method_text(call->method));
    request->path = span_text(call->path);
    request->query = span_text(call->query);
    request->body = call->body;
    request->headers = headers;
    request->header_count = count;
    request->hold = caught;
    request->hold_context = call;
    /* It is answered to `caught`, now or later; a verdict is due only inside a dispatch. */
    struct verdict verdict = api_inner(request, call->whose);
    (void)verdict;
}

void inner_call_done(struct inner_call *call)
{
    json_t *secret = json_object_get(call->answer, "secret");
    char *text = NULL;
    memcpy(&text, &(const char *){json_string_value(secret)}, sizeof text);
    if (text) sodium_memzero(text, json_string_length(secret));
    json_decref(call->answer);
    call->answer = NULL;
}
