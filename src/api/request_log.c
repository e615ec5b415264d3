/* Lines about requests. Called by the management listener when an answer is made, and by whoever
 * refuses a key or token; loop thread. What always holds: a line has the route's pattern and never
 * the path, of a key or token no more than its start; strangers, whose number nobody bounds, get
 * log.refusals lines a second together, and the next line says how many were kept back. */
#include "api/request_log.h"

#include "api/auth.h"
#include "api/trace_context.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "conf/settings.h"
#include "service/client_address.h"
#include "service/context.h"

#include <stdio.h>

enum { START_MAX = 10, METHOD_SHOWN = 16 };

static struct {
    int64_t second;
    unsigned lines;
    uint64_t kept_back, kept_back_total;
} strangers;
static uint64_t failures[AUTH_WHERES][AUTH_REASONS];

const char *auth_where_name(enum auth_where where)
{
    static const char *const names[] = {"api", "gateway", "verify"};
    return names[where];
}

const char *auth_reason_name(enum auth_reason reason)
{
    static const char *const names[] = {"missing", "malformed", "unknown", "revoked", "expired"};
    return names[reason];
}

uint64_t auth_failures(enum auth_where where, enum auth_reason reason)
{
    return failures[where][reason];
}

uint64_t request_log_suppressed(void)
{
    return strangers.kept_back_total;
}

static const struct settings *settings_of(const struct http_request *request)
{
    const struct service *service = request->listener_context;
    return service->settings;
}

/* Whether a stranger's line may be written now. */
static bool stranger_admit(unsigned lines_a_second)
{
    int64_t second = clock_mono_us() / 1000000;
    if (second != strangers.second) {
        strangers.second = second;
        strangers.lines = 0;
    }
    if (strangers.lines < lines_a_second) {
        strangers.lines++;
        return true;
    }
    strangers.kept_back++;
    strangers.kept_back_total++;
    return false;
}

static void put_kept_back(struct buf *out)
{
    if (strangers.kept_back) json_put_u64(out, "suppressed", strangers.kept_back);
    strangers.kept_back = 0;
}

static void put_address(struct buf *out, const struct http_request *request,
                        const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE];
    struct address own = client_address(request);
    address_format(address && address->length ? address : &own, text);
    json_put_string(out, "address", text[0] ? text : NULL);
}

/* Which call, of whom: what every line has. */
static void put_request(struct buf *out, const struct http_request *request)
{
    struct trace_context trace;
    json_put_string(out, "request_id", request->request_id);
    if (http_header_count(request, "traceparent") != 1 ||
        !trace_context_parse(http_header(request, "traceparent"), &trace))
        return;
    json_put_text(out, "trace_id", trace.trace_id);
    json_put_text(out, "span_id", trace.span_id);
}

static void put_call(struct buf *out, const struct http_request *request, int status)
{
    struct span method = request->method_text;
    if (method.length > METHOD_SHOWN) method.length = METHOD_SHOWN;
    json_put_text(out, "method", method);
    json_put_string(out, "route", request->route ? request->route->pattern : NULL);
    json_put_i64(out, "status", status);
    char duration[32];
    int64_t us = request->started_us ? clock_mono_us() - request->started_us : 0;
    snprintf(duration, sizeof duration, "%lld.%03d", (long long)(us / 1000), (int)(us % 1000));
    json_put_raw(out, "duration_ms", span_text(duration));
}

void request_log_answered(const struct http_request *request, int status)
{
    const struct settings *settings = settings_of(request);
    const struct caller *caller = caller_of(request);
    bool known = caller && caller->token_id;
    bool open = request->route && caller && !known; /* /livez and the like */
    if (known && request->route && strncmp(request->route->pattern, "/v1/verify", 10) == 0) return;
    if (known && !settings->log.requests) return;
    if (open && !log_is_on(LOG_DEBUG)) return;
    if (!known && status == 401) return; /* auth_failed told */
    if (!known && !open && !stranger_admit(settings->log.refusals)) return;
    struct buf line CLEANUP(buf_done) = {0};
    put_call(&line, request, status);
    put_request(&line, request);
    put_address(&line, request, NULL);
    if (known) json_put_id(&line, "token", "tok", caller->token_id);
    if (!known && !open) put_kept_back(&line);
    if (!line.failed) log_members(open ? LOG_DEBUG : LOG_INFO, "request", buf_span(&line));
}

/* What a key's or token's start may show: letters, digits and '_', the rest as '?'. */
static void start_text(struct span presented, char out[START_MAX + 4])
{
    size_t length = presented.length / 4 < START_MAX ? presented.length / 4 : START_MAX;
    for (size_t i = 0; i < length; i++) {
        char c = presented.data[i];
        bool plain =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        out[i] = plain ? c : '?';
    }
    memcpy(out + length, "...", 4);
}

void auth_failed(const struct http_request *request, enum auth_where where, enum auth_reason reason,
                 struct span presented, const struct address *address)
{
    failures[where][reason]++;
    if (!stranger_admit(settings_of(request)->log.refusals)) return;
    struct buf line CLEANUP(buf_done) = {0};
    char start[START_MAX + 4];
    start_text(presented, start);
    json_put_string(&line, "where", auth_where_name(where));
    json_put_string(&line, "reason", auth_reason_name(reason));
    put_address(&line, request, address);
    json_put_string(&line, "key", presented.length ? start : NULL);
    put_request(&line, request);
    const struct caller *caller = caller_of(request);
    if (caller && caller->token_id) json_put_id(&line, "token", "tok", caller->token_id);
    put_kept_back(&line);
    if (!line.failed) log_members(LOG_WARN, "auth_failed", buf_span(&line));
}

void auth_failed_code(const struct http_request *request, enum auth_where where,
                      const struct verify_call *call, struct span presented)
{
    switch (call->code) {
    case VERIFY_NOT_FOUND:
        auth_failed(request, where, AUTH_UNKNOWN, presented, &call->address);
        return;
    case VERIFY_REVOKED:
        auth_failed(request, where, AUTH_REVOKED, presented, &call->address);
        return;
    case VERIFY_EXPIRED:
        auth_failed(request, where, AUTH_EXPIRED, presented, &call->address);
        return;
    case VERIFY_VALID:
    case VERIFY_DISABLED:
    case VERIFY_SUSPENDED:
    case VERIFY_INSUFFICIENT_PERMISSIONS:
    case VERIFY_IP_NOT_ALLOWED:
    case VERIFY_RATE_LIMITED:
    case VERIFY_QUOTA_EXCEEDED:
    case VERIFY_UNAVAILABLE:
        return;
    }
}
