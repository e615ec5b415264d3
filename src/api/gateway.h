/* `/v1/gateway`: the answer that nginx auth_request, forward_auth and ext_authz ask for (contract,
 * "Gateway"). Loop thread. */
#ifndef KEYMETER_API_GATEWAY_H
#define KEYMETER_API_GATEWAY_H

#include "io/http.h"

/* The whole of the gateway listener; any method. */
struct verdict gateway_handle(struct http_request *request);

#endif
