/* The thin HTTP/1.1 server (RFC 9112) on libuv and llhttp. Loop thread only.
 *
 * A handler gets a request whose body has arrived whole and returns a `struct verdict`, which only
 * http_reply and http_pending can make, so that a path cannot forget to answer. A pending request
 * is answered later, exactly once, by http_finish. When the client has gone meanwhile the request
 * stays valid until http_finish, which then only frees it. */
#ifndef KEYMETER_IO_HTTP_H
#define KEYMETER_IO_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>
#include <sys/socket.h>

struct uv_loop_s;
struct http_server;
struct http_request;
struct http_route;

enum http_method {
    HTTP_M_GET,
    HTTP_M_HEAD,
    HTTP_M_POST,
    HTTP_M_PUT,
    HTTP_M_PATCH,
    HTTP_M_DELETE,
    HTTP_M_OPTIONS,
    HTTP_M_OTHER
};

struct verdict {
    struct http_request *request;
    int made;
};

/* An answer under construction. Zero it, set status, add headers, write the body. */
struct http_response {
    int status;
    const char *content_type;  /* NULL: no Content-Type */
    const char *cache_control; /* NULL: no-store */
    struct span headers;       /* further header lines, each "Name: value\r\n"; must be clean */
    struct span body;
    bool close; /* Connection: close after it */
};

struct http_header {
    struct span name, value;
};

/* What a handler may read. Spans live until http_finish. */
struct http_request {
    enum http_method method;
    struct span method_text;
    struct span target; /* as sent */
    struct span path;   /* up to '?', not percent-decoded */
    struct span query;  /* behind '?', may be empty */
    const struct http_header *headers;
    size_t header_count;
    struct span body;
    struct arena arena;           /* dies with the request */
    struct sockaddr_storage peer; /* AF_UNIX on a Unix socket */
    void *listener_context;       /* from http_listen */
    char request_id[65]; /* echoed X-Request-Id (at most 64 of [A-Za-z0-9._-]) or a fresh one */
    int64_t started_us;  /* clock_mono_us when the head was complete */
    /* the router's: */
    struct span path_arguments[4];
    const struct http_route *route; /* that the routing found; NULL: none */
    void *user;                     /* the handler's own, NULL at first */
    /* A pending request's answer is first given to `hold`, once: true keeps it back (what it points
     * to lives only until hold returns), and http_finish is called again later. NULL at first. */
    bool (*hold)(struct http_request *request, const struct http_response *response);
    void *hold_context;
};

/* The value of the first header of that name (case-insensitive), empty data==NULL when absent. */
struct span http_header(const struct http_request *request, const char *name);
/* How many headers have that name. */
size_t http_header_count(const struct http_request *request, const char *name);

/* Every answer gets Date, Content-Length, X-Request-Id, Cache-Control by the server.
 *
 * A request that is pending may be handed to a handler later, from the loop (its token had to be
 * looked up first): on it http_reply answers as http_finish does, and http_pending changes nothing.
 */
MUST_USE struct verdict http_reply(struct http_request *request,
                                   const struct http_response *response);
MUST_USE struct verdict http_pending(struct http_request *request);
void http_finish(struct http_request *request, const struct http_response *response);
/* When the request is still pending after that time (up to 250 ms later), late(request) is called;
 * it may answer with http_answer_early. The request stays valid until http_finish as if its client
 * had gone. */
void http_answer_by(struct http_request *request, unsigned after_ms,
                    void (*late)(struct http_request *request));
void http_answer_early(struct http_request *request, const struct http_response *response);

typedef struct verdict http_handler(struct http_request *request);

/* A zero stands for the default. Deadlines end up to 250 ms late; head and body count from their
 * first byte, write from the last byte the client took. */
struct http_limits {
    size_t head_bytes;  /* 16384 (gateway 32768); more: 431 */
    size_t headers;     /* 64 (gateway 100); more: 431 */
    size_t body_bytes;  /* 65536 decoded; `body_limit` may raise it by path; more: 413 */
    unsigned pipelined; /* requests in flight on a connection, then reads stop: 8 */
    unsigned head_timeout_ms, body_timeout_ms;  /* 10 s, 30 s; then 408 */
    unsigned idle_timeout_ms, write_timeout_ms; /* 75 s, 30 s */
    unsigned connections;             /* open ones of the whole server: 10000; more: 503 */
    unsigned connections_per_address; /* 1000 (IPv6: per /64), on loopback without end */
};

struct http_listen_config {
    const char *address;  /* "127.0.0.1:7070", "[::1]:0", "unix:/run/x.sock" or "/run/x.sock" */
    bool allow_cleartext; /* else a TCP address beyond loopback is refused (ERR_INVALID) */
    bool reuse_port;
    struct http_limits limits; /* zeros: defaults for `api` */
    http_handler *handler;
    /* Answers that the server makes by itself (400, 408, 413, 431, 503) get their body from here:
     * problem+json for the status; may be NULL (empty body). */
    void (*error_body)(int status, const char *request_id, struct buf *out);
    size_t (*body_limit)(const struct http_request *request); /* bytes; may be NULL */
    /* Called once a request, when its answer is made; its client may have gone. May be NULL. */
    void (*answered)(const struct http_request *request, int status);
    const char *name; /* for the statistics; a literal */
    void *context;    /* becomes request->listener_context */
};

/* Sets SIGPIPE to be ignored for the process: a client may go at any time. */
MUST_USE enum err http_server_new(struct http_server **out, struct uv_loop_s *loop);
/* Starts listening. *error_text (static or in the server) says what is wrong on failure. bound
 * (size 128) gets "127.0.0.1:41234" or the socket's path. */
MUST_USE enum err http_listen(struct http_server *server, const struct http_listen_config *config,
                              char bound[128], const char **error_text);
/* Graceful: stops accepting, answers what is in flight with Connection: close, closes idle
 * connections, everything at the deadline; then closed(context) on the loop, and the memory is
 * freed. */
void http_server_stop(struct http_server *server, unsigned deadline_ms,
                      void (*closed)(void *context), void *context);

struct http_server_stats {
    uint64_t accepted, refused, requests, bad_requests;
    unsigned open;
};
struct http_listener_stats {
    const char *name;
    uint64_t answers[6]; /* sent, by status / 100 */
    unsigned open;       /* connections */
};
/* By the order of http_listen; false: there is none. */
bool http_server_get_listener(const struct http_server *server, unsigned at,
                              struct http_listener_stats *stats);
void http_server_get_stats(const struct http_server *server, struct http_server_stats *stats);

/* Percent-decoded value of a query parameter, in the request's arena. Data NULL when absent.
 * ERR_INVALID: malformed escape, NUL byte, or the name stands twice. */
MUST_USE enum err http_query(struct http_request *request, const char *name, struct span *value);
/* Calls each(name, value, context) for each parameter, decoded; for finding unknown ones. */
MUST_USE enum err http_query_each(struct http_request *request,
                                  enum err (*each)(struct span name, struct span value,
                                                   void *context),
                                  void *context);
/* The same for the body of an HTML form. */
MUST_USE enum err http_form_each(struct http_request *request, struct span text,
                                 enum err (*each)(struct span, struct span, void *), void *context);
#include "io/router.h" /* needs the types above */

#endif
