/* The options of a gateway call. What must hold: options that are taken are within their bounds,
 * and a refusal says why. Input: the request's target. */
#include "api/gateway_options.h"
#include "core/permission.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span target = span_of(data, size);
    const char *mark = memchr(data, '?', size);
    size_t path = mark ? (size_t)(mark - target.data) : size;
    struct http_request request = {.target = target, .path = span_of(target.data, path)};
    if (mark) request.query = span_of(mark + 1, size - path - 1);
    struct gateway_options options;
    const char *wrong = NULL;
    enum err error = gateway_options_read(&request, &options, &wrong);
    FUZZ_CHECK(error == ERR_OK || error == ERR_INVALID || error == ERR_NOT_FOUND);
    if (error == ERR_OK) {
        FUZZ_CHECK(options.cost <= 1000000 && permissions_valid(options.permissions));
        /* Any other path than the bare one takes no option from the client's own query. */
        if (path > strlen("/v1/gateway") && target.data[path - 1] == '/' && path == 12)
            FUZZ_CHECK(options.cost == 1 && !options.permissions.length && !options.deny_403);
    }
    if (error == ERR_INVALID) FUZZ_CHECK(wrong != NULL && *wrong);
    arena_done(&request.arena);
    return 0;
}
