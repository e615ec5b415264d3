/* Whether what a change is about still is what its caller saw (RFC 9110, 13.1): a version is the
 * time of the last change, in ms, another one each time; `ETag: "1764317657123"`. */
#ifndef KEYMETER_SERVICE_PRECONDITION_H
#define KEYMETER_SERVICE_PRECONDITION_H

#include "service/problem.h"

#include <stdbool.h>
#include <stdint.h>

enum { VERSION_TAG_SIZE = 24 }; /* with quotes and NUL */

struct precondition {
    const char *if_match; /* the header's text; NULL: none */
    bool if_none;         /* `If-None-Match: *`: only what is not there yet */
};

void version_tag(char out[VERSION_TAG_SIZE], int64_t version);
/* After the row was locked; version 0: there is none. ERR_DENIED: 412 precondition_failed. */
MUST_USE enum err precondition_check(const struct precondition *precondition, int64_t version,
                                     struct problem *problem);
/* The version of a row that is changed now. */
int64_t version_next(int64_t version, int64_t now_ms);

#endif
