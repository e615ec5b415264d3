/* Filters of lists. Called by the pages of keys, customers and the other lists, on the loop thread.
 * What always holds: a link to another page of a list, or to it the other way round, keeps the
 * filters, and the other way round begins at its first page. */
#include "api/admin_filters.h"

#include <string.h>

void admin_filters_ask(struct admin_page *page, const char *part, const char *path, unsigned limit,
                       const char *const *names)
{
    struct http_request *request = page->request;
    struct buf query = {0};
    buf_printf(&query, "limit=%u", limit);
    for (; *names; names++)
        admin_query_put(&query, *names, admin_query(request, *names));
    admin_query_put(&query, "cursor", admin_query(request, "cursor"));
    const char *text = admin_text(request, &query);
    admin_page_part(page, part, text ? path : NULL, text);
}

static void query_set(struct admin_page *page, const char *name, const struct buf *query)
{
    if (!query->failed) admin_page_set(page, name, json_stringn(query->data, query->length));
}

void admin_filters_set(struct admin_page *page, const char *part, const char *const *names)
{
    struct http_request *request = page->request;
    struct buf more CLEANUP(buf_done) = {0}, turned CLEANUP(buf_done) = {0};
    const json_t *list = json_object_get(page->context, part);
    const char *next = json_string_value(json_object_get(list, "next_cursor"));
    json_t *filter = json_object();
    bool any = false, ordered = false;
    for (; *names; names++) {
        const char *value = admin_query(request, *names);
        bool order = strcmp(*names, "order") == 0;
        any |= *value != '\0';
        ordered |= order;
        admin_query_put(&more, *names, value);
        if (!order) admin_query_put(&turned, *names, value);
        int failed = json_object_set_new(filter, *names, json_string(value));
        (void)failed; /* its field is empty then */
    }
    admin_page_set(page, "filter", filter);
    admin_page_set(page, "filtered", json_boolean(any));
    admin_page_set(page, "later", json_boolean(*admin_query(request, "cursor")));
    admin_query_put(&more, "cursor", next);
    if (next) query_set(page, "more", &more);
    if (!ordered) return;
    bool oldest = strcmp(admin_query(request, "order"), "oldest") == 0;
    admin_query_put(&turned, "order", oldest ? "newest" : "oldest");
    admin_page_set(page, "oldest_first", json_boolean(oldest));
    query_set(page, "turned", &turned);
}
