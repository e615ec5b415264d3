/* How a mail would look, with samples. Called by the routing of the dashboard on the loop thread.
 * What always holds: nothing is sent, no customer is named, and a mail's HTML is shown as its
 * source: it never becomes part of the page. */
#include "api/admin.h"
#include "api/admin_page.h"
#include "service/mail_kind.h"

#include <string.h>

static json_t *kind_options(enum mail_kind chosen)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < MAIL_KIND_COUNT; i++) {
        const char *name = mail_kind_name((enum mail_kind)i);
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "value", name, "name", name,
                                                  "selected", i == (unsigned)chosen)))
            break;
    }
    return list;
}

static void preview_finish(struct admin_page *page)
{
    static const char *const formats[] = {"text", "Text", "html", "HTML, its source", NULL};
    static const char *const shapes[] = {
        "claim",    "a one-time link",           "secret", "secret", "neither", "neither",
        "shortest", "as little as there can be", NULL};
    struct http_request *request = page->request;
    const json_t *mail = json_object_get(page->context, "mail");
    enum mail_kind kind = MAIL_KEY_ISSUED;
    const char *name = json_string_value(json_object_get(mail, "kind"));
    if (name && !mail_kind_parse(span_text(name), &kind)) kind = MAIL_KEY_ISSUED;
    admin_page_set(page, "kinds", kind_options(kind));
    admin_page_set(page, "help", json_string(mail_kind_help(kind)));
    admin_page_set(page, "formats", admin_options(formats, admin_query(request, "format")));
    admin_page_set(page, "shapes", admin_options(shapes, admin_query(request, "with")));
    admin_page_show(page);
}

struct verdict handle_admin_mail_preview(struct http_request *request)
{
    static const char *const names[] = {"language", "format", "with"};
    struct span asked = span_text(admin_query(request, "kind"));
    struct buf query = {0};
    enum mail_kind kind = MAIL_KEY_ISSUED;
    if (asked.length && !mail_kind_parse(asked, &kind))
        return web_reply_error(request, ERR_NOT_FOUND, NULL);
    struct admin_page *page =
        admin_page_new(request, "admin_preview", "Preview of mails", "notifications");
    if (!page) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        admin_query_put(&query, names[i], admin_query(request, names[i]));
    admin_page_part(page, "mail",
                    arena_printf(&request->arena, "/v1/mail/previews/%s", mail_kind_name(kind)),
                    query.length ? admin_text(request, &query) : "");
    page->finish = preview_finish;
    return admin_page_run(page);
}
