/* POST /v1/portal-sessions: the link by which a customer comes to the portal. Loop thread. */
#ifndef KEYMETER_API_PORTAL_SESSIONS_H
#define KEYMETER_API_PORTAL_SESSIONS_H

#include "io/http.h"

MUST_USE struct verdict handle_portal_session_create(struct http_request *request);

#endif
