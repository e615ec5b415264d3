/* libcurl's multi interface driven by libuv (curl_multi_socket_action). Called by curl_call.c and
 * curl_link.c, whose transfers it moves; loop thread only. What always holds: every transfer that
 * was started hears once that it is through, and never inside its start; nobody is waited for. */
#include "io/curl_private.h"

#include <stdlib.h>

enum { CONNECTIONS_MAX = 64 };

/* A socket that libcurl wants to hear of. */
struct watch {
    struct curl_loop *loop;
    uv_poll_t poll;
    curl_socket_t socket;
};

/* ---- transfers ---- */

enum err curl_transfer_init(struct curl_transfer *transfer, struct curl_loop *loop,
                            const char *ca_file)
{
    *transfer = (struct curl_transfer){.loop = loop, .easy = curl_easy_init()};
    list_init(&transfer->link);
    CURL *easy = transfer->easy;
    if (!easy) return ERR_NO_MEMORY;
    bool good = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    /* Else the end of a call whose name does not resolve would wait for the resolver's thread. */
    good &= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    if (ca_file) {
        good &= curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file) == CURLE_OK;
        /* Debian's libcurl looks into /etc/ssl/certs as well unless told not to. */
        good &= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    }
    good &= curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer) == CURLE_OK;
    good &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error_text) == CURLE_OK;
    return good ? ERR_OK : ERR_NO_MEMORY;
}

enum err curl_transfer_start(struct curl_transfer *transfer)
{
    struct curl_loop *loop = transfer->loop;
    if (loop->stopping) return ERR_CLOSED;
    /* It only begins: the timer callback asks the loop to go on. */
    if (curl_multi_add_handle(loop->multi, transfer->easy) != CURLM_OK) return ERR_NO_MEMORY;
    list_append(&loop->transfers, &transfer->link);
    return ERR_OK;
}

void curl_transfer_end(struct curl_transfer *transfer)
{
    if (!transfer->easy) return;
    if (!list_empty(&transfer->link))
        curl_multi_remove_handle(transfer->loop->multi, transfer->easy);
    list_remove(&transfer->link);
    curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
}

/* Tells those that libcurl says are through. They may start further ones. */
static void collect(struct curl_loop *loop)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(loop->multi, &left))) {
        if (message->msg != CURLMSG_DONE) continue;
        struct curl_transfer *transfer = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        transfer->through(transfer, ERR_OK, code);
    }
}

/* ---- libcurl's callbacks and the loop's ---- */

void curl_loop_handle_opened(struct curl_loop *loop)
{
    loop->handles++;
}

void curl_loop_handle_closed(struct curl_loop *loop)
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
    curl_loop_handle_closed(loop);
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
    curl_loop_handle_opened(loop);
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

/* ---- the loop ---- */

enum err curl_loop_new(struct curl_loop **out, struct uv_loop_s *uv)
{
    struct curl_loop *loop = calloc(1, sizeof *loop);
    if (!loop) return ERR_NO_MEMORY;
    loop->uv = uv;
    list_init(&loop->transfers);
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
    curl_loop_handle_closed(handle->data);
}

void curl_loop_stop(struct curl_loop *loop, void (*closed)(void *context), void *context)
{
    loop->stopping = true;
    loop->closed = closed;
    loop->closed_context = context;
    while (!list_empty(&loop->transfers)) {
        struct curl_transfer *transfer =
            CONTAINER_OF(loop->transfers.next, struct curl_transfer, link);
        transfer->through(transfer, ERR_CLOSED, CURLE_OK);
    }
    uv_close((uv_handle_t *)&loop->timer, on_timer_closed);
    curl_multi_cleanup(loop->multi); /* lets go of kept connections and their watches */
}
