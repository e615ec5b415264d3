/* POST /v1/keys/import. Loop thread; a handler of the routing table. */
#ifndef KEYMETER_API_KEY_IMPORT_H
#define KEYMETER_API_KEY_IMPORT_H

#include "io/http.h"

MUST_USE struct verdict handle_key_import(struct http_request *request);

#endif
