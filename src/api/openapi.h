/* `/openapi.json`: docs/openapi.yaml as JSON, carried in the binary. Loop thread. */
#ifndef KEYMETER_API_OPENAPI_H
#define KEYMETER_API_OPENAPI_H

#include "io/http.h"

extern const unsigned char openapi_text[];
extern const size_t openapi_text_length;

struct verdict handle_openapi(struct http_request *request);

#endif
