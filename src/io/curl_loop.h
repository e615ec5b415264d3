/* libcurl's multi interface on the loop (curl_multi_socket_action + uv_poll). Loop thread only.
 * HTTP exchanges are here; io/curl_link.h has connections that their owner speaks over. */
#ifndef KEYMETER_IO_CURL_LOOP_H
#define KEYMETER_IO_CURL_LOOP_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>

struct uv_loop_s;
struct curl_loop;

/* One HTTP exchange. Fill, submit; done runs exactly once on the loop, never inside submit. */
struct curl_call {
    const char *url;            /* https, or http to loopback only: anything else ERR_INVALID */
    const char *method;         /* "POST" */
    const char *const *headers; /* NULL-terminated "Name: value" lines, or NULL */
    struct span body;
    const char *ca_file;     /* NULL: the system's */
    const char *unix_socket; /* connect there instead of the url's host; NULL: to the host */
    unsigned timeout_ms;     /* whole exchange; 0: 5000 */
    size_t answer_limit;     /* bytes; 0: 65536. More ends the call with ERR_FULL */
    bool with_head;          /* the answer begins with its status line and headers */
    bool alone;              /* its connection serves no other call and closes with it */
    void (*done)(struct curl_call *call,
                 enum err error); /* ERR_TIMEOUT, ERR_IO, ERR_FULL, ERR_CLOSED */
    /* results: */
    long status;
    struct buf answer; /* the caller frees it with buf_done */
    char error_text[256];
    void *private_data; /* curl_loop's */
};

MUST_USE enum err curl_loop_new(struct curl_loop **out, struct uv_loop_s *loop);
/* No redirects are followed, peer and host are verified, no proxy from the environment. */
MUST_USE enum err curl_loop_submit(struct curl_loop *loop, struct curl_call *call);
/* Ends the calls under way with ERR_CLOSED, then closed(context) on the loop. */
void curl_loop_stop(struct curl_loop *loop, void (*closed)(void *context), void *context);

#endif
