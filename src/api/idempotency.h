/* The Idempotency-Key header, and answers that can be given again. Loop thread. */
#ifndef KEYMETER_API_IDEMPOTENCY_H
#define KEYMETER_API_IDEMPOTENCY_H

#include "io/http.h"
#include "service/operation.h"

enum { IDEMPOTENCY_KEY_MAX = 255, IDEMPOTENCY_KEY_MIN = 1, IDEMPOTENCY_KEY_MIN_SECRET = 16 };

/* Runs the handler, once for each Idempotency-Key of at least key_min characters, or answers as it
 * was answered then. Without the header: plainly the handler. Behind the token's check. */
MUST_USE struct verdict idempotency_run(struct http_request *request, http_handler *handler,
                                        size_t key_min);
/* The same for the holder of a claim link, who has no token: behind a look that found the link. The
 * answer is kept for IDEMPOTENCY_CLAIM_KEPT_MS. `link` is borrowed from the request. */
MUST_USE struct verdict idempotency_run_link(struct http_request *request, http_handler *handler,
                                             struct span link);

/* The answer to an operation that has `status` and `write`; a value, so that what it was made of
 * may be freed before it is given:
 *
 *     struct answer answer = answer_take(&change->operation, error);
 *     key_change_done(change);
 *     answer_finish(request, &answer); */
struct answer {
    enum err error;
    struct problem problem;
    int status;
    int64_t version; /* for the ETag; 0: none */
    struct buf body;
};
struct answer answer_take(struct operation *operation, enum err error);
/* Answers the pending request and wipes the body. */
void answer_finish(struct http_request *request, struct answer *answer);

#endif
