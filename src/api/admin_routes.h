/* The pages of the dashboard, below /admin on the api listener. Loop thread. */
#ifndef KEYMETER_API_ADMIN_ROUTES_H
#define KEYMETER_API_ADMIN_ROUTES_H

#include "io/http.h"

#include <stdbool.h>

/* Whether the path is the dashboard's. */
bool admin_has(const struct http_request *request);
MUST_USE struct verdict admin_handle(struct http_request *request);

/* The table, for tests: who may what. */
struct admin_route {
    const char *method, *pattern;
    const char *needs; /* "auditor", "support", "admin", "owner", or "" for no session */
};
size_t admin_route_count(void);
struct admin_route admin_route_at(size_t at);

#endif
