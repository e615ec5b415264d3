/* Versions on the wire: ETag with what is read, If-Match and If-None-Match with what is changed.
 * Loop thread. */
#ifndef KEYMETER_API_VERSION_H
#define KEYMETER_API_VERSION_H

#include "api/request.h"
#include "service/precondition.h"

/* The headers' wish, in the request's arena. False: the problem is set (400 for two headers of one
 * name, 422 for an If-None-Match other than `*`). */
MUST_USE bool precondition_read(struct http_request *request, struct precondition *out,
                                struct problem *problem);
/* finish_json with an ETag; version 0: without. */
void finish_json_version(struct http_request *request, int status, struct buf *json,
                         int64_t version);

#endif
