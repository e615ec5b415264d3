/* `GET /v1/tiers`, `GET/PUT /v1/tiers/{slug}` (contract, "Management API"). Loop thread. */
#ifndef KEYMETER_API_TIERS_H
#define KEYMETER_API_TIERS_H

#include "io/http.h"

struct verdict handle_tiers_list(struct http_request *request);
struct verdict handle_tier_get(struct http_request *request);
/* Replaces the tier, or makes it (201). */
struct verdict handle_tier_put(struct http_request *request);

#endif
