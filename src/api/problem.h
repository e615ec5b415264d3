/* Problems as answers: application/problem+json (RFC 9457). Loop thread. */
#ifndef KEYMETER_API_PROBLEM_H
#define KEYMETER_API_PROBLEM_H

#include "base/buf.h"
#include "io/http.h"
#include "service/problem.h"

enum { PROBLEM_RETRY_AFTER_S = 1 };

/* Answers with the problem: its status, type `urn:keymeter:problem:<code>`, Retry-After, on 401
 * `WWW-Authenticate: Bearer`. */
MUST_USE struct verdict problem_reply(struct http_request *request, const struct problem *problem);
/* The same for a pending request, and nothing to return. */
void problem_finish(struct http_request *request, const struct problem *problem);

/* 503 `unavailable` for a pending request whose work goes on: http_answer_early. */
void problem_answer_early(struct http_request *request, const char *detail);

/* What a client is told of an error that has no problem of its own: ERR_NOT_FOUND 404,
 * ERR_NO_MEMORY, ERR_FULL, ERR_DB_LOST, ERR_DB_UNCERTAIN … 503 `unavailable`, the rest 500
 * `internal`. ERR_DENIED with a problem that is already set leaves it. Always returns ERR_DENIED.
 */
enum err problem_for_error(enum err error, struct problem *problem);

/* problem_for_error, then the answer; `problem` may be NULL or unset. */
MUST_USE struct verdict problem_reply_error(struct http_request *request, enum err error,
                                            struct problem *problem);
void problem_finish_error(struct http_request *request, enum err error, struct problem *problem);

/* 404 `not_found`: `what` is "key", "customer", "token" … */
MUST_USE struct verdict problem_reply_not_found(struct http_request *request, const char *what);

/* 405 `method_not_allowed` with Allow; `allowed` is http_match.allowed. */
MUST_USE struct verdict problem_reply_method(struct http_request *request, unsigned allowed);

/* For http_listen_config.error_body: the body of what the server answers by itself. */
void problem_error_body(int status, const char *request_id, struct buf *out);
/* "Not Found"; the reason phrase of a status. */
const char *problem_title(int status);

#endif
