/* HTTP exchanges by libcurl. Called by service/ for payment checks; loop thread only. What always
 * holds: done runs once a call and never inside submit; no redirect is followed, clear text goes to
 * loopback addresses only, and an answer past its limit ends the call. */
#include "io/curl_private.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_DEFAULT_MS = 5000, ANSWER_LIMIT_DEFAULT = 65536 };

/* One call under way. */
struct exchange {
    struct curl_transfer transfer;
    struct curl_call *call;
    struct curl_slist *headers, *resolve;
    bool too_large;
};

/* ---- ends ---- */

static void exchange_free(struct exchange *exchange)
{
    curl_transfer_end(&exchange->transfer);
    curl_slist_free_all(exchange->headers);
    curl_slist_free_all(exchange->resolve);
    exchange->call->private_data = NULL;
    free(exchange);
}

static enum err exchange_error(const struct exchange *exchange, CURLcode code)
{
    if (code == CURLE_OK) return ERR_OK;
    if (exchange->too_large || code == CURLE_FILESIZE_EXCEEDED) return ERR_FULL;
    if (code == CURLE_OPERATION_TIMEDOUT) return ERR_TIMEOUT;
    if (code == CURLE_OUT_OF_MEMORY) return ERR_NO_MEMORY;
    return ERR_IO;
}

/* done may submit further calls. */
static void exchange_through(struct curl_transfer *transfer, enum err error, CURLcode code)
{
    struct exchange *exchange = CONTAINER_OF(transfer, struct exchange, transfer);
    struct curl_call *call = exchange->call;
    if (error == ERR_OK) error = exchange_error(exchange, code);
    if (code != CURLE_OK)
        snprintf(call->error_text, sizeof call->error_text, "%s",
                 transfer->error_text[0] ? transfer->error_text : curl_easy_strerror(code));
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &call->status);
    exchange_free(exchange);
    call->done(call, error);
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
    CURL *easy = exchange->transfer.easy;
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
    if (call->unix_socket)
        good &= curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, call->unix_socket) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_HEADER, call->with_head ? 1L : 0L) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, call->alone ? 1L : 0L) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange) == CURLE_OK;
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
    exchange->call = call;
    call->private_data = exchange;
    error = curl_transfer_init(&exchange->transfer, loop, call->ca_file);
    exchange->transfer.through = exchange_through;
    if (error == ERR_OK) error = url_check(exchange, url);
    if (error == ERR_OK) error = headers_set(exchange);
    if (error == ERR_OK) error = easy_set(exchange);
    curl_url_cleanup(url);
    if (error == ERR_OK) error = curl_transfer_start(&exchange->transfer);
    if (error != ERR_OK) exchange_free(exchange);
    return error;
}
