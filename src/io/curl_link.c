/* Links: libcurl connects, the owner speaks. Called by smtp.c's slots; loop thread only. What
 * always holds: only smtp and smtps with verified TLS come up; no event after the close; the
 * socket's poll ends before libcurl closes the socket. */
#include "io/curl_link.h"

#include "io/curl_private.h"

#include <stdio.h>
#include <stdlib.h>

struct curl_link {
    struct curl_transfer transfer;
    void (*line)(void *context, struct span line);
    void (*event)(void *context, enum curl_link_event event);
    void *context;
    uv_poll_t poll;
    bool polls;    /* the poll is open */
    bool up;       /* libcurl has connected it */
    bool waits;    /* a write did not go through whole */
    bool stalled;  /* ... although there was room: TLS wants to read first */
    CURLcode code; /* of a failure */
};

/* ---- the socket, once it is up ---- */

static void on_ready(uv_poll_t *poll, int status, int events);

static enum err poll_set(struct curl_link *link)
{
    int events = UV_READABLE;
    if (link->waits && !link->stalled) events |= UV_WRITABLE;
    return uv_poll_start(&link->poll, events, on_ready) == 0 ? ERR_OK : ERR_IO;
}

/* A socket in error is readable: the read tells. */
static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct curl_link *link = poll->data;
    (void)status;
    link->stalled = link->waits && (events & UV_WRITABLE);
    link->event(link->context, CURL_LINK_READY);
}

static enum err poll_open(struct curl_link *link)
{
    curl_socket_t socket = CURL_SOCKET_BAD;
    curl_easy_getinfo(link->transfer.easy, CURLINFO_ACTIVESOCKET, &socket);
    if (socket == CURL_SOCKET_BAD) return ERR_IO;
    if (uv_poll_init_socket(link->transfer.loop->uv, &link->poll, socket) != 0) return ERR_IO;
    link->poll.data = link;
    link->polls = true;
    curl_loop_handle_opened(link->transfer.loop);
    return poll_set(link);
}

enum err curl_link_read(struct curl_link *link, void *out, size_t size, size_t *got)
{
    CURLcode code = curl_easy_recv(link->transfer.easy, out, size, got);
    if (code == CURLE_AGAIN) {
        *got = 0;
        return ERR_OK;
    }
    if (code != CURLE_OK) return ERR_IO;
    return *got ? ERR_OK : ERR_CLOSED;
}

enum err curl_link_write(struct curl_link *link, const char *data, size_t length, size_t *sent)
{
    size_t now = 0;
    CURLcode code = CURLE_OK;
    *sent = 0;
    while (*sent < length) {
        code = curl_easy_send(link->transfer.easy, data + *sent, length - *sent, &now);
        if (code != CURLE_OK) break;
        *sent += now;
        link->stalled = false;
    }
    if (code != CURLE_OK && code != CURLE_AGAIN) return ERR_IO;
    link->waits = *sent < length;
    if (!link->waits) link->stalled = false;
    return poll_set(link);
}

/* ---- connecting ---- */

static size_t on_line(char *data, size_t size, size_t count, void *user)
{
    struct curl_link *link = user;
    link->line(link->context, span_of(data, size * count));
    return size * count;
}

static void on_through(struct curl_transfer *transfer, enum err error, CURLcode code)
{
    struct curl_link *link = CONTAINER_OF(transfer, struct curl_link, transfer);
    link->code = code;
    if (error == ERR_OK && code == CURLE_OK && poll_open(link) == ERR_OK) {
        link->up = true;
        /* The copy of the credential is not needed any more. */
        curl_easy_setopt(transfer->easy, CURLOPT_PASSWORD, NULL);
        curl_easy_setopt(transfer->easy, CURLOPT_XOAUTH2_BEARER, NULL);
        link->event(link->context, CURL_LINK_UP);
        return;
    }
    if (error != ERR_OK && link->polls) uv_poll_stop(&link->poll);
    if (error != ERR_OK) curl_transfer_end(transfer);
    link->event(link->context, error == ERR_OK ? CURL_LINK_FAILED : CURL_LINK_GONE);
}

static size_t nothing_to_send(char *out, size_t size, size_t count, void *user)
{
    (void)out, (void)size, (void)count, (void)user;
    return CURL_READFUNC_ABORT;
}

static bool login_set(CURL *easy, const struct curl_link_config *config)
{
    if (!config->username) return true;
    char options[32];
    snprintf(options, sizeof options, "AUTH=%s", config->mechanism);
    CURLoption secret =
        strcmp(config->mechanism, "XOAUTH2") == 0 ? CURLOPT_XOAUTH2_BEARER : CURLOPT_PASSWORD;
    bool good = curl_easy_setopt(easy, CURLOPT_USERNAME, config->username) == CURLE_OK;
    good &= curl_easy_setopt(easy, secret, config->password) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_LOGIN_OPTIONS, options) == CURLE_OK;
    return good && curl_easy_setopt(easy, CURLOPT_SASL_IR, 1L) == CURLE_OK;
}

static enum err easy_set(struct curl_link *link, const struct curl_link_config *config)
{
    CURL *easy = link->transfer.easy;
    bool good = curl_easy_setopt(easy, CURLOPT_URL, config->url) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps") == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_USE_SSL, (long)CURLUSESSL_ALL) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_timeout_ms) ==
            CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_line) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_HEADERDATA, link) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_READFUNCTION, nothing_to_send) == CURLE_OK;
    good &= login_set(easy, config);
    return good ? ERR_OK : ERR_NO_MEMORY;
}

enum err curl_link_open(struct curl_link **out, struct curl_loop *loop,
                        const struct curl_link_config *config)
{
    *out = NULL;
    struct curl_link *link = calloc(1, sizeof *link);
    if (!link) return ERR_NO_MEMORY;
    link->line = config->line;
    link->event = config->event;
    link->context = config->context;
    enum err error = curl_transfer_init(&link->transfer, loop, config->ca_file);
    link->transfer.through = on_through;
    if (error == ERR_OK) error = easy_set(link, config);
    if (error == ERR_OK) error = curl_transfer_start(&link->transfer);
    if (error != ERR_OK) {
        curl_transfer_end(&link->transfer);
        free(link);
        return error;
    }
    *out = link;
    return ERR_OK;
}

const char *curl_link_error(const struct curl_link *link)
{
    if (link->code == CURLE_OK) return "the connection's socket cannot be watched";
    return link->transfer.error_text[0] ? link->transfer.error_text
                                        : curl_easy_strerror(link->code);
}

bool curl_link_login_failed(const struct curl_link *link)
{
    return link->code == CURLE_LOGIN_DENIED;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct curl_link *link = handle->data;
    struct curl_loop *loop = link->transfer.loop;
    free(link);
    curl_loop_handle_closed(loop);
}

void curl_link_close(struct curl_link **pointer)
{
    struct curl_link *link = *pointer;
    *pointer = NULL;
    if (!link) return;
    if (link->polls) {
        uv_poll_stop(&link->poll);
        uv_close((uv_handle_t *)&link->poll, on_poll_closed);
    }
    curl_transfer_end(&link->transfer);
    if (!link->polls) free(link);
}
