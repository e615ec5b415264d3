/* The calls under /v1/keys. Loop thread; handlers of the routing table. */
#ifndef KEYMETER_API_KEYS_H
#define KEYMETER_API_KEYS_H

#include "io/http.h"

MUST_USE struct verdict handle_key_create(struct http_request *request);
MUST_USE struct verdict handle_keys_list(struct http_request *request);
MUST_USE struct verdict handle_key_get(struct http_request *request);
MUST_USE struct verdict handle_key_patch(struct http_request *request);
MUST_USE struct verdict handle_key_delete(struct http_request *request);
MUST_USE struct verdict handle_key_lookup(struct http_request *request);
MUST_USE struct verdict handle_key_rotate(struct http_request *request);
MUST_USE struct verdict handle_key_end_overlap(struct http_request *request);
MUST_USE struct verdict handle_key_postpone(struct http_request *request);
MUST_USE struct verdict handle_key_resend_claim(struct http_request *request);
MUST_USE struct verdict handle_key_regenerate(struct http_request *request);
MUST_USE struct verdict handle_key_revoke(struct http_request *request);
MUST_USE struct verdict handle_key_disable(struct http_request *request);
MUST_USE struct verdict handle_key_enable(struct http_request *request);

#endif
