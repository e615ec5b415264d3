/* Reading what stands around a request's body (path, query, list parameters) and writing plain JSON
 * answers. Called by the handlers, on the loop thread. What always holds: texts handed out live in
 * the request's arena, and a query parameter that a call does not know is refused, so that a typo
 * never passes silently. */
#include "api/request.h"

#include "base/codec.h"
#include "base/json.h"
#include "core/api_key.h"

#include <sodium.h>
#include <stdio.h>

enum { EXTERNAL_ID_MAX = 200 };

struct service *request_service(const struct http_request *request)
{
    return request->listener_context;
}

bool is_key_text(struct span text)
{
    struct api_key_parts parts;
    return api_key_parse(text, &parts);
}

/* ---- the path ---- */

struct span path_text(struct http_request *request, unsigned at)
{
    struct span raw = request->path_arguments[at];
    char *text = arena_alloc(&request->arena, raw.length + 1);
    size_t length = 0;
    for (size_t i = 0; text && i < raw.length; i++) {
        char c = raw.data[i];
        if (c == '%') {
            int high = i + 2 < raw.length ? hex_value(raw.data[i + 1]) : -1;
            int low = i + 2 < raw.length ? hex_value(raw.data[i + 2]) : -1;
            if (high < 0 || low < 0) return (struct span){"", 0};
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (!c) return (struct span){"", 0};
        text[length++] = c;
    }
    return text ? span_of(text, length) : (struct span){"", 0};
}

bool path_id(struct http_request *request, unsigned at, const char *prefix, uint64_t *id)
{
    return id_parse(path_text(request, at), prefix, id);
}

bool customer_ref_parse(struct span text, struct customer_ref *ref)
{
    *ref = (struct customer_ref){.external_id = text};
    if (id_parse(text, "cus", &ref->id)) return true;
    ref->id = 0;
    if (!text.length || text.length > EXTERNAL_ID_MAX || is_key_text(text)) return false;
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == ',') return false;
    return true;
}

/* ---- the query ---- */

struct allowed_names {
    const char *const *names;
    bool paged;
    struct problem *problem;
};

static enum err query_name_check(struct span name, struct span value, void *context)
{
    struct allowed_names *allowed = context;
    if (is_key_text(value))
        problem_add_field(allowed->problem, "query", "must not hold a key or token");
    if (allowed->paged && (span_is(name, "limit") || span_is(name, "cursor"))) return ERR_OK;
    for (size_t i = 0; allowed->names && allowed->names[i]; i++)
        if (span_is(name, allowed->names[i])) return ERR_OK;
    char location[96];
    int shown = name.length > 80 ? 80 : (int)name.length;
    snprintf(location, sizeof location, "query.%.*s", shown, name.data);
    problem_add_field(allowed->problem, location, "is not a parameter of this call");
    return ERR_OK;
}

/* Adds an error when the parameter is malformed or stands twice. */
static struct span query_read(struct http_request *request, const char *name,
                              struct problem *problem)
{
    struct span value = {0};
    if (http_query(request, name, &value) == ERR_OK) return value;
    char location[96];
    snprintf(location, sizeof location, "query.%.80s", name);
    problem_add_field(problem, location, "is malformed or stands twice");
    return (struct span){0};
}

static void query_check(struct http_request *request, struct allowed_names *allowed)
{
    if (http_query_each(request, query_name_check, allowed) != ERR_OK)
        problem_add_field(allowed->problem, "query", "is malformed: check its percent-escapes");
    for (size_t i = 0; allowed->names && allowed->names[i]; i++)
        query_read(request, allowed->names[i], allowed->problem);
}

bool query_only(struct http_request *request, const char *const *names, struct problem *problem)
{
    struct allowed_names allowed = {.names = names, .problem = problem};
    query_check(request, &allowed);
    return problem->field_count == 0;
}

bool page_read(struct http_request *request, const char *const *others, struct page *page,
               struct problem *problem)
{
    *page = (struct page){.limit = PAGE_LIMIT_DEFAULT};
    struct allowed_names allowed = {.names = others, .paged = true, .problem = problem};
    query_check(request, &allowed);
    struct span limit = query_read(request, "limit", problem);
    uint64_t number = PAGE_LIMIT_DEFAULT;
    if (limit.data && (!u64_parse(limit, PAGE_LIMIT_MAX, &number) || number < 1))
        problem_add_field(problem, "query.limit", "must be a whole number from 1 to %d",
                          PAGE_LIMIT_MAX);
    page->limit = (unsigned)number;
    struct span cursor = query_read(request, "cursor", problem);
    if (cursor.data && (!id_parse(cursor, "cur", &page->before) || !page->before))
        problem_add_field(problem, "query.cursor",
                          "must be the next_cursor of an earlier answer, unchanged");
    return problem->field_count == 0;
}

void page_order_read(struct http_request *request, struct page *page, struct problem *problem)
{
    struct span order = query_text(request, "order");
    page->oldest = order.data && span_is(order, "oldest");
    if (order.data && !page->oldest && !span_is(order, "newest"))
        problem_add_field(problem, "query.order", "must be newest or oldest");
}

struct span query_text(struct http_request *request, const char *name)
{
    struct span value = {0};
    if (http_query(request, name, &value) != ERR_OK) return (struct span){0};
    return value;
}

void page_begin(struct buf *out)
{
    json_open(out, NULL, '{');
    json_open(out, "data", '[');
}

void page_end(struct buf *out, uint64_t last)
{
    json_close(out, ']');
    char cursor[ID_TEXT_SIZE];
    if (last) id_format(cursor, "cur", last);
    json_put_string(out, "next_cursor", last ? cursor : NULL);
    json_close(out, '}');
}

/* ---- answers ---- */

static struct http_response json_response(int status, const struct buf *json)
{
    return (struct http_response){
        .status = status, .content_type = "application/json", .body = buf_span(json)};
}

/* An answer may show a new secret once: nothing of it stays in freed memory. */
void json_wipe(struct buf *json)
{
    if (json->data) sodium_memzero(json->data, json->capacity);
    buf_done(json);
}

struct verdict reply_json(struct http_request *request, int status, struct buf *json)
{
    struct verdict verdict;
    if (json->failed) {
        verdict = problem_reply_error(request, ERR_NO_MEMORY, NULL);
    } else {
        struct http_response response = json_response(status, json);
        verdict = http_reply(request, &response);
    }
    json_wipe(json);
    return verdict;
}

void finish_json(struct http_request *request, int status, struct buf *json)
{
    if (json->failed) {
        problem_finish_error(request, ERR_NO_MEMORY, NULL);
    } else {
        struct http_response response = json_response(status, json);
        http_finish(request, &response);
    }
    json_wipe(json);
}

void finish_empty(struct http_request *request, int status)
{
    struct http_response response = {.status = status};
    http_finish(request, &response);
}
