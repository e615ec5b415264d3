/* The thin HTTP/1.1 server (RFC 9112) on libuv and llhttp: listening, limits, statistics. What its
 * handlers see is io/http.h. Loop thread only. */
#ifndef KEYMETER_IO_HTTP_SERVER_H
#define KEYMETER_IO_HTTP_SERVER_H

#include "io/http.h"

struct uv_loop_s;
struct http_server;

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

#endif
