/* Rendering pages. Called by the handlers of pages and by the routing, for errors that a browser
 * shows; loop thread. What always holds: values are escaped, a page is never kept by a cache, and
 * nothing on it, not even a mistake in a template, can load or send anything elsewhere. */
#include "api/web.h"

#include "api/problem.h"
#include "api/web_brand.h"
#include "api/web_files.h"
#include "base/log.h"
#include "conf/settings.h"
#include "service/context.h"
#include "service/mail_house.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES_MAX = 512 * 1024, ROOT_MAX = 16, ROOT_SIZE = 3 * ROOT_MAX + 4 };

/* https://www.w3.org/TR/CSP3: nothing but our own files, no inline script or style, no frame around
 * it; text becomes markup nowhere (Trusted Types). */
#define HEADERS                                                                                    \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action %s; "                        \
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n"         \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "X-Frame-Options: DENY\r\n"                                                                    \
    "X-Robots-Tag: noindex\r\n"                                                                    \
    "Cross-Origin-Opener-Policy: same-origin\r\n"                                                  \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                \
    "Permissions-Policy: camera=(), geolocation=(), microphone=(), payment=(), usb=()\r\n"

struct web {
    struct mail_house house;
    struct web_brand brand;
    json_t *common;              /* what every page may say */
    struct template **templates; /* beside web_files; NULL: a static file */
};

/* ---- start ---- */

static bool common_make(struct web *web)
{
    const struct mail_house *house = &web->house;
    const struct {
        const char *name, *value;
    } all[] = {
        {"product", house->product},   {"support_email", house->support_email},
        {"endpoint", house->endpoint}, {"documentation_url", house->documentation_url},
        {"header", house->header},     {"scheme", house->scheme},
    };
    web->common = json_object();
    for (size_t i = 0; web->common && i < COUNT_OF(all); i++) {
        if (!all[i].value || !all[i].value[0]) continue;
        if (json_object_set_new(web->common, all[i].name, json_string(all[i].value))) return false;
    }
    return web->common && web_brand_add(&web->brand, web->common) == ERR_OK;
}

const struct web_brand *web_get_brand(const struct web *web)
{
    return &web->brand;
}

enum err web_new(struct web **out, const struct settings *settings, char error[TEMPLATE_ERROR_SIZE])
{
    struct web *web = *out = calloc(1, sizeof *web);
    if (!web) return ERR_NO_MEMORY;
    error[0] = '\0';
    mail_house_init(&web->house, settings);
    web->templates = calloc(web_file_count, sizeof(struct template *));
    enum err result = web_brand_init(&web->brand, settings, error);
    if (!result) result = web->templates && common_make(web) ? ERR_OK : ERR_NO_MEMORY;
    for (size_t i = 0; !result && i < web_file_count; i++) {
        const struct web_file *file = &web_files[i];
        if (span_starts(span_text(file->name), "static/")) continue;
        result = template_new(&web->templates[i], file->name, 1, span_of(file->text, file->length),
                              error);
    }
    if (result) web_free(out);
    return result;
}

void web_free(struct web **web)
{
    if (!*web) return;
    for (size_t i = 0; (*web)->templates && i < web_file_count; i++)
        template_free(&(*web)->templates[i]);
    free((*web)->templates);
    json_decref((*web)->common);
    web_brand_done(&(*web)->brand);
    free(*web);
    *web = NULL;
}

/* ---- rendering ---- */

static const struct template *template_find(const struct web *web, const char *name)
{
    for (size_t i = 0; i < web_file_count; i++)
        if (strcmp(web_files[i].name, name) == 0) return web->templates[i];
    return NULL;
}

/* {{> head}} is _head.html */
static const struct template *partial_find(const void *context, struct span name)
{
    char file[64];
    if (name.length > sizeof file - sizeof "_.html") return NULL;
    snprintf(file, sizeof file, "_%.*s.html", (int)name.length, name.data);
    return template_find(context, file);
}

/* The way from the page up to where "static/" and "v1/" stand. */
static void root_of(const struct http_request *request, char up[ROOT_SIZE])
{
    size_t depth = 0;
    for (size_t i = 1; i < request->path.length; i++)
        depth += request->path.data[i] == '/';
    memcpy(up, "./", sizeof "./");
    for (size_t i = 0; i < depth && i < ROOT_MAX; i++)
        memcpy(up + 3 * i, "../", sizeof "../");
}

static enum err page_render(struct http_request *request, const struct web_page *page,
                            struct buf *out, struct template_fault *fault)
{
    const struct service *service = request->listener_context;
    const struct web *web = service->web;
    struct template_options options = {
        .escape = TEMPLATE_HTML, .partial = partial_find, .partials = web};
    char name[64], root[ROOT_SIZE];
    snprintf(name, sizeof name, "%s.html", page->name);
    root_of(request, root);
    const struct template *template = template_find(web, name);
    json_t *context = json_copy(web->common);
    enum err error = ERR_NO_MEMORY;
    if (!template) {
        snprintf(fault->text, sizeof fault->text, "there is no %s", name);
        error = ERR_NOT_FOUND;
    } else if (context && !json_object_set_new(context, "root", json_string(root)) &&
               !json_object_set_new(context, "title", json_string(page->title)) &&
               (!page->context || !json_object_update(context, page->context))) {
        error = template_render(template, context, &options, out, fault);
    }
    json_decref(context);
    return error;
}

/* ERR_OK: the answer, which stands in the two buffers. */
static enum err answer_make(struct http_request *request, const struct web_page *page,
                            struct buf *headers, struct buf *out, struct http_response *response)
{
    struct template_fault fault = {0};
    char methods[64];
    out->limit = PAGE_BYTES_MAX;
    out->wipe = page->wipe;
    enum err error = page_render(request, page, out, &fault);
    json_decref(page->context);
    buf_printf(headers, HEADERS, page->forms ? "'self'" : "'none'");
    buf_add_span(headers, page->headers);
    if (page->status == 405) {
        http_allow_text(page->allowed, methods);
        buf_printf(headers, "Allow: %s\r\n", methods);
    }
    if (!error && (out->failed || headers->failed)) error = ERR_NO_MEMORY;
    if (error)
        log_event(LOG_ERROR, "page_failed", "%s: %s %s", page->name, err_name(error), fault.text);
    *response = (struct http_response){.status = page->status,
                                       .content_type = "text/html; charset=utf-8",
                                       .headers = buf_span(headers),
                                       .body = buf_span(out)};
    return error;
}

struct verdict web_reply(struct http_request *request, const struct web_page *page)
{
    struct buf out CLEANUP(buf_done) = {0};
    struct buf headers CLEANUP(buf_done) = {0};
    struct http_response response;
    enum err error = answer_make(request, page, &headers, &out, &response);
    if (error) return problem_reply_error(request, ERR_DB, NULL);
    return http_reply(request, &response);
}

struct verdict web_redirect(struct http_request *request, const char *to, struct span headers)
{
    struct buf all CLEANUP(buf_done) = {0};
    char root[ROOT_SIZE];
    root_of(request, root);
    buf_printf(&all, "Location: %s%s\r\nReferrer-Policy: no-referrer\r\n", root, to);
    buf_add_span(&all, headers);
    if (all.failed) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    struct http_response response = {.status = 303, .headers = buf_span(&all)};
    return http_reply(request, &response);
}

/* ---- errors ---- */

bool web_wants_page(const struct http_request *request)
{
    const struct service *service = request->listener_context;
    struct span accept = http_header(request, "accept");
    return service->web && !span_starts(request->path, "/v1/") && accept.data &&
           memmem(accept.data, accept.length, "text/html", 9);
}

static struct web_page problem_page(const struct http_request *request,
                                    const struct problem *problem, unsigned allowed)
{
    const char *title = problem->status == 404 ? "Page not found" : problem_title(problem->status);
    return (struct web_page){.status = problem->status,
                             .name = "error",
                             .title = title,
                             .context = json_pack("{s:s, s:s, s:{s:b}}", "detail", problem->detail,
                                                  "request_id", request->request_id, "home",
                                                  request->home ? request->home : "none", true),
                             .allowed = allowed};
}

struct verdict web_reply_problem(struct http_request *request, const struct problem *problem,
                                 unsigned allowed)
{
    struct web_page page = problem_page(request, problem, allowed);
    char retry[48];
    snprintf(retry, sizeof retry, "Retry-After: %u\r\n", problem->retry_after);
    if (problem->retry_after) page.headers = span_text(retry);
    return web_reply(request, &page);
}

struct verdict web_reply_error(struct http_request *request, enum err error,
                               struct problem *problem)
{
    struct problem own = {0};
    if (!problem) problem = &own;
    problem_for_error(error, problem);
    if (problem->status == 500)
        log_event(LOG_ERROR, "request_failed", "%s, request_id %s", err_name(error),
                  request->request_id);
    return web_reply_problem(request, problem, 0);
}

void web_answer_late(struct http_request *request)
{
    struct buf out CLEANUP(buf_done) = {0};
    struct buf headers CLEANUP(buf_done) = {0};
    struct problem problem = {0};
    struct http_response response;
    const char *detail = request->method == HTTP_M_POST
                             ? "The database does not answer. What you asked for may have been "
                               "done or not: look before you ask for it again."
                             : "The database does not answer; try again shortly.";
    enum err denied = problem_set(&problem, 503, "unavailable", "%s", detail);
    struct web_page page = problem_page(request, &problem, 0);
    (void)denied;
    if (answer_make(request, &page, &headers, &out, &response) == ERR_OK)
        http_answer_early(request, &response);
    else
        problem_answer_early(request, detail);
}
