/* For test_http_server.c: a server on a loop of its own in a thread, and a blocking client. */
#ifndef KEYMETER_TESTS_HTTP_FIXTURE_H
#define KEYMETER_TESTS_HTTP_FIXTURE_H

#include "io/http_server.h"

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

enum { HELD_MAX = 64, BIG = 3 << 20, ANSWER_MAX = 16 << 20 };

/* ---- the server ---- */

struct fixture {
    struct http_listen_config config;
    unsigned drain_ms;
    bool finish_at_stop;
    char bound[128];
    pthread_t thread;
    pthread_barrier_t ready;
    uv_loop_t loop;
    uv_async_t stop;
    struct http_server *server;
    int loop_closed;
    bool closed_called;
};

static struct fixture *current;
static struct http_request *held[HELD_MAX]; /* the server thread's */
static size_t held_count;
static unsigned late_count, kept_back;
static char big[BIG];

static void answer_text(struct http_response *response, const char *text)
{
    *response = (struct http_response){
        .status = 200, .content_type = "text/plain", .body = span_text(text)};
}

/* Last come, first answered: the connection must put them in order again. What is held anew
 * meanwhile waits for the next release. */
static void release_held(void)
{
    size_t count = held_count;
    struct http_request *now[HELD_MAX];
    memcpy(now, held, sizeof now);
    held_count = 0;
    while (count > 0) {
        struct http_request *request = now[--count];
        struct http_response response = {.status = 200, .body = request->query};
        http_finish(request, &response);
    }
}

static void answer_late(struct http_request *request)
{
    struct http_response response = {.status = 503, .body = SPAN("late")};
    late_count++;
    http_answer_early(request, &response);
    http_answer_early(request, &response); /* once is enough */
}

/* http_request.hold: until the next release. */
static bool keep_back(struct http_request *request, const struct http_response *response)
{
    assert_int_equal(response->status, 200);
    ++*(unsigned *)request->hold_context;
    held[held_count++] = request;
    return true;
}

static struct verdict handle(struct http_request *request)
{
    struct http_response response = {.status = 200, .body = request->body};
    char text[64];
    if (span_is(request->path, "/held") || span_is(request->path, "/late") ||
        span_is(request->path, "/kept")) {
        if (span_is(request->path, "/kept")) {
            request->hold = keep_back;
            request->hold_context = &kept_back;
        }
        if (span_is(request->path, "/late")) http_answer_by(request, 1, answer_late);
        assert_true(held_count < HELD_MAX);
        held[held_count++] = request;
        return http_pending(request);
    }
    if (span_is(request->path, "/release")) {
        release_held();
        answer_text(&response, "released");
    } else if (span_is(request->path, "/big")) {
        response.body = span_of(big, sizeof big);
    } else if (span_is(request->path, "/none")) {
        response.status = 204;
    } else if (span_is(request->path, "/nothing")) {
        return (struct verdict){0};
    } else if (span_is(request->path, "/close")) {
        response.close = true;
    } else if (span_is(request->path, "/open")) {
        struct http_server_stats stats;
        http_server_get_stats(current->server, &stats);
        snprintf(text, sizeof text, "%u", stats.open);
        answer_text(&response, text);
    } else if (span_is(request->path, "/latecount")) {
        snprintf(text, sizeof text, "%u", late_count);
        answer_text(&response, text);
    } else if (span_is(request->path, "/heldcount")) {
        snprintf(text, sizeof text, "%zu waiting, %u held back", held_count, kept_back);
        answer_text(&response, text);
    } else if (span_is(request->path, "/info")) {
        answer_text(&response,
                    arena_printf(&request->arena, "%.*s|%.*s|%.*s|%zu",
                                 (int)request->method_text.length, request->method_text.data,
                                 (int)request->query.length, request->query.data,
                                 (int)http_header(request, "X-Test").length,
                                 http_header(request, "X-Test").data, request->header_count));
    }
    return http_reply(request, &response);
}

static void error_body(int status, const char *request_id, struct buf *out)
{
    buf_printf(out, "{\"status\":%d,\"request_id\":\"%s\"}", status, request_id);
}

static void on_server_closed(void *context)
{
    struct fixture *fixture = context;
    fixture->closed_called = true;
}

static void on_stop(uv_async_t *async)
{
    struct fixture *fixture = async->data;
    uv_close((uv_handle_t *)async, NULL);
    http_server_stop(fixture->server, fixture->drain_ms, on_server_closed, fixture);
    if (fixture->finish_at_stop) release_held();
}

static void *server_main(void *context)
{
    struct fixture *fixture = context;
    const char *why = "";
    uv_loop_init(&fixture->loop);
    uv_async_init(&fixture->loop, &fixture->stop, on_stop);
    fixture->stop.data = fixture;
    fixture->config.handler = handle;
    fixture->config.error_body = error_body;
    if (!fixture->config.address) fixture->config.address = "127.0.0.1:0";
    if (http_server_new(&fixture->server, &fixture->loop) != ERR_OK ||
        http_listen(fixture->server, &fixture->config, fixture->bound, &why) != ERR_OK) {
        fprintf(stderr, "listen: %s\n", why);
        abort();
    }
    pthread_barrier_wait(&fixture->ready);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    fixture->loop_closed = uv_loop_close(&fixture->loop);
    release_held(); /* these outlive the server */
    return NULL;
}

static void server_start(struct fixture *fixture)
{
    current = fixture;
    if (!fixture->drain_ms) fixture->drain_ms = 10000;
    pthread_barrier_init(&fixture->ready, NULL, 2);
    assert_int_equal(pthread_create(&fixture->thread, NULL, server_main, fixture), 0);
    pthread_barrier_wait(&fixture->ready);
}

static void server_join(struct fixture *fixture)
{
    pthread_join(fixture->thread, NULL);
    pthread_barrier_destroy(&fixture->ready);
    assert_int_equal(fixture->loop_closed, 0);
    assert_true(fixture->closed_called);
}

static void server_end(struct fixture *fixture)
{
    uv_async_send(&fixture->stop);
    server_join(fixture);
}

/* ---- the client ---- */

static int dial(const struct fixture *fixture)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET};
    bool is_unix = fixture->bound[0] == '/';
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct timeval patience = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (is_unix) {
        strcpy(local.sun_path, fixture->bound);
        assert_int_equal(connect(fd, (struct sockaddr *)&local, sizeof local), 0);
        return fd;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    inet.sin_port = htons((uint16_t)strtoul(strrchr(fixture->bound, ':') + 1, NULL, 10));
    assert_int_equal(connect(fd, (struct sockaddr *)&inet, sizeof inet), 0);
    return fd;
}

static void give(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
        if (n < 0) return; /* refused early: the answer tells */
        data += n;
        length -= (size_t)n;
    }
}

static void give_text(int fd, const char *text)
{
    give(fd, text, strlen(text));
}

static void take_more(int fd, struct buf *in)
{
    char *room = buf_reserve(in, 65536);
    assert_non_null(room);
    ssize_t n = recv(fd, room, 65536, 0);
    if (n <= 0) fail_msg("no answer; so far: %.*s", (int)in->length, in->data ? in->data : "");
    in->length += (size_t)n;
}

/* Everything until the server closes, NUL-terminated. */
static char *take_all(int fd)
{
    struct buf in = {.limit = ANSWER_MAX};
    for (;;) {
        char *room = buf_reserve(&in, 65536);
        assert_non_null(room);
        ssize_t n = recv(fd, room, 65536, 0);
        if (n < 0) fail_msg("not closed; so far: %.*s", (int)in.length, in.data);
        if (n == 0) break;
        in.length += (size_t)n;
    }
    close(fd);
    buf_add_char(&in, '\0');
    return in.data;
}

/* One answer with Content-Length, taken off a connection that stays open. */
static char *take_one(int fd, struct buf *in)
{
    for (;;) {
        char *end = in->length ? memmem(in->data, in->length, "\r\n\r\n", 4) : NULL;
        char *field = end ? memmem(in->data, in->length, "Content-Length: ", 16) : NULL;
        if (end) {
            size_t head = (size_t)(end + 4 - in->data);
            size_t body = field && field < end ? strtoul(field + 16, NULL, 10) : 0;
            if (in->length >= head + body) {
                char *answer = strndup(in->data, head + body);
                memmove(in->data, in->data + head + body, in->length - head - body);
                in->length -= head + body;
                return answer;
            }
        }
        take_more(fd, in);
    }
}

static void expect_one(int fd, struct buf *in, const char *start, const char *end)
{
    char *answer = take_one(fd, in);
    size_t length = strlen(answer), tail = strlen(end);
    if (strncmp(answer, start, strlen(start)) != 0 || length < tail ||
        strcmp(answer + length - tail, end) != 0)
        fail_msg("wanted %s … %s, got %s", start, end, answer);
    free(answer);
}

static char *exchange(const struct fixture *fixture, const char *data, size_t length)
{
    int fd = dial(fixture);
    give(fd, data, length);
    return take_all(fd);
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;
    while ((text = strstr(text, part))) {
        count++;
        text += strlen(part);
    }
    return count;
}

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"
#define HOST  "Host: x\r\n"
#define R11   " HTTP/1.1\r\n"

#endif
