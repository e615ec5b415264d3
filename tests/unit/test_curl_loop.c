/* io/curl_loop against a server in a thread: what goes through, which addresses are refused, that a
 * large answer, a redirect and silence end as promised. */
#include "io/curl_loop.h"

#include "io/loop.h"
#include "unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener;
static unsigned port;
static const char *_Atomic reply; /* NULL: say nothing */
static atomic_uint accepted;

/* Reads what comes in one go, answers, closes; a silent one waits until the peer has gone. */
static void *serve(void *nothing)
{
    char input[4096];
    (void)nothing;
    for (int peer; (peer = accept(listener, NULL, NULL)) >= 0; close(peer)) {
        atomic_fetch_add(&accepted, 1);
        if (recv(peer, input, sizeof input, 0) <= 0) continue;
        const char *text = reply;
        if (text) {
            if (send(peer, text, strlen(text), MSG_NOSIGNAL) < 0) continue;
            shutdown(peer, SHUT_WR);
        }
        while (recv(peer, input, sizeof input, 0) > 0)
            ;
    }
    return NULL;
}

struct outcome {
    struct uv_loop_s *loop;
    unsigned count;
    enum err error;
};

static struct outcome outcome;

static void done(struct curl_call *call, enum err error)
{
    (void)call;
    outcome.count++;
    outcome.error = error;
    loop_stop(outcome.loop);
}

static void closed(void *context)
{
    *(bool *)context = true;
}

/* One call from begin to end on a loop of its own; the caller frees call->answer. */
static enum err exchange(struct curl_call *call, bool stop_early)
{
    struct curl_loop *curl = NULL;
    bool gone = false;
    outcome = (struct outcome){0};
    assert_int_equal(loop_new(&outcome.loop), ERR_OK);
    assert_int_equal(curl_loop_new(&curl, outcome.loop), ERR_OK);
    call->done = done;
    enum err error = curl_loop_submit(curl, call);
    assert_int_equal(outcome.count, 0); /* never inside submit */
    if (error == ERR_OK && !stop_early) loop_run(outcome.loop);
    curl_loop_stop(curl, closed, &gone);
    loop_run(outcome.loop);
    if (error == ERR_OK) assert_int_equal(outcome.count, 1);
    if (!gone) loop_run(outcome.loop); /* done had asked the first run to end at once */
    assert_true(gone);
    assert_int_equal(loop_free(&outcome.loop), ERR_OK);
    return error == ERR_OK ? outcome.error : error;
}

static enum err ask(const char *path, const char *answer, struct curl_call *call)
{
    char url[128];
    reply = answer;
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    *call = (struct curl_call){.url = url,
                               .method = "POST",
                               .body = SPAN("{}"),
                               .timeout_ms = call->timeout_ms,
                               .answer_limit = call->answer_limit};
    return exchange(call, false);
}

static void brings_status_and_answer(void **state)
{
    (void)state;
    struct curl_call call = {.timeout_ms = 20000};
    assert_int_equal(ask("/", "HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello", &call),
                     ERR_OK);
    assert_int_equal(call.status, 202);
    assert_true(span_is(buf_span(&call.answer), "hello"));
    buf_done(&call.answer);
}

static void follows_no_redirect(void **state)
{
    (void)state;
    struct curl_call call = {.timeout_ms = 20000};
    unsigned before = atomic_load(&accepted);
    assert_int_equal(
        ask("/", "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", &call),
        ERR_OK);
    assert_int_equal(call.status, 302);
    assert_int_equal(atomic_load(&accepted), before + 1);
    buf_done(&call.answer);
}

static void ends_what_is_too_large_or_silent_or_broken(void **state)
{
    (void)state;
    struct curl_call call = {.timeout_ms = 20000, .answer_limit = 4};
    assert_int_equal(ask("/", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &call),
                     ERR_FULL);
    buf_done(&call.answer);
    call = (struct curl_call){.timeout_ms = 20000};
    assert_int_equal(ask("/", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", &call), ERR_IO);
    buf_done(&call.answer);
    call = (struct curl_call){.timeout_ms = 50};
    assert_int_equal(ask("/", NULL, &call), ERR_TIMEOUT);
    buf_done(&call.answer);
}

static void refuses_clear_text_beyond_loopback(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "http://example.com/",         "http://192.0.2.1/", "http://[2001:db8::1]/",
        "http://127.0.0.1@192.0.2.1/", "ftp://127.0.0.1/",  "file:///etc/passwd",
        "http://localhost.example/",   "http://128.0.0.1/", "",
        "http://[::ffff:192.0.2.1]/",
    };
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct curl_call call = {.url = urls[i], .method = "GET"};
        assert_int_equal(exchange(&call, false), ERR_INVALID);
    }
}

static void a_stop_ends_what_is_under_way(void **state)
{
    (void)state;
    char url[64];
    reply = NULL;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    struct curl_call call = {.url = url, .method = "GET", .timeout_ms = 20000};
    assert_int_equal(exchange(&call, true), ERR_CLOSED);
    buf_done(&call.answer);
}

static int listen_begin(void **state)
{
    (void)state;
    pthread_t thread;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 ||
        listen(listener, 8) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        return -1;
    port = ntohs(address.sin_port);
    if (pthread_create(&thread, NULL, serve, NULL) != 0) return -1;
    return pthread_detach(thread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brings_status_and_answer),
        cmocka_unit_test(follows_no_redirect),
        cmocka_unit_test(ends_what_is_too_large_or_silent_or_broken),
        cmocka_unit_test(refuses_clear_text_beyond_loopback),
        cmocka_unit_test(a_stop_ends_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, listen_begin, NULL);
}
