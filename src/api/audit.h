/* `GET /v1/audit`, `GET /v1/audit/verify` (contract, "Management API"). Loop thread. */
#ifndef KEYMETER_API_AUDIT_H
#define KEYMETER_API_AUDIT_H

#include "io/http.h"

struct verdict handle_audit_list(struct http_request *request);
struct verdict handle_audit_verify(struct http_request *request);

#endif
