/* A request on its way through the HTTP server, as the server's files share it. Nobody else
 * includes this.
 *
 * A connection has a queue of exchanges (one a request) in the order they came in. An exchange is
 * READING its body, then HANDLING until the handler has answered, then ANSWERED; answers leave the
 * queue only from its front, so that they go out in order. An exchange whose client has gone, or
 * was answered early, is an orphan of the server until http_finish. */
#ifndef KEYMETER_IO_HTTP_EXCHANGE_H
#define KEYMETER_IO_HTTP_EXCHANGE_H

#include "base/list.h"
#include "io/http.h"

#include <llhttp.h>
#include <stdbool.h>

struct http_connection;
struct http_server;

enum { HTTP_INLINE_HEAD = 2048, HTTP_INLINE_HEADERS = 32 };

enum exchange_state { EXCHANGE_READING, EXCHANGE_HANDLING, EXCHANGE_ANSWERED };

struct http_exchange {
    struct http_request request;
    struct list link;                   /* in a connection, among the orphans, or in the pool */
    struct http_server *server;         /* NULL: gone before its orphan */
    struct http_connection *connection; /* NULL: the client has gone */
    void (*answered)(const struct http_request *request, int status); /* may be NULL */
    enum exchange_state state;
    bool in_handler, keep_alive, old_version, chunked, expects_continue;
    bool head_complete, message_complete; /* llhttp said so */
    bool closes;                          /* the answer says Connection: close */
    bool early;                           /* answered; but http_finish is still to come */
    struct list awaited;                  /* server->awaited: http_answer_by */
    uint64_t answer_by_ms;                /* uv_now */
    void (*late)(struct http_request *request);
    uint64_t content_length;
    size_t body_limit;
    struct buf body, answer; /* answer: only while earlier ones are missing */
    struct http_header *header_slots;
    size_t header_room;
    struct http_header inline_headers[HTTP_INLINE_HEADERS];
    char inline_head[HTTP_INLINE_HEAD];
};

/* http_exchange.c */
struct http_exchange *http_exchange_new(struct http_server *server);
void http_exchange_release(struct http_exchange *exchange); /* to the pool */
void http_exchange_orphan(struct http_exchange *exchange);
void http_exchange_leave(struct http_exchange *exchange); /* its answer went out: released */
void http_exchange_deadlines(struct http_server *server);
void http_exchange_free_all(struct http_server *server); /* pool freed, orphans left alone */
/* Answers with a status of the server's own and closes; the exchange stands in its queue. */
void http_exchange_fail(struct http_exchange *exchange, int status);
void http_exchange_answer(struct http_exchange *exchange, const struct http_response *response);

/* http_parse.c: 0, or the status to refuse with. The head is copied into the exchange. */
MUST_USE int http_parse_head(struct http_exchange *exchange, llhttp_t *parser, struct span head,
                             unsigned lines);
MUST_USE int http_parse_chunked(struct http_exchange *exchange, llhttp_t *parser, struct span raw,
                                bool last);

#endif
