/* The routing of the management listener: one table of all its calls with the scope of each. Loop
 * thread. docs/scopes.md and docs/openapi.yaml follow it; tests compare them. */
#ifndef KEYMETER_API_ROUTES_H
#define KEYMETER_API_ROUTES_H

#include "io/http.h"

/* http_listen_config.handler of the api listener: route, then token and scope, then the handler. */
MUST_USE struct verdict api_handle(struct http_request *request);
/* The handler of the public listener: only what customers may call without a service token. */
MUST_USE struct verdict public_handle(struct http_request *request);
/* For api/inner_call.h: the handler of a call, for the request's caller; `whose` as there. */
MUST_USE struct verdict api_inner(struct http_request *request, struct span whose);
/* http_listen_config.body_limit: 64 KiB. */
size_t api_body_limit(const struct http_request *request);

#endif
