/* `POST /v1/verify/batch` (contract, "Verification"). Loop thread. */
#ifndef KEYMETER_API_VERIFY_BATCH_H
#define KEYMETER_API_VERIFY_BATCH_H

#include "io/http.h"

enum { VERIFY_BATCH_MAX = 1000, VERIFY_BATCH_BODY_MAX = 512 * 1024 };

struct verdict handle_verify_batch(struct http_request *request);

#endif
