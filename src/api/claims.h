/* `POST /v1/claims/reveal` (contract, "Management API"). Loop thread. */
#ifndef KEYMETER_API_CLAIMS_H
#define KEYMETER_API_CLAIMS_H

#include "io/http.h"

MUST_USE struct verdict handle_claim_reveal(struct http_request *request);

#endif
