/* A management read: one job of service->readers that first checks the caller's token again, reads,
 * and is answered with JSON. Embed it first in what the call needs, in the request's arena. */
#ifndef KEYMETER_API_READING_H
#define KEYMETER_API_READING_H

#include "api/request.h"
#include "io/db_pool.h"

struct reading {
    /* DB thread: SQL, and only this object; memory from `arena`. ERR_DENIED with `problem`. */
    enum err (*run)(struct db *db, struct reading *reading);
    /* Loop: the answer of status 200. */
    void (*write)(struct reading *reading, struct buf *out);
    int64_t version;  /* run sets it, for the ETag (service/precondition.h); 0: none */
    const char *what; /* "key": what ERR_NOT_FOUND says does not exist */
    /* its own: */
    struct db_job job;
    struct http_request *request;
    uint64_t token_id; /* 0: none */
    int64_t now_ms;
    struct arena arena; /* dies when it is answered */
    struct problem problem;
};

/* Sends it off and returns the verdict; fill run, write and what. */
MUST_USE struct verdict reading_submit(struct reading *reading, struct http_request *request);

#endif
