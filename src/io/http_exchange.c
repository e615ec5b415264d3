/* One request and its answer: the pool they come from, and the bytes an answer becomes. Called by
 * the connection and, through http_reply, http_pending and http_finish, by the handlers; loop
 * thread. An exchange is released exactly once: when its answer has left the queue (or its client
 * had gone) and its handler has returned. */
#include "io/http_private.h"

#include "base/codec.h"

#include <stdlib.h>
#include <string.h>

enum { POOL_MAX = 1024, BODY_KEPT = 8192, VERDICT_REPLIED = 1, VERDICT_PENDING = 2 };

/* splitmix64: a bijection, so that ids of one process differ, started at random. */
static uint64_t id_next(struct http_server *server)
{
    uint64_t z = server->id_seed + ++server->id_count * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static void request_id_make(struct http_server *server, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t id = id_next(server);
    memcpy(out, "req_", 4);
    for (size_t i = 0; i < 16; i++, id <<= 4)
        out[4 + i] = digits[id >> 60];
    out[20] = '\0';
}

struct http_exchange *http_exchange_new(struct http_server *server)
{
    struct list *link = list_shift(&server->pool);
    struct http_exchange *exchange;
    if (link) {
        exchange = CONTAINER_OF(link, struct http_exchange, link);
        server->pooled--;
    } else {
        exchange = calloc(1, sizeof *exchange);
        if (!exchange) return NULL;
        list_init(&exchange->link);
        list_init(&exchange->awaited);
    }
    exchange->server = server;
    request_id_make(server, exchange->request.request_id);
    return exchange;
}

static void exchange_free(struct http_exchange *exchange)
{
    arena_done(&exchange->request.arena);
    buf_done(&exchange->body);
    buf_done(&exchange->answer);
    free(exchange);
}

void http_exchange_release(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    list_remove(&exchange->link);
    list_remove(&exchange->awaited);
    if (!server || server->pooled >= POOL_MAX) {
        exchange_free(exchange);
        return;
    }
    struct arena arena = exchange->request.arena;
    struct buf body = exchange->body;
    arena_reset(&arena);
    buf_done(&exchange->answer);
    if (body.capacity > BODY_KEPT) buf_done(&body);
    buf_clear(&body);
    memset(exchange, 0, offsetof(struct http_exchange, inline_headers));
    exchange->request.arena = arena;
    exchange->body = body;
    list_init(&exchange->link);
    list_init(&exchange->awaited);
    list_append(&server->pool, &exchange->link);
    server->pooled++;
}

void http_exchange_orphan(struct http_exchange *exchange)
{
    list_remove(&exchange->link);
    list_remove(&exchange->awaited);
    exchange->connection = NULL;
    if (exchange->state == EXCHANGE_HANDLING || exchange->in_handler || exchange->early)
        list_append(&exchange->server->orphans, &exchange->link);
    else
        http_exchange_release(exchange);
}

void http_exchange_leave(struct http_exchange *exchange)
{
    list_remove(&exchange->link);
    exchange->connection = NULL;
    if (exchange->early)
        list_append(&exchange->server->orphans, &exchange->link);
    else if (!exchange->in_handler)
        http_exchange_release(exchange);
}

void http_exchange_free_all(struct http_server *server)
{
    for (struct list *link; (link = list_shift(&server->pool));)
        exchange_free(CONTAINER_OF(link, struct http_exchange, link));
    for (struct list *link; (link = list_shift(&server->orphans));)
        CONTAINER_OF(link, struct http_exchange, link)->server = NULL;
}

#define LINE(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static struct span reason_of(int status)
{
    static const struct {
        int status;
        struct span line;
    } known[] = {
        {200, LINE("HTTP/1.1 200 OK\r\n")},
        {201, LINE("HTTP/1.1 201 Created\r\n")},
        {202, LINE("HTTP/1.1 202 Accepted\r\n")},
        {204, LINE("HTTP/1.1 204 No Content\r\n")},
        {302, LINE("HTTP/1.1 302 Found\r\n")},
        {303, LINE("HTTP/1.1 303 See Other\r\n")},
        {304, LINE("HTTP/1.1 304 Not Modified\r\n")},
        {400, LINE("HTTP/1.1 400 Bad Request\r\n")},
        {401, LINE("HTTP/1.1 401 Unauthorized\r\n")},
        {402, LINE("HTTP/1.1 402 Payment Required\r\n")},
        {403, LINE("HTTP/1.1 403 Forbidden\r\n")},
        {404, LINE("HTTP/1.1 404 Not Found\r\n")},
        {405, LINE("HTTP/1.1 405 Method Not Allowed\r\n")},
        {408, LINE("HTTP/1.1 408 Request Timeout\r\n")},
        {409, LINE("HTTP/1.1 409 Conflict\r\n")},
        {410, LINE("HTTP/1.1 410 Gone\r\n")},
        {412, LINE("HTTP/1.1 412 Precondition Failed\r\n")},
        {413, LINE("HTTP/1.1 413 Content Too Large\r\n")},
        {415, LINE("HTTP/1.1 415 Unsupported Media Type\r\n")},
        {422, LINE("HTTP/1.1 422 Unprocessable Content\r\n")},
        {429, LINE("HTTP/1.1 429 Too Many Requests\r\n")},
        {431, LINE("HTTP/1.1 431 Request Header Fields Too Large\r\n")},
        {500, LINE("HTTP/1.1 500 Internal Server Error\r\n")},
        {502, LINE("HTTP/1.1 502 Bad Gateway\r\n")},
        {503, LINE("HTTP/1.1 503 Service Unavailable\r\n")},
        {504, LINE("HTTP/1.1 504 Gateway Timeout\r\n")},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (known[i].status == status) return known[i].line;
    return (struct span){NULL, 0};
}

/* Inline, so that a literal's length is known and its copy a few moves. */
static inline char *put(char *at, const char *data, size_t length)
{
    if (length) memcpy(at, data, length);
    return at + length;
}

static inline char *put_text(char *at, const char *text)
{
    return put(at, text, strlen(text));
}

static char *put_number(char *at, uint64_t value)
{
    char digits[U64_DIGITS];
    size_t start = u64_format(digits, value);
    return put(at, digits + start, sizeof digits - start);
}

static char *put_status_line(char *at, int status)
{
    struct span line = reason_of(status);
    if (line.data) return put(at, line.data, line.length);
    at = put_text(at, "HTTP/1.1 ");
    at = put_number(at, (uint64_t)status);
    return put_text(at, " \r\n"); /* the reason may be empty (RFC 9112, 4) */
}

static void answer_write(struct http_exchange *exchange, const struct http_response *response,
                         struct buf *out)
{
    enum { FIXED = 384 }; /* all lines below but those counted beside it */
    size_t type = response->content_type ? strlen(response->content_type) : 0;
    size_t cache = response->cache_control ? strlen(response->cache_control) : 0;
    bool bodiless = response->status == 204 || response->status == 304;
    bool silent = bodiless || exchange->request.method == HTTP_M_HEAD;
    size_t body = silent ? 0 : response->body.length;
    char *start = buf_reserve(out, FIXED + type + cache + response->headers.length + body);
    if (!start) return;
    char *at = put_status_line(start, response->status);
    at = put_text(at, http_server_date(exchange->server));
    if (!bodiless) {
        at = put_text(at, "Content-Length: ");
        at = put_number(at, response->body.length);
        at = put_text(at, "\r\n");
    }
    at = put_text(at, "X-Request-Id: ");
    at = put_text(at, exchange->request.request_id);
    at = put_text(at, "\r\nCache-Control: ");
    at = cache ? put(at, response->cache_control, cache) : put_text(at, "no-store");
    at = put_text(at, "\r\n");
    if (type) {
        at = put_text(at, "Content-Type: ");
        at = put(at, response->content_type, type);
        at = put_text(at, "\r\n");
    }
    at = put(at, response->headers.data, response->headers.length);
    if (exchange->closes)
        at = put_text(at, "Connection: close\r\n");
    else if (exchange->old_version)
        at = put_text(at, "Connection: keep-alive\r\n");
    at = put_text(at, "\r\n");
    at = put(at, response->body.data, body);
    out->length += (size_t)(at - start);
}

static void answer_give(struct http_exchange *exchange, const struct http_response *response)
{
    struct http_connection *connection = exchange->connection;
    connection->listener->answers[(unsigned)response->status / 100 % 6]++;
    exchange->closes = response->close || !exchange->keep_alive || exchange->server->stopping;
    bool first = connection->exchanges.next == &exchange->link;
    struct buf *out = first ? &connection->out : &exchange->answer;
    if (!first) out->limit = connection->out.limit;
    answer_write(exchange, response, out);
    if (out->failed) { /* too large or no memory: the connection cannot go on */
        http_connection_close(connection);
        return;
    }
    if (first) http_connection_answered(connection);
}

static bool answer_held(struct http_request *request, const struct http_response *response)
{
    bool (*hold)(struct http_request *, const struct http_response *) = request->hold;
    request->hold = NULL;
    return hold && hold(request, response);
}

void http_exchange_answer(struct http_exchange *exchange, const struct http_response *response)
{
    if (answer_held(&exchange->request, response)) return;
    bool was_early = exchange->early;
    exchange->early = false;
    exchange->state = EXCHANGE_ANSWERED;
    list_remove(&exchange->awaited);
    if (exchange->answered && !was_early) exchange->answered(&exchange->request, response->status);
    if (!exchange->connection) {
        if (!exchange->in_handler) http_exchange_release(exchange);
    } else if (!was_early) {
        answer_give(exchange, response);
    }
}

void http_exchange_fail(struct http_exchange *exchange, int status)
{
    const struct http_listen_config *config = &exchange->connection->listener->config;
    struct buf body = {.limit = 16384};
    if (config->error_body) config->error_body(status, exchange->request.request_id, &body);
    struct http_response response = {
        .status = status,
        .content_type = body.length ? "application/problem+json" : NULL,
        .headers = status == 503 ? SPAN("Retry-After: 1\r\n") : (struct span){NULL, 0},
        .body = body.failed ? (struct span){NULL, 0} : buf_span(&body),
        .close = true,
    };
    if (status == 400) exchange->server->stats.bad_requests++;
    http_exchange_answer(exchange, &response);
    buf_done(&body);
}

static struct http_exchange *exchange_of(struct http_request *request)
{
    return CONTAINER_OF(request, struct http_exchange, request);
}

struct verdict http_reply(struct http_request *request, const struct http_response *response)
{
    http_exchange_answer(exchange_of(request), response);
    return (struct verdict){request, VERDICT_REPLIED};
}

struct verdict http_pending(struct http_request *request)
{
    return (struct verdict){request, VERDICT_PENDING};
}

void http_finish(struct http_request *request, const struct http_response *response)
{
    http_exchange_answer(exchange_of(request), response);
}

void http_answer_by(struct http_request *request, unsigned after_ms,
                    void (*late)(struct http_request *request))
{
    struct http_exchange *exchange = exchange_of(request);
    exchange->answer_by_ms = uv_now(exchange->server->loop) + after_ms;
    exchange->late = late;
    list_remove(&exchange->awaited);
    list_append(&exchange->server->awaited, &exchange->awaited);
}

void http_answer_early(struct http_request *request, const struct http_response *response)
{
    struct http_exchange *exchange = exchange_of(request);
    if (!exchange->connection || exchange->state != EXCHANGE_HANDLING) return;
    exchange->early = true;
    exchange->state = EXCHANGE_ANSWERED;
    if (exchange->answered) exchange->answered(request, response->status);
    answer_give(exchange, response);
}

/* The deadlines are of different lengths, and few requests wait: all are looked at. */
void http_exchange_deadlines(struct http_server *server)
{
    uint64_t now = uv_now(server->loop);
    struct list due, *next;
    list_init(&due);
    for (struct list *at = server->awaited.next; at != &server->awaited; at = next) {
        next = at->next;
        if (CONTAINER_OF(at, struct http_exchange, awaited)->answer_by_ms > now) continue;
        list_remove(at);
        list_append(&due, at);
    }
    for (struct list *link; (link = list_shift(&due));) {
        struct http_exchange *exchange = CONTAINER_OF(link, struct http_exchange, awaited);
        exchange->late(&exchange->request);
    }
}
