/* The options of a gateway call: permissions, cost, deny, problem. They count only where the proxy
 * alone can have written them: in the query of exactly /v1/gateway, or in a first segment `~…`
 * under it, because some proxies append the client's own path and query. Pure parsing, loop thread.
 */
#ifndef KEYMETER_API_GATEWAY_OPTIONS_H
#define KEYMETER_API_GATEWAY_OPTIONS_H

#include "base/compiler.h"
#include "base/err.h"
#include "io/http.h"

struct gateway_options {
    struct span permissions; /* joined by commas */
    uint64_t cost;           /* 1 unless set */
    bool deny_403;           /* every denial as 403, the real status in X-Verify-Status */
    bool problem_header;     /* a denial's problem document as X-Verify-Problem, not as body */
};

/* ERR_NOT_FOUND: not under /v1/gateway. ERR_INVALID: *wrong says which option and why. */
MUST_USE enum err gateway_options_read(struct http_request *request,
                                       struct gateway_options *options, const char **wrong);

#endif
