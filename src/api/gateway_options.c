/* Reading gateway options from the query or the `~` segment; see the header for which counts. */
#include "api/gateway_options.h"

#include "base/codec.h"
#include "core/permission.h"

enum { COST_MAX = 1000000 };
#define GATEWAY_PATH "/v1/gateway"

struct seen {
    struct gateway_options *options;
    bool permissions, cost, deny, problem;
    const char *wrong;
};

static enum err option_wrong(struct seen *seen, const char *why)
{
    seen->wrong = why;
    return ERR_INVALID;
}

static enum err option_set(struct span name, struct span value, void *context)
{
    struct seen *seen = context;
    if (span_is(name, "cost")) {
        if (seen->cost) return option_wrong(seen, "The option cost stands twice.");
        seen->cost = true;
        if (!u64_parse(value, COST_MAX, &seen->options->cost))
            return option_wrong(seen, "The option cost must be a whole number from 0 to 1000000.");
        return ERR_OK;
    }
    if (span_is(name, "permissions")) {
        if (seen->permissions) return option_wrong(seen, "The option permissions stands twice.");
        seen->permissions = true;
        if (!permissions_valid(value))
            return option_wrong(seen, "The option permissions must be names joined by commas.");
        seen->options->permissions = value;
        return ERR_OK;
    }
    if (span_is(name, "deny")) {
        if (seen->deny) return option_wrong(seen, "The option deny stands twice.");
        seen->deny = true;
        if (!span_is(value, "403")) return option_wrong(seen, "The option deny takes only 403.");
        seen->options->deny_403 = true;
        return ERR_OK;
    }
    if (span_is(name, "problem")) {
        if (seen->problem) return option_wrong(seen, "The option problem stands twice.");
        seen->problem = true;
        if (!span_is(value, "header"))
            return option_wrong(seen, "The option problem takes only header.");
        seen->options->problem_header = true;
        return ERR_OK;
    }
    return option_wrong(seen, "Unknown option: there are cost, permissions, deny and problem.");
}

/* "cost=2;permissions=a,b" */
static enum err segment_read(struct span segment, struct seen *seen)
{
    while (segment.length) {
        const char *semicolon = memchr(segment.data, ';', segment.length);
        size_t length = semicolon ? (size_t)(semicolon - segment.data) : segment.length;
        const char *equals = memchr(segment.data, '=', length);
        if (!equals) return option_wrong(seen, "An option is written name=value.");
        size_t name_length = (size_t)(equals - segment.data);
        enum err error = option_set(span_of(segment.data, name_length),
                                    span_of(equals + 1, length - name_length - 1), seen);
        if (error) return error;
        size_t used = semicolon ? length + 1 : length;
        segment = span_of(segment.data + used, segment.length - used);
    }
    return ERR_OK;
}

enum err gateway_options_read(struct http_request *request, struct gateway_options *options,
                              const char **wrong)
{
    *options = (struct gateway_options){.cost = 1};
    *wrong = NULL;
    struct seen seen = {.options = options};
    struct span path = request->path;
    if (!span_starts(path, GATEWAY_PATH)) return ERR_NOT_FOUND;
    struct span rest =
        span_of(path.data + sizeof GATEWAY_PATH - 1, path.length - (sizeof GATEWAY_PATH - 1));
    if (rest.length && rest.data[0] != '/') return ERR_NOT_FOUND;
    enum err error = ERR_OK;
    if (!rest.length) {
        if (request->query.length) error = http_query_each(request, option_set, &seen);
        if (error && !seen.wrong) seen.wrong = "The query is malformed.";
    } else if (rest.length > 1 && rest.data[1] == '~') {
        const char *slash = memchr(rest.data + 2, '/', rest.length - 2);
        size_t length = slash ? (size_t)(slash - rest.data) - 2 : rest.length - 2;
        error = segment_read(span_of(rest.data + 2, length), &seen);
    }
    *wrong = seen.wrong;
    return error ? ERR_INVALID : ERR_OK;
}
