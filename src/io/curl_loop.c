/* libcurl's multi interface driven by libuv (curl_multi_socket_action). Called by service/ for
 * payment checks; loop thread only. What always holds: done runs once a call and never inside
 * submit; no redirect is followed, no proxy is used, peer and host are verified, clear text goes to
 * loopback addresses only, and an answer past its limit ends the call. */
#include "io/curl_loop.h"

#include "base/list.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { TIMEOUT_DEFAULT_MS = 5000, ANSWER_LIMIT_DEFAULT = 65536, CONNECTIONS_MAX = 64 };

struct curl_loop {
    uv_loop_t *uv;
    CURLM *multi;
    uv_timer_t timer;
    struct list exchanges;
    unsigned handles; /* not yet closed: the timer and the sockets' polls */
    bool stopping;
    void (*closed)(void *context);
    void *closed_context;
};

/* One call under way. */
struct exchange {
    struct list link;
    struct curl_loop *loop;
    struct curl_call *call;
    CURL *easy;
    struct curl_slist *headers, *resolve;
    bool too_large;
};

/* A socket that libcurl wants to hear of. */
struct watch {
    struct curl_loop *loop;
    uv_poll_t poll;
    curl_socket_t socket;
};

/* ---- ends ---- */

static void exchange_free(struct exchange *exchange)
{
    list_remove(&exchange->link);
    if (exchange->easy) curl_easy_cleanup(exchange->easy);
    curl_slist_free_all(exchange->headers);
    curl_slist_free_all(exchange->resolve);
    exchange->call->private_data = NULL;
    free(exchange);
}

static void exchange_end(struct exchange *exchange, enum err error)
{
    struct curl_call *call = exchange->call;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &call->status);
    curl_multi_remove_handle(exchange->loop->multi, exchange->easy);
    exchange_free(exchange);
    call->done(call, error);
}

static enum err exchange_error(const struct exchange *exchange, CURLcode code)
{
    if (code == CURLE_OK) return ERR_OK;
    if (exchange->too_large || code == CURLE_FILESIZE_EXCEEDED) return ERR_FULL;
    if (code == CURLE_OPERATION_TIMEDOUT) return ERR_TIMEOUT;
    if (code == CURLE_OUT_OF_MEMORY) return ERR_NO_MEMORY;
    return ERR_IO;
}

/* Ends what libcurl says is through. done may submit further calls. */
static void collect(struct curl_loop *loop)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(loop->multi, &left))) {
        if (message->msg != CURLMSG_DONE) continue;
        struct exchange *exchange = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange);
        struct curl_call *call = exchange->call;
        if (code != CURLE_OK && !call->error_text[0])
            snprintf(call->error_text, sizeof call->error_text, "%s", curl_easy_strerror(code));
        exchange_end(exchange, exchange_error(exchange, code));
    }
}

/* ---- libcurl's callbacks and the loop's ---- */

static void handle_closed(struct curl_loop *loop)
{
    if (--loop->handles || !loop->stopping) return;
    void (*closed)(void *context) = loop->closed;
    void *context = loop->closed_context;
    free(loop);
    if (closed) closed(context);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    struct curl_loop *loop = watch->loop;
    free(watch);
    handle_closed(loop);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct curl_loop *loop = watch->loop;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0, running;
    if (events & UV_READABLE) flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE) flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(loop->multi, watch->socket, flags, &running);
    collect(loop);
}

static struct watch *watch_new(struct curl_loop *loop, curl_socket_t socket)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch) return NULL;
    *watch = (struct watch){.loop = loop, .socket = socket};
    if (uv_poll_init_socket(loop->uv, &watch->poll, socket) != 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    loop->handles++;
    return watch;
}

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *user, void *of_socket)
{
    (void)easy;
    struct curl_loop *loop = user;
    struct watch *watch = of_socket;
    if (what == CURL_POLL_REMOVE) {
        if (!watch) return 0;
        curl_multi_assign(loop->multi, socket, NULL);
        uv_poll_stop(&watch->poll);
        uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        return 0;
    }
    if (!watch) {
        watch = watch_new(loop, socket);
        if (!watch) return -1;
        curl_multi_assign(loop->multi, socket, watch);
    }
    int events = 0;
    if (what != CURL_POLL_OUT) events |= UV_READABLE;
    if (what != CURL_POLL_IN) events |= UV_WRITABLE;
    return uv_poll_start(&watch->poll, events, on_ready) == 0 ? 0 : -1;
}

static void on_timeout(uv_timer_t *timer)
{
    struct curl_loop *loop = timer->data;
    int running;
    curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(loop);
}

static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
    (void)multi;
    struct curl_loop *loop = user;
    if (timeout_ms < 0)
        uv_timer_stop(&loop->timer);
    else
        uv_timer_start(&loop->timer, on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

static size_t on_answer(char *data, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    struct curl_call *call = exchange->call;
    size_t limit = call->answer_limit ? call->answer_limit : ANSWER_LIMIT_DEFAULT;
    size_t length = size * count;
    if (length > limit || call->answer.length > limit - length) {
        exchange->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    call->answer.limit = limit;
    buf_add(&call->answer, data, length);
    return call->answer.failed ? CURL_WRITEFUNC_ERROR : length;
}

/* ---- setting up a call ---- */

static bool is_loopback_literal(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
    size_t length = strlen(host);
    char inner[INET6_ADDRSTRLEN];
    if (length < 4 || length - 2 >= sizeof inner || host[0] != '[' || host[length - 1] != ']')
        return false;
    memcpy(inner, host + 1, length - 2);
    inner[length - 2] = '\0';
    return inet_pton(AF_INET6, inner, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* Looks at scheme and host. "localhost" in clear text is pinned to the loopback addresses, whatever
 * the resolver would say of it. */
static enum err url_check(struct exchange *exchange, CURLU *url)
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    enum err error = ERR_INVALID;
    if (curl_url_set(url, CURLUPART_URL, exchange->call->url, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        goto out;
    if (!strcmp(scheme, "https") || (!strcmp(scheme, "http") && is_loopback_literal(host))) {
        error = ERR_OK;
    } else if (!strcmp(scheme, "http") && !strcmp(host, "localhost")) {
        char pinned[64];
        snprintf(pinned, sizeof pinned, "localhost:%.5s:127.0.0.1,[::1]", port);
        exchange->resolve = curl_slist_append(NULL, pinned);
        error = exchange->resolve ? ERR_OK : ERR_NO_MEMORY;
    }
out:
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return error;
}

static enum err headers_set(struct exchange *exchange)
{
    const char *const *lines = exchange->call->headers;
    for (size_t i = 0; lines && lines[i]; i++) {
        struct curl_slist *longer = curl_slist_append(exchange->headers, lines[i]);
        if (!longer) return ERR_NO_MEMORY;
        exchange->headers = longer;
    }
    /* Without this a larger body would wait a second for "100 Continue". */
    struct curl_slist *longer = curl_slist_append(exchange->headers, "Expect:");
    if (!longer) return ERR_NO_MEMORY;
    exchange->headers = longer;
    return ERR_OK;
}

static enum err easy_set(struct exchange *exchange)
{
    CURL *easy = exchange->easy;
    struct curl_call *call = exchange->call;
    long timeout_ms = call->timeout_ms ? (long)call->timeout_ms : TIMEOUT_DEFAULT_MS;
    bool good = curl_easy_setopt(easy, CURLOPT_URL, call->url) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http") == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method) == CURLE_OK;
    if (call->body.length || !strcmp(call->method, "POST")) {
        good &= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                 (curl_off_t)call->body.length) == CURLE_OK;
        good &= curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                                 call->body.data ? call->body.data : "") == CURLE_OK;
    }
    good &= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_RESOLVE, exchange->resolve) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
    if (call->ca_file) good &= curl_easy_setopt(easy, CURLOPT_CAINFO, call->ca_file) == CURLE_OK;
    if (call->unix_socket)
        good &= curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, call->unix_socket) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_HEADER, call->with_head ? 1L : 0L) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error_text) == CURLE_OK;
    return good ? ERR_OK : ERR_NO_MEMORY;
}

enum err curl_loop_submit(struct curl_loop *loop, struct curl_call *call)
{
    if (loop->stopping) return ERR_CLOSED;
    call->status = 0;
    call->error_text[0] = '\0';
    buf_clear(&call->answer);
    struct exchange *exchange = calloc(1, sizeof *exchange);
    CURLU *url = curl_url();
    enum err error = ERR_NO_MEMORY;
    if (!exchange || !url) {
        free(exchange);
        curl_url_cleanup(url);
        return error;
    }
    *exchange = (struct exchange){.loop = loop, .call = call, .easy = curl_easy_init()};
    list_append(&loop->exchanges, &exchange->link);
    call->private_data = exchange;
    if (exchange->easy) error = url_check(exchange, url);
    if (error == ERR_OK) error = headers_set(exchange);
    if (error == ERR_OK) error = easy_set(exchange);
    curl_url_cleanup(url);
    /* It only begins: the timer callback asks the loop to go on. */
    if (error == ERR_OK && curl_multi_add_handle(loop->multi, exchange->easy) != CURLM_OK)
        error = ERR_NO_MEMORY;
    if (error != ERR_OK) exchange_free(exchange);
    return error;
}

/* ---- the loop ---- */

enum err curl_loop_new(struct curl_loop **out, struct uv_loop_s *uv)
{
    struct curl_loop *loop = calloc(1, sizeof *loop);
    if (!loop) return ERR_NO_MEMORY;
    loop->uv = uv;
    list_init(&loop->exchanges);
    loop->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    if (!loop->multi) {
        free(loop);
        return ERR_NO_MEMORY;
    }
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
    uv_timer_init(uv, &loop->timer);
    loop->timer.data = loop;
    loop->handles = 1;
    *out = loop;
    return ERR_OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

void curl_loop_stop(struct curl_loop *loop, void (*closed)(void *context), void *context)
{
    loop->stopping = true;
    loop->closed = closed;
    loop->closed_context = context;
    while (!list_empty(&loop->exchanges))
        exchange_end(CONTAINER_OF(loop->exchanges.next, struct exchange, link), ERR_CLOSED);
    uv_close((uv_handle_t *)&loop->timer, on_timer_closed);
    curl_multi_cleanup(loop->multi); /* lets go of kept connections and their watches */
}
