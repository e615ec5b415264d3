/* `GET /v1/keys/{id}/usage`, `GET /v1/customers/{id}/usage` (contract, "Management API"). Loop
 * thread. */
#ifndef KEYMETER_API_USAGE_H
#define KEYMETER_API_USAGE_H

#include "io/http.h"

struct verdict handle_key_usage(struct http_request *request);
struct verdict handle_customer_usage(struct http_request *request);

#endif
