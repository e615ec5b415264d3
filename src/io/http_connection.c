/* One connection: bytes in, requests to the handler, answers out in order. Called by libuv and by
 * http_exchange.c, on the loop. http_connection_pump is the only place that takes input and writes,
 * and http_connection_settle the only one that decides whether to read, which deadline runs, and
 * whether the connection ends; an answer given elsewhere only marks the connection dirty, so that
 * many of them leave in one write. uv_close is called in one place and frees in its callback. */
#include "io/http_private.h"

#include "base/clock.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEPT_BYTES = 8192, /* buffers larger than this are given back when empty */
    OUTPUT_LIMIT = 64 << 20,
    LINGER_MS = 2000,
    LINGER_BYTES = 1 << 20,
    REFUSING_MAX = 64 /* connections over the cap that are told so; more are just closed */
};

static struct http_exchange *exchange_at(struct list *link)
{
    return CONTAINER_OF(link, struct http_exchange, link);
}

/* ---- deadlines ---- */

static unsigned timer_ms(const struct http_connection *connection, enum http_timer timer)
{
    const struct http_limits *limits = &connection->listener->config.limits;
    switch (timer) {
    case TIMER_HEAD:
        return limits->head_timeout_ms;
    case TIMER_BODY:
        return limits->body_timeout_ms;
    case TIMER_IDLE:
        return limits->idle_timeout_ms;
    case TIMER_WRITE:
        return limits->write_timeout_ms;
    case TIMER_LINGER:
        return LINGER_MS;
    case TIMER_NONE:
        break;
    }
    return 0;
}

static void timer_clear(struct http_connection *connection)
{
    list_remove(&connection->timed);
    connection->timer = TIMER_NONE;
}

static void timer_restart(struct http_connection *connection, enum http_timer timer)
{
    list_remove(&connection->timed);
    connection->timer = timer;
    if (timer == TIMER_NONE) return;
    connection->deadline_ms = uv_now(connection->server->loop) + timer_ms(connection, timer);
    list_append(&connection->listener->timers[timer], &connection->timed);
}

/* ---- the end of a connection ---- */

static void on_closed(uv_handle_t *handle)
{
    struct http_connection *connection = handle->data;
    struct http_server *server = connection->server;
    list_remove(&connection->link);
    connection->listener->open--;
    buf_done(&connection->input);
    buf_done(&connection->out);
    buf_done(&connection->sending);
    free(connection);
    server->stats.open--;
    http_server_handle_closed(server);
}

void http_connection_close(struct http_connection *connection)
{
    if (connection->phase == CONNECTION_CLOSED) return;
    struct http_server *server = connection->server;
    connection->phase = CONNECTION_CLOSED;
    timer_clear(connection);
    list_remove(&connection->dirty);
    for (struct list *link; (link = list_shift(&connection->exchanges));)
        http_exchange_orphan(exchange_at(link));
    connection->in_flight = 0;
    if (connection->counted) http_address_give_back(server->addresses, &connection->peer);
    if (connection->refused) server->refusing--;
    uv_close(&connection->handle, on_closed);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct http_connection *connection = request->data;
    if (status < 0 || connection->ended) http_connection_close(connection);
}

/* Shuts our side and goes on reading for a while: closing with unread bytes would send a reset,
 * which can destroy the answer before the client has read it (RFC 9112, 9.6). */
static void connection_linger(struct http_connection *connection)
{
    connection->phase = CONNECTION_LINGERING;
    connection->shutdown.data = connection;
    if (uv_shutdown(&connection->shutdown, &connection->stream, on_shutdown) < 0)
        http_connection_close(connection);
}

/* ---- output ---- */

static void buffer_emptied(struct buf *buf)
{
    if (buf->capacity > KEPT_BYTES) buf_done(buf);
    buf_clear(buf);
}

static void on_written(uv_write_t *write, int status)
{
    struct http_connection *connection = write->data;
    connection->writing = false;
    buffer_emptied(&connection->sending);
    if (connection->phase == CONNECTION_CLOSED) return;
    if (status < 0)
        http_connection_close(connection);
    else
        http_connection_pump(connection, (struct span){NULL, 0});
}

static void connection_flush(struct http_connection *connection)
{
    struct buf *out = &connection->out;
    if (connection->phase == CONNECTION_CLOSED || connection->writing || !out->length) return;
    uv_buf_t bytes = uv_buf_init(out->data, (unsigned)out->length);
    int written = uv_try_write(&connection->stream, &bytes, 1);
    if (written == UV_EAGAIN) written = 0;
    if (written < 0) {
        http_connection_close(connection);
        return;
    }
    if ((size_t)written == out->length) {
        buffer_emptied(out);
        return;
    }
    struct buf empty = connection->sending;
    connection->sending = *out;
    *out = empty;
    out->limit = OUTPUT_LIMIT;
    bytes = uv_buf_init(connection->sending.data + written,
                        (unsigned)(connection->sending.length - (size_t)written));
    connection->queued = bytes.len;
    connection->write.data = connection;
    connection->writing = true;
    if (uv_write(&connection->write, &connection->stream, &bytes, 1, on_written) < 0) {
        connection->writing = false;
        http_connection_close(connection);
    }
}

/* Moves answers from the queue's front to the output, as far as they are there. */
void http_connection_answered(struct http_connection *connection)
{
    while (!list_empty(&connection->exchanges) && !connection->ending) {
        struct http_exchange *exchange = exchange_at(connection->exchanges.next);
        if (exchange->state != EXCHANGE_ANSWERED) break;
        buf_add(&connection->out, exchange->answer.data, exchange->answer.length);
        connection->ending = exchange->closes;
        connection->in_flight--;
        http_exchange_leave(exchange);
    }
    if (connection->ending) {
        connection->phase = CONNECTION_DEAF;
        buf_clear(&connection->input);
        for (struct list *link; (link = list_shift(&connection->exchanges));)
            http_exchange_orphan(exchange_at(link));
        connection->in_flight = 0;
    }
    if (connection->out.failed)
        http_connection_close(connection);
    else if (!connection->busy && list_empty(&connection->dirty))
        list_append(&connection->server->dirty, &connection->dirty);
}

/* ---- input ---- */

static struct http_exchange *exchange_begin(struct http_connection *connection)
{
    struct http_exchange *exchange = http_exchange_new(connection->server);
    if (!exchange) {
        http_connection_close(connection);
        return NULL;
    }
    exchange->connection = connection;
    exchange->state = EXCHANGE_READING;
    exchange->request.listener_context = connection->listener->config.context;
    exchange->answered = connection->listener->config.answered;
    list_append(&connection->exchanges, &exchange->link);
    connection->in_flight++;
    return exchange;
}

/* The request under way is refused with a status and the connection closed, behind the answers to
 * earlier ones. `exchange` NULL: it had not begun. */
static void connection_refuse(struct http_connection *connection, struct http_exchange *exchange,
                              int status)
{
    connection->phase = CONNECTION_DEAF;
    timer_clear(connection);
    if (!exchange) exchange = exchange_begin(connection);
    if (exchange) http_exchange_fail(exchange, status);
}

static void exchange_dispatch(struct http_connection *connection, struct http_exchange *exchange)
{
    exchange->request.body = buf_span(&exchange->body);
    exchange->state = EXCHANGE_HANDLING;
    connection->phase = exchange->keep_alive ? CONNECTION_HEAD : CONNECTION_DEAF;
    connection->had_a_request = true;
    connection->server->stats.requests++;
    exchange->in_handler = true;
    struct verdict verdict = connection->listener->config.handler(&exchange->request);
    exchange->in_handler = false;
    if (exchange->state == EXCHANGE_ANSWERED) {
        /* Answered and already out of its queue, or waiting in it behind others. */
        if (!exchange->connection) http_exchange_release(exchange);
    } else if (!verdict.made) {
        http_exchange_answer(exchange, &(struct http_response){.status = 500, .close = true});
    }
}

/* Returns the bytes used; 0: the head is not complete. */
static size_t head_take(struct http_connection *connection, struct span in)
{
    const struct http_listen_config *config = &connection->listener->config;
    size_t cap = config->limits.head_bytes;
    size_t length = in.length < cap ? in.length : cap, head = 0;
    enum http_scan_result scanned = http_scan_head(&connection->scan, in.data, length, &head);
    if (scanned == HTTP_SCAN_MORE) {
        if (in.length >= cap) connection_refuse(connection, NULL, 431);
        return 0;
    }
    unsigned lines = connection->scan.lines;
    connection->scan = (struct http_scan){0};
    if (scanned == HTTP_SCAN_BAD || lines - 1 > config->limits.headers) {
        connection_refuse(connection, NULL, scanned == HTTP_SCAN_BAD ? 400 : 431);
        return in.length;
    }
    timer_clear(connection);
    struct http_exchange *exchange = exchange_begin(connection);
    if (!exchange) return in.length;
    exchange->request.peer = connection->peer;
    exchange->request.started_us = clock_mono_us();
    int refused =
        http_parse_head(exchange, &connection->parser, (struct span){in.data, head}, lines);
    if (refused) {
        connection_refuse(connection, exchange, refused);
        return in.length;
    }
    bool has_body = exchange->chunked || exchange->content_length > 0;
    if (!has_body) {
        exchange_dispatch(connection, exchange);
        return head;
    }
    exchange->body_limit =
        config->body_limit ? config->body_limit(&exchange->request) : config->limits.body_bytes;
    if (exchange->content_length > exchange->body_limit) {
        connection_refuse(connection, exchange, 413);
        return in.length;
    }
    exchange->body.limit = exchange->body_limit + 1; /* 0 would mean a default */
    connection->chunks = (struct http_chunk_scan){0};
    connection->phase = CONNECTION_BODY;
    return head;
}

static size_t chunked_take(struct http_connection *connection, struct http_exchange *exchange,
                           struct span in, bool *complete)
{
    size_t used = 0;
    enum http_scan_result scanned =
        http_scan_chunked(&connection->chunks, in.data, in.length, &used);
    *complete = scanned == HTTP_SCAN_DONE;
    int refused = 0;
    if (scanned == HTTP_SCAN_BAD)
        refused = 400;
    else if (connection->chunks.decoded > exchange->body_limit ||
             connection->chunks.raw > 2 * exchange->body_limit + HTTP_READ_SIZE)
        refused = 413;
    else
        refused = http_parse_chunked(exchange, &connection->parser, (struct span){in.data, used},
                                     *complete);
    if (!refused) return used;
    *complete = false;
    connection_refuse(connection, exchange, refused);
    return in.length;
}

static size_t body_take(struct http_connection *connection, struct span in)
{
    struct http_exchange *exchange = exchange_at(connection->exchanges.prev);
    size_t used;
    bool complete;
    if (exchange->chunked) {
        used = chunked_take(connection, exchange, in, &complete);
    } else {
        size_t missing = exchange->content_length - exchange->body.length;
        used = in.length < missing ? in.length : missing;
        buf_add(&exchange->body, in.data, used);
        complete = used == missing;
        if (exchange->body.failed) {
            connection_refuse(connection, exchange, 503);
            return in.length;
        }
    }
    if (complete) {
        timer_clear(connection);
        exchange_dispatch(connection, exchange);
    }
    return used;
}

static bool may_take(const struct http_connection *connection)
{
    if (connection->phase == CONNECTION_BODY) return true;
    return connection->phase == CONNECTION_HEAD && connection->out.length < HTTP_OUTPUT_HIGH &&
           connection->sending.length < HTTP_OUTPUT_HIGH &&
           connection->in_flight < connection->listener->config.limits.pipelined;
}

/* Takes what it can and returns the rest. */
static struct span connection_consume(struct http_connection *connection, struct span in)
{
    while (in.length > 0 && may_take(connection)) {
        size_t used = connection->phase == CONNECTION_BODY ? body_take(connection, in)
                                                           : head_take(connection, in);
        if (used == 0) break;
        in = (struct span){in.data + used, in.length - used};
    }
    bool over = connection->phase != CONNECTION_HEAD && connection->phase != CONNECTION_BODY;
    return over ? (struct span){NULL, 0} : in;
}

/* A client that waits for "100 Continue" gets it when its turn to be answered has come. */
static void connection_encourage(struct http_connection *connection)
{
    if (connection->phase != CONNECTION_BODY || list_empty(&connection->exchanges)) return;
    struct http_exchange *exchange = exchange_at(connection->exchanges.next);
    if (exchange->state != EXCHANGE_READING || !exchange->expects_continue) return;
    exchange->expects_continue = false;
    if (exchange->body.length == 0 && connection->chunks.raw == 0)
        buf_add_text(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

/* Keeps what was left over at the start of connection->input. */
static void input_keep(struct http_connection *connection, struct span rest, bool own)
{
    struct buf *input = &connection->input;
    if (rest.length == 0) {
        buffer_emptied(input);
    } else if (own) {
        memmove(input->data, rest.data, rest.length);
        input->length = rest.length;
    } else {
        buf_add_span(input, rest);
        if (input->failed) http_connection_close(connection);
    }
}

/* Goes on with the bytes that just came (or none): takes requests, sends what is ready. */
void http_connection_pump(struct http_connection *connection, struct span fresh)
{
    if (connection->phase == CONNECTION_CLOSED || connection->busy) return;
    bool own = connection->input.length > 0;
    if (own) buf_add_span(&connection->input, fresh);
    if (connection->input.failed) {
        http_connection_close(connection);
        return;
    }
    struct span rest = own ? buf_span(&connection->input) : fresh;
    bool stuck; /* could take and did not: a head is not complete */
    connection->busy = true;
    do {
        size_t before = rest.length;
        bool could = may_take(connection);
        rest = connection_consume(connection, rest);
        connection_encourage(connection);
        connection_flush(connection); /* this may be what makes room to take more */
        stuck = could && rest.length == before;
    } while (rest.length > 0 && !stuck && may_take(connection));
    connection->busy = false;
    if (connection->phase == CONNECTION_CLOSED) return;
    input_keep(connection, rest, own);
    http_connection_settle(connection);
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct http_connection *connection = handle->data;
    *out = uv_buf_init(connection->server->read_buffer, HTTP_READ_SIZE);
}

/* libuv reports a reset that came right behind data as an end. After an end proper the client may
 * still wait for its answers; after a reset nobody does. */
static bool peer_was_reset(const struct http_connection *connection)
{
    struct pollfd poll_fd = {.events = POLLIN};
    if (uv_fileno(&connection->handle, &poll_fd.fd) < 0) return true;
    return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR));
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *bytes)
{
    struct http_connection *connection = stream->data;
    if (connection->phase == CONNECTION_CLOSED || length == 0) return;
    if (length == UV_EOF) {
        connection->ended = true;
        if (peer_was_reset(connection))
            http_connection_close(connection);
        else
            http_connection_settle(connection);
    } else if (length < 0) {
        http_connection_close(connection);
    } else if (connection->phase == CONNECTION_LINGERING) {
        connection->lingered += (size_t)length;
        if (connection->lingered > LINGER_BYTES) http_connection_close(connection);
    } else {
        http_connection_pump(connection, (struct span){bytes->base, (size_t)length});
    }
}

/* ---- what the connection does next ---- */

static bool output_is_out(const struct http_connection *connection)
{
    return !connection->writing && connection->out.length == 0;
}

static void connection_end_if_due(struct http_connection *connection)
{
    if (connection->phase == CONNECTION_LINGERING) {
        if (connection->ended) http_connection_close(connection);
        return;
    }
    bool idle = connection->in_flight == 0 && connection->phase != CONNECTION_BODY;
    bool no_more = connection->ended && (idle || connection->phase == CONNECTION_BODY);
    if (connection->phase == CONNECTION_BODY && connection->in_flight > 1) no_more = false;
    bool drained = connection->server->stopping && idle && connection->input.length == 0;
    if (!output_is_out(connection) || (!connection->ending && !no_more && !drained)) return;
    if (connection->ended)
        http_connection_close(connection);
    else
        connection_linger(connection);
}

static enum http_timer timer_due(const struct http_connection *connection)
{
    if (connection->phase == CONNECTION_LINGERING) return TIMER_LINGER;
    if (connection->writing) return TIMER_WRITE;
    if (connection->phase == CONNECTION_BODY) return TIMER_BODY;
    if (connection->in_flight > 0) return TIMER_NONE;
    bool in_a_head = connection->input.length > 0 || !connection->had_a_request;
    return in_a_head ? TIMER_HEAD : TIMER_IDLE;
}

static bool should_read(const struct http_connection *connection)
{
    if (connection->ended) return false;
    if (connection->phase == CONNECTION_LINGERING) return true;
    return may_take(connection);
}

void http_connection_settle(struct http_connection *connection)
{
    if (connection->phase == CONNECTION_CLOSED || connection->busy) return;
    connection_end_if_due(connection);
    if (connection->phase == CONNECTION_CLOSED) return;
    bool read = should_read(connection);
    if (read != connection->reading) {
        connection->reading = read;
        if (!read)
            uv_read_stop(&connection->stream);
        else if (uv_read_start(&connection->stream, on_allocate, on_read) < 0) {
            http_connection_close(connection);
            return;
        }
    }
    /* Idleness counts from the last sign of life, the others from their beginning. */
    enum http_timer timer = timer_due(connection);
    if (timer != connection->timer || timer == TIMER_IDLE) timer_restart(connection, timer);
}

void http_connection_timeout(struct http_connection *connection)
{
    enum http_timer timer = connection->timer;
    timer_clear(connection);
    switch (timer) {
    case TIMER_HEAD:
        if (connection->input.length == 0) {
            http_connection_close(connection);
            return;
        }
        connection_refuse(connection, NULL, 408);
        break;
    case TIMER_BODY:
        connection_refuse(connection, exchange_at(connection->exchanges.prev), 408);
        break;
    case TIMER_IDLE:
        connection_linger(connection);
        break;
    case TIMER_WRITE:
        if (uv_stream_get_write_queue_size(&connection->stream) >= connection->queued) {
            http_connection_close(connection);
            return;
        }
        connection->queued = uv_stream_get_write_queue_size(&connection->stream);
        break;
    case TIMER_LINGER:
    case TIMER_NONE:
        http_connection_close(connection);
        return;
    }
    http_connection_pump(connection, (struct span){NULL, 0});
}

/* ---- the beginning ---- */

static bool connection_is_over_a_cap(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    const struct http_limits *limits = &connection->listener->config.limits;
    if (server->stats.open - server->refusing > limits->connections) return true;
    if (connection->peer.ss_family == AF_UNIX || limits->connections_per_address == 0) return false;
    connection->counted =
        http_address_take(&server->addresses, &connection->peer, limits->connections_per_address);
    return !connection->counted;
}

static bool connection_open(struct http_connection *connection)
{
    struct http_listener *listener = connection->listener;
    if (uv_accept(&listener->stream, &connection->stream) < 0) return false;
    if (listener->path[0]) {
        connection->peer.ss_family = AF_UNIX;
        return true;
    }
    int length = sizeof connection->peer;
    if (uv_tcp_getpeername(&connection->tcp, (struct sockaddr *)&connection->peer, &length) < 0)
        return false;
    return uv_tcp_nodelay(&connection->tcp, 1) == 0;
}

void http_connection_accept(struct http_listener *listener)
{
    struct http_server *server = listener->server;
    struct http_connection *connection = calloc(1, sizeof *connection);
    listener->stalled = !connection; /* libuv accepts no more until this one is taken */
    if (!connection) return;
    int made = listener->path[0] ? uv_pipe_init(server->loop, &connection->pipe, 0)
                                 : uv_tcp_init(server->loop, &connection->tcp);
    if (made < 0) {
        listener->stalled = true;
        free(connection);
        return;
    }
    connection->handle.data = connection;
    connection->server = server;
    connection->listener = listener;
    connection->out.limit = OUTPUT_LIMIT;
    connection->input.limit = listener->config.limits.head_bytes + 2 * HTTP_READ_SIZE;
    connection->timer = TIMER_NONE;
    list_init(&connection->dirty);
    list_init(&connection->timed);
    list_init(&connection->exchanges);
    list_append(&server->connections, &connection->link);
    server->handles++;
    server->stats.open++;
    listener->open++;
    server->stats.accepted++;
    if (!connection_open(connection)) {
        http_connection_close(connection);
        return;
    }
    if (!connection_is_over_a_cap(connection)) {
        http_connection_settle(connection);
        return;
    }
    server->stats.refused++;
    connection->refused = true;
    if (server->refusing++ >= REFUSING_MAX) {
        http_connection_close(connection);
        return;
    }
    connection_refuse(connection, NULL, 503);
    http_connection_pump(connection, (struct span){NULL, 0});
}
