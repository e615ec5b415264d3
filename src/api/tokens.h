/* Service tokens: `POST/GET /v1/tokens`, `DELETE /v1/tokens/{id}` (contract, "Management API").
 * Loop thread. */
#ifndef KEYMETER_API_TOKENS_H
#define KEYMETER_API_TOKENS_H

#include "io/http.h"

struct verdict handle_token_create(struct http_request *request);
struct verdict handle_tokens_list(struct http_request *request);
struct verdict handle_token_delete(struct http_request *request);

#endif
