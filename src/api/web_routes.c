/* The table of pages, the claim page, and the files that pages load. Called by api/routes.c for
 * what is no call; loop thread. What always holds: opening a page changes nothing, and a static
 * file's name says its content, so that it may be kept for good. */
#include "api/web_routes.h"

#include "api/admin_routes.h"
#include "api/auth.h"
#include "api/dev_mail.h"
#include "api/portal.h"
#include "api/problem.h"
#include "api/web.h"
#include "api/web_brand.h"
#include "api/web_files.h"
#include "conf/settings.h"
#include "service/context.h"

#include <string.h>

/* The token is behind the '#' of the link, which no browser sends: there is nothing to read here.
 */
static struct verdict handle_claim_page(struct http_request *request)
{
    struct web_page page = {.status = 200, .name = "claim", .title = "Your new API key"};
    return web_reply(request, &page);
}

/* Its script reads /openapi.json. */
static struct verdict handle_docs_page(struct http_request *request)
{
    struct web_page page = {.status = 200, .name = "docs", .title = "API reference"};
    return web_reply(request, &page);
}

static const char *content_type(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (strcmp(dot, ".css") == 0) return "text/css; charset=utf-8";
    if (strcmp(dot, ".js") == 0) return "text/javascript; charset=utf-8";
    return "image/svg+xml";
}

static struct verdict not_found(struct http_request *request, const char *what)
{
    struct problem problem = {0};
    enum err denied = problem_set(&problem, 404, "not_found",
                                  "There is nothing at this address. Look at the link again.");
    (void)denied;
    if (web_wants_page(request)) return web_reply_problem(request, &problem, 0);
    return problem_reply_not_found(request, what);
}

/* Kept by caches for good: the name says the content. */
static struct verdict file_reply(struct http_request *request, struct http_response *response)
{
    response->status = 200;
    response->cache_control = "public, max-age=31536000, immutable";
    response->headers = SPAN("Content-Security-Policy: default-src 'none'; sandbox\r\n"
                             "X-Content-Type-Options: nosniff\r\n"
                             "Cross-Origin-Resource-Policy: same-origin\r\n");
    return http_reply(request, response);
}

static struct verdict handle_static(struct http_request *request)
{
    const struct web_file *file = NULL;
    struct span name = span_of(request->path.data + 1, request->path.length - 1);
    for (size_t i = 0; i < web_file_count && !file; i++)
        if (span_is(name, web_files[i].name)) file = &web_files[i];
    if (!file) return not_found(request, "file");
    struct http_response response = {.content_type = content_type(file->name),
                                     .body = span_of(file->text, file->length)};
    return file_reply(request, &response);
}

static struct verdict handle_brand(struct http_request *request)
{
    const struct service *service = request->listener_context;
    struct http_response response = {0};
    if (!web_brand_find(web_get_brand(service->web), request->path_arguments[0], &response))
        return not_found(request, "file");
    return file_reply(request, &response);
}

enum { ANSWER_MS = 5000 };

struct access {
    enum web_side side;
    bool waits; /* for the database: ANSWER_MS at most */
};
static const struct access for_customers = {WEB_ON_PUBLIC, false};
static const struct access for_visitors = {WEB_ON_PUBLIC, true};
static const struct access for_operators = {WEB_ON_API, false};
static const struct access everywhere = {WEB_ON_API | WEB_ON_PUBLIC, false};

static const struct http_route routes[] = {
    {HTTP_M_GET, "/claim", handle_claim_page, &for_customers},
    {HTTP_M_GET, "/portal", handle_portal_overview, &for_visitors},
    {HTTP_M_GET, "/portal/open/{token}", handle_portal_link, &for_visitors},
    {HTTP_M_POST, "/portal/open", handle_portal_open, &for_visitors},
    {HTTP_M_POST, "/portal/sign-out", handle_portal_sign_out, &for_visitors},
    {HTTP_M_GET, "/portal/signed-out", handle_portal_signed_out, &for_visitors},
    {HTTP_M_GET, "/portal/welcome", handle_portal_welcome, &for_visitors},
    {HTTP_M_GET, "/portal/new-key", handle_portal_new_key, &for_visitors},
    {HTTP_M_POST, "/portal/new-key", handle_portal_create_key, &for_visitors},
    {HTTP_M_GET, "/portal/keys/{id}", handle_portal_key, &for_visitors},
    {HTTP_M_GET, "/portal/keys/{id}/edit", handle_portal_edit_page, &for_visitors},
    {HTTP_M_POST, "/portal/keys/{id}/edit", handle_portal_edit, &for_visitors},
    {HTTP_M_GET, "/portal/keys/{id}/{action}", handle_portal_confirm, &for_visitors},
    {HTTP_M_POST, "/portal/keys/{id}/{action}", handle_portal_act, &for_visitors},
    {HTTP_M_GET, "/portal/encryption", handle_portal_encryption, &for_visitors},
    {HTTP_M_POST, "/portal/encryption", handle_portal_encrypt, &for_visitors},
    {HTTP_M_GET, "/portal/notices", handle_portal_notices, &for_visitors},
    {HTTP_M_GET, "/docs", handle_docs_page, &for_operators},
    {HTTP_M_GET, "/dev/mail", handle_dev_mails, &for_operators},
    {HTTP_M_GET, "/dev/mail/{name}", handle_dev_mail, &for_operators},
    {HTTP_M_GET, "/static/{name}", handle_static, &everywhere},
    {HTTP_M_GET, "/brand/{name}", handle_brand, &everywhere},
};

static bool portal_has(const struct http_request *request)
{
    return span_is(request->path, "/portal") || span_starts(request->path, "/portal/");
}

struct verdict web_handle(struct http_request *request, enum web_side side)
{
    const struct service *service = request->listener_context;
    struct http_match match = http_route_find(routes, COUNT_OF(routes), request);
    bool alone = !service->settings->listen.public[0];
    const char *what = side == WEB_ON_API ? "call: see /openapi.json" : "call";
    if (!match.route && side == WEB_ON_API && admin_has(request)) return admin_handle(request);
    if (portal_has(request) && (alone || side == WEB_ON_PUBLIC)) request->home = "portal";
    if (!match.route && match.allowed) {
        struct problem problem = {0};
        enum err denied =
            problem_set(&problem, 405, "method_not_allowed", "This address does not take that.");
        (void)denied;
        if (web_wants_page(request)) return web_reply_problem(request, &problem, match.allowed);
        return problem_reply_method(request, match.allowed);
    }
    if (!match.route) return not_found(request, what);
    const struct access *access = match.route->context;
    if (!((unsigned)access->side & side) && !alone) return not_found(request, what);
    if (access->waits) http_answer_by(request, ANSWER_MS, web_answer_late);
    return auth_none(request, match.route->handler);
}
