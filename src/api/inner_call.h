/* A management call that a page makes for whom it shows: the same handler, checks, operation, audit
 * row and answer as over HTTP, without a connection. The request is pending (http_pending) when it
 * starts, and is so again when `done` runs; the caller of api/auth.h that the page has set says
 * what it may. Loop thread. */
#ifndef KEYMETER_API_INNER_CALL_H
#define KEYMETER_API_INNER_CALL_H

#include "io/http.h"

#include <jansson.h>

struct inner_call {
    /* the caller's; texts live as long as the request: */
    enum http_method method;
    const char *path;     /* "/v1/keys" */
    const char *query;    /* encoded; NULL: none */
    struct span body;     /* JSON; data NULL: none */
    struct span once;     /* an Idempotency-Key; empty: none */
    const char *if_match; /* a version that an answer told; NULL: whatever there is */
    bool if_none;         /* only what is not there yet */
    struct span whose;    /* with `once`: whose it is, a text that only they have */
    void (*done)(struct inner_call *call);
    /* results: */
    int status;
    json_t *answer;  /* of a problem too; NULL: no body. Free with inner_call_done */
    int64_t version; /* of what was read, 0: none told */
    bool replayed;   /* `once` was used before: this is the answer of then */
    /* its own: */
    struct http_request *request;
    struct { /* the page's request, meanwhile */
        enum http_method method;
        struct span path, query, body, method_text, arguments[4];
        const struct http_header *headers;
        size_t header_count;
        const struct http_route *route;
    } outer;
};

/* `done` runs exactly once, maybe at once. */
void inner_call_start(struct inner_call *call, struct http_request *request);
/* Frees the answer; a secret in it is wiped. */
void inner_call_done(struct inner_call *call);

#endif
