/* Matching a path and a method against a table of routes; part of io/http.h. Loop thread. */
#ifndef KEYMETER_IO_ROUTER_H
#define KEYMETER_IO_ROUTER_H

#include "io/http.h"

/* The route table: path patterns like "/v1/keys/{id}/rotate"; {id} fills path_arguments in order.
 */
struct http_route {
    enum http_method method;
    const char *pattern;
    http_handler *handler;
    const void *context; /* the caller's own: request->route->context */
};
struct http_match {
    const struct http_route *route;
    unsigned allowed; /* bit mask of methods */
};
/* route NULL and allowed 0: 404; route NULL and allowed not 0: 405 with http_allow_text(allowed).
 * HEAD is served by a GET route. */
struct http_match http_route_find(const struct http_route *routes, size_t count,
                                  struct http_request *request);
/* "GET, HEAD, PATCH" */
void http_allow_text(unsigned allowed, char out[64]);

#endif
