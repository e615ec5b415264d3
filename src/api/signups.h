/* POST /v1/signups. Loop thread. */
#ifndef KEYMETER_API_SIGNUPS_H
#define KEYMETER_API_SIGNUPS_H

#include "io/http.h"

MUST_USE struct verdict handle_signup_create(struct http_request *request);

#endif
