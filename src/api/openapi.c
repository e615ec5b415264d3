/* The contract, served. Called by the routing on the loop thread. What always holds: it is the text
 * that the build took from docs/openapi.json. */
#include "api/openapi.h"

struct verdict handle_openapi(struct http_request *request)
{
    struct http_response response = {.status = 200,
                                     .content_type = "application/json",
                                     .body = span_of(openapi_text, openapi_text_length)};
    return http_reply(request, &response);
}
