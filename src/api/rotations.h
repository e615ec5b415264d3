/* The calls under /v1/rotations. Loop thread. */
#ifndef KEYMETER_API_ROTATIONS_H
#define KEYMETER_API_ROTATIONS_H

#include "io/http.h"

MUST_USE struct verdict handle_rotations_list(struct http_request *request);
MUST_USE struct verdict handle_rotations_run(struct http_request *request);

#endif
