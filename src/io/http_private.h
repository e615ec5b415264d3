/* Connections, listeners and the server, as the files of the HTTP server share them. Nobody else
 * includes this. The requests in flight on a connection are io/http_exchange.h. */
#ifndef KEYMETER_IO_HTTP_PRIVATE_H
#define KEYMETER_IO_HTTP_PRIVATE_H

#include "base/list.h"
#include "io/http_address.h"
#include "io/http_exchange.h"
#include "io/http_scan.h"
#include "io/http_server.h"

#include <llhttp.h>
#include <stdbool.h>
#include <uv.h>

enum {
    HTTP_READ_SIZE = 65536,   /* one read; the buffer is shared by all connections */
    HTTP_OUTPUT_HIGH = 16384, /* unsent answer bytes at which a connection stops reading */
    HTTP_SEND_BUFFER = 65536  /* the kernel's, of a connection: else it takes megabytes of a client
                               * that does not read, and the loop spends its time filling them */
};

/* HEAD: between requests or in a head. BODY: the last exchange is READING. DEAF: nothing more is
 * taken. LINGERING: our side is shut, the rest is read and dropped. CLOSED: uv_close was called. */
enum connection_phase {
    CONNECTION_HEAD,
    CONNECTION_BODY,
    CONNECTION_DEAF,
    CONNECTION_LINGERING,
    CONNECTION_CLOSED
};

enum http_timer { TIMER_HEAD, TIMER_BODY, TIMER_IDLE, TIMER_WRITE, TIMER_LINGER, TIMER_NONE };

struct http_connection {
    struct list link;  /* server->connections */
    struct list dirty; /* server->dirty: has answers that were not flushed */
    struct list timed; /* listener->timers[timer], in the order of deadlines */
    enum http_timer timer;
    uint64_t deadline_ms; /* uv_now */
    struct http_server *server;
    struct http_listener *listener;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    enum connection_phase phase;
    bool busy;             /* inside http_connection_pump */
    bool reading, writing; /* uv_read_start is on; uv_write has `sending` */
    bool ended;            /* the peer has shut its side */
    bool ending;           /* close as soon as the output is out */
    bool had_a_request;    /* then waiting for the next one is idleness, not a slow head */
    bool counted, refused; /* in the address table; over a cap, so in server->refusing */
    struct list exchanges;
    unsigned in_flight;
    struct buf input; /* what could not be taken yet */
    struct http_scan scan;
    struct http_chunk_scan chunks;
    llhttp_t parser;
    struct buf out, sending;
    size_t queued, lingered;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct sockaddr_storage peer;
};

struct http_listener {
    struct list link;
    struct http_server *server;
    struct http_listen_config config; /* its address is not kept */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    struct list timers[TIMER_NONE];
    uint64_t answers[6]; /* sent, by status / 100 */
    unsigned open;       /* connections */
    char path[108];      /* of a Unix socket, else empty */
    uint64_t device, inode;
    bool stalled; /* no memory to accept with: the sweep tries again */
};

struct http_server {
    uv_loop_t *loop;
    struct list listeners, connections, dirty, orphans, pool, awaited;
    unsigned pooled, refusing;
    uv_timer_t sweep, drain;
    uv_prepare_t prepare; /* both flush what was answered since: before and after the poll, so */
    uv_check_t check;     /* whichever callback answered, it goes out before the loop sleeps */
    unsigned handles;     /* not yet closed */
    bool stopping;
    void (*closed)(void *context);
    void *closed_context;
    struct address_table *addresses;
    struct http_server_stats stats;
    uint64_t id_seed, id_count;
    uint64_t date_until_ms; /* uv_now */
    char date[40];          /* "Date: …\r\n" */
    char error_text[320];
    char read_buffer[HTTP_READ_SIZE];
};

/* http_connection.c */
void http_connection_accept(struct http_listener *listener);
void http_connection_pump(struct http_connection *connection, struct span fresh);
void http_connection_answered(struct http_connection *connection);
void http_connection_timeout(struct http_connection *connection);
void http_connection_settle(struct http_connection *connection);
void http_connection_close(struct http_connection *connection);

/* http_server.c */
void http_server_handle_closed(struct http_server *server);
const char *http_server_date(struct http_server *server);

#endif
