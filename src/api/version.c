/* Versions on the wire. Called by the calls of keys, customers and tiers on the loop thread. What
 * always holds: a precondition that cannot be read is refused, never passed over. */
#include "api/version.h"

#include "base/json.h"

bool precondition_read(struct http_request *request, struct precondition *out,
                       struct problem *problem)
{
    struct span match = http_header(request, "if-match");
    struct span none = http_header(request, "if-none-match");
    *out = (struct precondition){0};
    if (http_header_count(request, "if-match") > 1 ||
        http_header_count(request, "if-none-match") > 1) {
        enum err denied =
            problem_set(problem, 400, "bad_request", "A precondition's header stands twice.");
        (void)denied;
        return false;
    }
    if (none.data && !span_is(none, "*")) {
        problem_add_field(problem, "header.if-none-match", "must be *");
        return false;
    }
    out->if_none = none.data != NULL;
    if (!match.data) return true;
    out->if_match = arena_copy(&request->arena, match);
    if (out->if_match) return true;
    enum err denied = problem_set(problem, 503, "unavailable", "There is no memory; try again.");
    (void)denied;
    return false;
}

void finish_json_version(struct http_request *request, int status, struct buf *json,
                         int64_t version)
{
    char tag[VERSION_TAG_SIZE], line[VERSION_TAG_SIZE + 16];
    if (!version || json->failed) {
        finish_json(request, status, json);
        return;
    }
    version_tag(tag, version);
    snprintf(line, sizeof line, "ETag: %s\r\n", tag);
    struct http_response response = {.status = status,
                                     .content_type = "application/json",
                                     .headers = span_text(line),
                                     .body = buf_span(json)};
    http_finish(request, &response);
    json_wipe(json);
}
