/* The list of keys and the page of a key. Called by the routing of the dashboard on the loop
 * thread. What always holds: both are GET forms and links alone, so that every search and every
 * page of a list has an address; what a key may be done with is shown to whom may do it. */
#include "api/admin.h"
#include "api/admin_chart.h"
#include "api/admin_filters.h"
#include "api/admin_key_forms.h"
#include "api/admin_names.h"
#include "api/request.h"
#include "service/context.h"

#include <string.h>

/* ---- the list ---- */

static const char *const statuses[] = {
    "",          "Any status", "active",  "Active",  "rotating", "Rotating", "disabled", "Disabled",
    "suspended", "Suspended",  "expired", "Expired", "revoked",  "Revoked",  NULL};

/* "" and one for each tier that the part "tiers" has. */
json_t *admin_tier_options(const struct admin_page *page, const char *any, const char *selected)
{
    json_t *list = json_array(), *tier;
    size_t index;
    if (any && json_array_append_new(
                   list, json_pack("{s:s, s:s, s:b}", "value", "", "name", any, "selected", false)))
        return list;
    json_array_foreach(json_object_get(json_object_get(page->context, "tiers"), "data"), index,
                       tier)
    {
        const char *slug = json_string_value(json_object_get(tier, "slug"));
        const char *name = json_string_value(json_object_get(tier, "name"));
        if (!slug || !name) continue;
        bool paid = json_is_true(json_object_get(tier, "requires_payment"));
        if (json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:b, s:b}", "value", slug, "name", name,
                                            "selected", strcmp(slug, selected) == 0, "paid", paid)))
            break;
    }
    return list;
}

static const char *const filters[] = {"q", "status", "tier", "customer_id", "order", NULL};

/* To rotating those that the list shows, where they can be rotated. */
static void rotate_link(struct admin_page *page)
{
    static const char *const names[] = {"q", "tier", "customer_id"};
    struct http_request *request = page->request;
    struct buf query CLEANUP(buf_done) = {0};
    const char *status = admin_query(request, "status");
    if (*status && strcmp(status, "active") != 0) return;
    buf_add_text(&query, "age=0");
    for (size_t i = 0; i < COUNT_OF(names); i++)
        admin_query_put(&query, names[i], admin_query(request, names[i]));
    if (!query.failed) admin_page_set(page, "these", json_stringn(query.data, query.length));
}

static void keys_finish(struct admin_page *page)
{
    struct http_request *request = page->request;
    admin_filters_set(page, "keys", filters);
    admin_page_set(page, "statuses", admin_options(statuses, admin_query(request, "status")));
    admin_page_set(page, "tier_options",
                   admin_tier_options(page, "Any tier", admin_query(request, "tier")));
    rotate_link(page);
    admin_names_finish(page);
}

struct verdict handle_admin_keys(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_keys", "Keys", "keys");
    if (!page) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    admin_filters_ask(page, "keys", "/v1/keys", 25, filters);
    admin_page_part(page, "tiers", "/v1/tiers", "limit=200");
    page->own = (void *)(uintptr_t) "keys";
    page->finish = keys_finish;
    return admin_page_run(page);
}

/* ---- a key ---- */

static json_t *limit_named(const json_t *limits, const json_t *name)
{
    json_t *limit;
    size_t index;
    json_array_foreach(limits, index,
                       limit) if (json_equal(json_object_get(limit, "name"), name)) return limit;
    return NULL;
}

/* The tier's, but for those that the key has itself. */
static json_t *limits_of(const json_t *key, const json_t *tier)
{
    const json_t *own = json_object_get(key, "rate_limits");
    json_t *list = json_array(), *limit;
    size_t index;
    int failed = 0;
    json_array_foreach(own, index, limit)
    {
        json_t *shown = json_copy(limit);
        failed |= json_object_set_new(shown, "own", json_true());
        failed |= json_array_append_new(list, shown);
    }
    json_array_foreach(json_object_get(tier, "rate_limits"), index,
                       limit) if (!limit_named(own, json_object_get(limit, "name"))) failed |=
        json_array_append(list, limit);
    (void)failed; /* the page lacks one then */
    admin_page_words(list);
    return list;
}

static bool is_status(const json_t *key, const char *status)
{
    const char *text = json_string_value(json_object_get(key, "status"));
    return text && strcmp(text, status) == 0;
}

static void key_finish(struct admin_page *page)
{
    struct admin_range range = admin_range_read(page->request);
    json_t *key = json_object_get(page->context, "key");
    json_t *usage = json_object_get(page->context, "usage");
    bool revoked = is_status(key, "revoked"), rotating = is_status(key, "rotating");
    admin_page_set(page, "chart", admin_chart_make(json_object_get(usage, "data"), &range));
    admin_page_set(page, "limits", limits_of(key, json_object_get(page->context, "tier")));
    admin_page_set(page, "living", json_boolean(!revoked));
    admin_page_set(page, "rotating", json_boolean(rotating));
    admin_page_set(page, "may_rotate", json_boolean(!revoked && !rotating));
    admin_page_set(page, "is_disabled", json_boolean(is_status(key, "disabled")));
    admin_page_set(page, "mails", json_boolean(request_service(page->request)->mails));
    const char *title = json_string_value(json_object_get(key, "title"));
    const char *id = json_string_value(json_object_get(key, "id"));
    page->web.title = title && *title ? arena_copy(&page->request->arena, span_text(title)) : "Key";
    if (!page->web.title) page->web.title = "Key";
    admin_page_set(page, "typed", json_string(title && *title ? title : id ? id : ""));
    admin_page_show(page);
}

/* What can only be asked for once the key is known. */
static void key_more(struct admin_page *page)
{
    struct arena *arena = &page->request->arena;
    const json_t *key = json_object_get(page->context, "key");
    const char *customer = json_string_value(json_object_get(key, "customer_id"));
    const char *tier = json_string_value(json_object_get(key, "tier"));
    admin_page_part(page, "customer", arena_printf(arena, "/v1/customers/%s", customer), NULL);
    admin_page_part(page, "tier", arena_printf(arena, "/v1/tiers/%s", tier ? tier : "-"), NULL);
    page->finish = key_finish;
    struct verdict verdict = admin_page_run(page);
    (void)verdict;
}

struct admin_page *admin_key_page(struct http_request *request)
{
    struct arena *arena = &request->arena;
    struct admin_range range = admin_range_read(request);
    struct span id = path_text(request, 0);
    uint64_t number = 0;
    struct admin_page *page = admin_page_new(request, "admin_key", "Key", "keys");
    if (!page) return NULL;
    if (!id_parse(id, "key", &number)) id = SPAN("none");
    const char *path = arena_printf(arena, "/v1/keys/%.*s", (int)id.length, id.data);
    const char *usage = arena_printf(arena, "/v1/keys/%.*s/usage", (int)id.length, id.data);
    const char *by_key = arena_printf(arena, "key_id=%.*s&limit=5", (int)id.length, id.data);
    const char *by_subject = arena_printf(arena, "subject=%.*s&limit=10", (int)id.length, id.data);
    admin_page_part(page, "key", path, NULL);
    admin_page_part(page, "usage", usage, admin_range_query(request, &range));
    admin_page_part(page, "notices", "/v1/notifications", by_key);
    admin_page_part(page, "audit", "/v1/audit", by_subject);
    page->finish = key_more;
    return page;
}

struct verdict handle_admin_key(struct http_request *request)
{
    struct admin_page *page = admin_key_page(request);
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}
