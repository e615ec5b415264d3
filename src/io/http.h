/* What a handler of the HTTP server sees: requests and answers. Loop thread only. To serve them:
 * io/http_server.h.
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
    const char *actor;              /* the routing's: who asks, where no token does; NULL: nobody */
    const void *standing; /* what they were let in by (service/admin_standing.h), or NULL */
    const char *home;     /* of pages that belong together the first, "admin"; NULL: it is none */
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
