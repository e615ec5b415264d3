/* What the meter decided goes out only while the caller's token stands: it may have been revoked
 * since the call was let in. Shared by the single and the batch call. Loop thread. */
#ifndef KEYMETER_API_VERIFY_GATE_H
#define KEYMETER_API_VERIFY_GATE_H

#include "base/buf.h"
#include "io/http.h"
#include "service/token_cache.h"

struct verify_gate {
    struct http_request *request;
    uint64_t tokens, token_id; /* token_cache_generation when the caller was let in */
    struct token_look look;
    struct buf answer; /* while the token is looked at again */
};

/* In the handler, before the meter is asked. The gate lives as long as the request. */
void verify_gate_enter(struct verify_gate *gate, struct http_request *request);
/* Answers 200 with that JSON, which is taken over, or 401; at once, or after a look at the token.
 */
void verify_gate_finish(struct verify_gate *gate, struct buf *answer);

#endif
