/* `/livez`, `/readyz`: for probes, without a token. Loop thread. */
#ifndef KEYMETER_API_HEALTH_H
#define KEYMETER_API_HEALTH_H

#include "io/http.h"

/* 200 as long as the loop turns; never asks the database. */
struct verdict handle_livez(struct http_request *request);
/* 200 when calls can be verified; 503 with the reason while starting, cut off or draining. */
struct verdict handle_readyz(struct http_request *request);

#endif
