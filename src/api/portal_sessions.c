/* Links to the portal, for the SaaS's backend. Called by the routing on the loop thread. What
 * always holds: the link's text is in the one answer, the database has its keyed hash, and what a
 * visit may grant to keys stays within the caller's token. */
#include "api/portal_sessions.h"

#include "api/auth.h"
#include "api/idempotency.h"
#include "api/key_json.h"
#include "api/request.h"
#include "base/json.h"
#include "service/context.h"
#include "service/portal.h"

static void link_write(struct operation *operation, struct buf *out)
{
    const struct portal_link *link = CONTAINER_OF(operation, struct portal_link, operation);
    struct buf url CLEANUP(buf_done) = {.wipe = true};
    buf_printf(&url, "%s/portal/open/%s", operation->service->base_url, link->token->text);
    if (url.failed) out->failed = true;
    json_open(out, NULL, '{');
    json_put_text(out, "url", buf_span(&url));
    json_put_time(out, "expires_at", link->expires_at);
    json_close(out, '}');
}

static void link_answer(struct portal_link *link, enum err error)
{
    struct http_request *request = link->operation.request;
    struct answer answer = answer_take(&link->operation, error);
    portal_link_done(link);
    answer_finish(request, &answer);
}

static void may_read(struct fields *fields, unsigned *may)
{
    const char *joined = "";
    enum field result = field_names(fields, "permissions", PORTAL_MAY_COUNT, 32, &joined);
    *may = PORTAL_MAY_ALL;
    if (!field_not_null(fields, "permissions", result) || result != FIELD_SET) return;
    if (!portal_may_parse(joined, may))
        field_wrong(fields, "permissions",
                    "must be some of: create_keys, rotate_keys, disable_keys, revoke_keys, "
                    "edit_encryption, edit_keys");
}

struct verdict handle_portal_session_create(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct portal_link *link = ARENA_NEW(&request->arena, struct portal_link);
    if (!link) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    customer_name_read(&body.fields, &link->customer);
    may_read(&body.fields, &link->may);
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    link->operation.service = request_service(request);
    link->operation.request = request;
    link->operation.token_id = caller_of(request)->token_id;
    link->operation.status = 201;
    link->operation.write = link_write;
    link->within = caller_of(request)->permissions;
    link->done = link_answer;
    enum err error = portal_link_start(link);
    if (!error) return http_pending(request);
    portal_link_done(link);
    return problem_reply_error(request, error, NULL);
}
