/* `GET /v1/audit` (contract, "Management API"). Loop thread. */
#ifndef KEYMETER_API_AUDIT_H
#define KEYMETER_API_AUDIT_H

#include "io/http.h"

struct verdict handle_audit_list(struct http_request *request);

#endif
