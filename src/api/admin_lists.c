/* Rotations, notifications, alerts, the audit log and service tokens: lists with a little to be
 * done in them. Called by the routing of the dashboard on the loop thread. What always holds: each
 * is the API's own list, a page at a time, and what is done is the API's own call. */
#include "api/admin.h"
#include "api/admin_filters.h"
#include "api/admin_key_forms.h"
#include "api/admin_names.h"
#include "api/request.h"

struct list {
    const char *template, *title, *section; /* the section is also the part's name */
    const char *path;
    const char *filters[6];      /* query parameters that the call takes too, NULL-terminated */
    const char *const *statuses; /* of the parameter "status"; NULL: none */
};

static const char *const rotation_statuses[] = {
    "",          "Any status", "scheduled", "Scheduled", "notified", "Notified", "postponed",
    "Postponed", "rotated",    "Rotated",   "retired",   "Retired",  NULL};
static const char *const alert_statuses[] = {
    "", "All", "open", "Open", "acknowledged", "Acknowledged", NULL};

static const struct list rotations = {"admin_rotations", "Rotations", "rotations",
                                      "/v1/rotations",   {"status"},  rotation_statuses};
static const struct list notifications = {"admin_notifications",     "Notifications",
                                          "notifications",           "/v1/notifications",
                                          {"customer_id", "key_id"}, NULL};
static const struct list alerts = {"admin_alerts", "Alerts",   "alerts",
                                   "/v1/alerts",   {"status"}, alert_statuses};
static const struct list audits = {
    "admin_audit", "Audit log", "audit", "/v1/audit", {"action", "customer_id", "subject"}, NULL};
static const struct list tokens = {"admin_tokens", "Service tokens", "tokens",
                                   "/v1/tokens",   {NULL},           NULL};

static void list_finish(struct admin_page *page)
{
    const struct list *list = page->own;
    admin_filters_set(page, list->section, list->filters);
    if (list->statuses)
        admin_page_set(page, "statuses",
                       admin_options(list->statuses, admin_query(page->request, "status")));
    page->own = (void *)(uintptr_t)list->section;
    admin_names_finish(page);
}

static struct admin_page *list_page(struct http_request *request, const struct list *list)
{
    struct admin_page *page = admin_page_new(request, list->template, list->title, list->section);
    if (!page) return NULL;
    admin_filters_ask(page, list->section, list->path, 50, list->filters);
    page->own = (void *)(uintptr_t)list;
    page->finish = list_finish;
    return page;
}

static struct verdict list_show(struct http_request *request, const struct list *list)
{
    struct admin_page *page = list_page(request, list);
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}

struct verdict handle_admin_rotations(struct http_request *request)
{
    return list_show(request, &rotations);
}

struct verdict handle_admin_notifications(struct http_request *request)
{
    return list_show(request, &notifications);
}

struct verdict handle_admin_alerts(struct http_request *request)
{
    return list_show(request, &alerts);
}

struct verdict handle_admin_audit(struct http_request *request)
{
    return list_show(request, &audits);
}

/* ---- what is done ---- */

/* A call on what the path names: POST /v1/LIST/ID/VERB, or DELETE /v1/LIST/ID. */
static struct verdict act(struct http_request *request, const char *prefix, const char *list,
                          const char *verb, const char *to)
{
    struct verdict verdict;
    uint64_t id = 0;
    struct span text = path_text(request, 0);
    if (!id_parse(text, prefix, &id)) return web_reply_error(request, ERR_NOT_FOUND, NULL);
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    action->to = to;
    struct buf path = {0};
    buf_printf(&path, "/v1/%s/%.*s%s", list, (int)text.length, text.data, verb);
    return admin_action_call_bare(action, *verb ? HTTP_M_POST : HTTP_M_DELETE,
                                  admin_text(request, &path));
}

struct verdict handle_admin_notification_retry(struct http_request *request)
{
    return act(request, "ntf", "notifications", "/retry", "admin/notifications?done=retried");
}

struct verdict handle_admin_alert_ack(struct http_request *request)
{
    return act(request, "alr", "alerts", "/ack", "admin/alerts?status=open&done=acknowledged");
}

struct verdict handle_admin_token_revoke(struct http_request *request)
{
    return act(request, "tok", "tokens", "", "admin/tokens?done=token-revoked");
}

/* ---- tokens ---- */

static struct admin_page *tokens_page(struct http_request *request)
{
    static const char *const scopes[] = {"admin", "billing", "issue", "portal", "read", "verify"};
    struct admin_page *page = list_page(request, &tokens);
    if (!page) return NULL;
    json_t *list = json_array();
    for (size_t i = 0; list && i < COUNT_OF(scopes); i++)
        if (json_array_append_new(list, json_string(scopes[i]))) break;
    admin_page_set(page, "scopes", list);
    return page;
}

struct verdict handle_admin_tokens(struct http_request *request)
{
    struct admin_page *page = tokens_page(request);
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}

struct verdict handle_admin_token_create(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    action->page = tokens_page;
    action->name = "token";
    action->to = "admin/tokens";
    action->shows = admin_secret_show;
    json_t *body = json_pack("{s:s, s:o}", "name", web_form_text(&action->form, "name"), "scopes",
                             admin_field_list(action, "scopes"));
    return admin_action_call(action, HTTP_M_POST, "/v1/tokens", body);
}
