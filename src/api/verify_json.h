/* One verify call as JSON, shared by `POST /v1/verify` and `POST /v1/verify/batch`. Loop thread. */
#ifndef KEYMETER_API_VERIFY_JSON_H
#define KEYMETER_API_VERIFY_JSON_H

#include "api/request.h"
#include "service/meter.h"

/* Reads key, cost, permissions and ip, and refuses other fields. *key lives in the request's arena.
 * False: the problem has the errors. */
MUST_USE bool verify_read(struct fields *fields, struct verify_call *call, const char **key);
/* False: the check digits or the form are wrong, so nobody's: the code is NOT_FOUND at once. */
MUST_USE bool verify_hash(const struct http_request *request, const char *key,
                          struct verify_call *call);
/* Tells the log of a key that was refused for what it is. */
void verify_failed_log(const struct http_request *request, const struct verify_call *call,
                       const char *key);
/* {"valid":…,"code":…, …}; inside call->done, or for a call that never reached the meter. */
void verify_write(struct buf *out, const struct verify_call *call, bool metadata);

#endif
