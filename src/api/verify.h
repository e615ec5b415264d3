/* `POST /v1/verify` (contract, "Verification"). Loop thread. */
#ifndef KEYMETER_API_VERIFY_H
#define KEYMETER_API_VERIFY_H

#include "io/http.h"

struct verdict handle_verify(struct http_request *request);

#endif
