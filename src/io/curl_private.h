/* What curl_loop.c gives those who let libcurl work on the loop: curl_call.c (HTTP exchanges) and
 * curl_link.c (connections spoken over by their owner). Loop thread only. */
#ifndef KEYMETER_IO_CURL_PRIVATE_H
#define KEYMETER_IO_CURL_PRIVATE_H

#include "base/list.h"
#include "io/curl_loop.h"

#include <curl/curl.h>
#include <uv.h>

struct curl_loop {
    uv_loop_t *uv;
    CURLM *multi;
    uv_timer_t timer;
    struct list transfers;
    unsigned handles; /* of uv, not yet closed: the timer, sockets' polls, links' polls */
    bool stopping;
    void (*closed)(void *context);
    void *closed_context;
};

/* One easy handle that libcurl works on. A member of what its owner keeps. */
struct curl_transfer {
    struct list link;
    struct curl_loop *loop;
    CURL *easy;
    char error_text[CURL_ERROR_SIZE];
    /* libcurl is through with it. With ERR_CLOSED the loop stops, code says nothing, and the
     * transfer must be ended before this returns. Otherwise when its owner likes. */
    void (*through)(struct curl_transfer *transfer, enum err error, CURLcode code);
};

/* A handle with what holds for all: no signals, no proxy, peer and host verified, TLS 1.2 at least,
 * and trust in ca_file alone where there is one (NULL: the system's). ERR_NO_MEMORY. To be given to
 * curl_transfer_end in any case. */
MUST_USE enum err curl_transfer_init(struct curl_transfer *transfer, struct curl_loop *loop,
                                     const char *ca_file);
/* Hands it to libcurl, which only begins: `through` is never called inside. */
MUST_USE enum err curl_transfer_start(struct curl_transfer *transfer);
/* Takes it from libcurl, wherever it stands, and frees the handle. Once more is harmless. */
void curl_transfer_end(struct curl_transfer *transfer);

/* A handle of uv that curl_loop_stop is to wait for, and its closing. */
void curl_loop_handle_opened(struct curl_loop *loop);
void curl_loop_handle_closed(struct curl_loop *loop);

#endif
