/* The route table: which handler serves a method and a path. Called by the api folder's entry
 * handler, on the loop; pure but for the path arguments it writes. The table is walked from its
 * start: about a hundred patterns, most of which differ in their first bytes. Of several patterns
 * that match, the one with the earlier literal segment wins ("/v1/keys/lookup" before
 * "/v1/keys/{id}"), whatever the order of the table. */
#include "io/http.h"

#include <string.h>

enum { ARGUMENTS_MAX = COUNT_OF(((struct http_request *)0)->path_arguments) };

/* How well a path fits: a bit for each segment, set where it is literal, the first highest. */
struct fit {
    uint32_t literal;
    struct span arguments[ARGUMENTS_MAX];
    size_t argument_count;
};

static struct span segment_take(struct span *rest)
{
    const char *slash = memchr(rest->data, '/', rest->length);
    struct span segment = {rest->data, slash ? (size_t)(slash - rest->data) : rest->length};
    size_t used = segment.length + (slash ? 1 : 0);
    *rest = (struct span){rest->data + used, rest->length - used};
    return segment;
}

static bool pattern_fits(const char *pattern, struct span path, struct fit *fit)
{
    struct span left = span_text(pattern);
    uint32_t bit = UINT32_C(1) << 31;
    *fit = (struct fit){0};
    for (;;) {
        bool more = memchr(left.data, '/', left.length) != NULL;
        if (more != (memchr(path.data, '/', path.length) != NULL)) return false;
        struct span want = segment_take(&left), have = segment_take(&path);
        if (want.length >= 2 && want.data[0] == '{') {
            if (have.length == 0 || fit->argument_count == ARGUMENTS_MAX) return false;
            fit->arguments[fit->argument_count++] = have;
        } else if (span_equal(want, have)) {
            fit->literal |= bit;
        } else {
            return false;
        }
        if (!more) return true;
        bit >>= 1;
    }
}

static bool serves(enum http_method route, enum http_method asked)
{
    return route == asked || (asked == HTTP_M_HEAD && route == HTTP_M_GET);
}

struct http_match http_route_find(const struct http_route *routes, size_t count,
                                  struct http_request *request)
{
    struct http_match match = {0};
    uint32_t best = 0;
    struct fit fit;
    if (request->path.length == 0) return match;
    for (size_t i = 0; i < count; i++) {
        if (!pattern_fits(routes[i].pattern, request->path, &fit) || fit.literal < best) continue;
        if (fit.literal > best) match = (struct http_match){0};
        best = fit.literal;
        match.allowed |= 1U << routes[i].method;
        if (routes[i].method == HTTP_M_GET) match.allowed |= 1U << HTTP_M_HEAD;
        /* A HEAD route of its own goes before the GET route that would serve HEAD. */
        if (!serves(routes[i].method, request->method)) continue;
        if (match.route && match.route->method == request->method) continue;
        match.route = &routes[i];
        request->route = match.route;
        memcpy(request->path_arguments, fit.arguments, sizeof fit.arguments);
    }
    return match;
}

void http_allow_text(unsigned allowed, char out[64])
{
    static const char *const names[] = {
        [HTTP_M_GET] = "GET",        [HTTP_M_HEAD] = "HEAD",   [HTTP_M_POST] = "POST",
        [HTTP_M_PUT] = "PUT",        [HTTP_M_PATCH] = "PATCH", [HTTP_M_DELETE] = "DELETE",
        [HTTP_M_OPTIONS] = "OPTIONS"};
    char *at = out;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (!(allowed & 1U << i)) continue;
        if (at != out) at = stpcpy(at, ", ");
        at = stpcpy(at, names[i]);
    }
    *at = '\0';
}
