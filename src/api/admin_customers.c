/* Customers: the list, the page of one, and what can be done with it. Called by the routing of the
 * dashboard on the loop thread. What always holds: a paid tier is entered by a payment or an
 * approval only, as the API's own calls demand. */
#include "api/admin.h"
#include "api/admin_chart.h"
#include "api/admin_filters.h"
#include "api/admin_key_forms.h"
#include "api/request.h"
#include "conf/settings.h"
#include "service/context.h"

#include <string.h>

/* ---- the list ---- */

static const char *const filters[] = {"external_id", "email", "tier", "order", NULL};

static void list_finish(struct admin_page *page)
{
    struct http_request *request = page->request;
    admin_filters_set(page, "customers", filters);
    admin_page_set(page, "tier_options",
                   admin_tier_options(page, "Any tier", admin_query(request, "tier")));
    admin_page_set(page, "paid",
                   json_boolean(request_service(request)->settings->payment.provider !=
                                PAYMENT_PROVIDER_NONE));
    admin_page_show(page);
}

struct verdict handle_admin_customers(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_customers", "Customers", "customers");
    if (!page) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    admin_filters_ask(page, "customers", "/v1/customers", 25, filters);
    admin_page_part(page, "tiers", "/v1/tiers", "limit=200");
    page->finish = list_finish;
    return admin_page_run(page);
}

/* ---- one ---- */

static const char *id_of(struct http_request *request)
{
    struct span id = path_text(request, 0);
    uint64_t number = 0;
    if (!id_parse(id, "cus", &number)) return "none";
    return arena_copy(&request->arena, id);
}

static json_t *share_of(const json_t *quota)
{
    json_int_t limit = json_integer_value(json_object_get(quota, "limit"));
    json_int_t used = json_integer_value(json_object_get(quota, "used"));
    json_int_t share = limit > 0 ? used * 100 / limit : 0;
    if (share > 100) share = 100;
    return json_pack("{s:I, s:s}", "share", share, "level",
                     share >= 100  ? "bad"
                     : share >= 80 ? "warn"
                                   : "");
}

static void customer_finish(struct admin_page *page)
{
    struct http_request *request = page->request;
    struct admin_range range = admin_range_read(request);
    const json_t *customer = json_object_get(page->context, "customer");
    const json_t *usage = json_object_get(page->context, "usage");
    const json_t *sent =
        json_object_get(page->context, "sent") ? json_object_get(page->context, "form") : NULL;
    const char *tier = json_string_value(json_object_get(sent ? sent : customer, "tier"));
    const char *name = json_string_value(json_object_get(customer, "external_id"));
    const char *title = name ? arena_copy(&request->arena, span_text(name)) : NULL;
    page->web.title = title ? title : "Customer";
    admin_page_set(page, "chart", admin_chart_make(json_object_get(usage, "data"), &range));
    admin_page_set(page, "tier_options", admin_tier_options(page, NULL, tier ? tier : ""));
    admin_page_set(page, "meter", share_of(json_object_get(customer, "quota")));
    if (!sent)
        admin_page_set(page, "form",
                       json_pack("{s:O?, s:O?}", "email", json_object_get(customer, "email"),
                                 "name", json_object_get(customer, "name")));
    admin_page_show(page);
}

static struct admin_page *customer_page(struct http_request *request)
{
    struct arena *arena = &request->arena;
    struct admin_range range = admin_range_read(request);
    const char *id = id_of(request);
    struct admin_page *page = admin_page_new(request, "admin_customer", "Customer", "customers");
    if (!page || !id) return NULL;
    admin_page_part(page, "customer", arena_printf(arena, "/v1/customers/%s", id), NULL);
    admin_page_part(page, "keys", "/v1/keys", arena_printf(arena, "customer_id=%s&limit=50", id));
    admin_page_part(page, "usage", arena_printf(arena, "/v1/customers/%s/usage", id),
                    admin_range_query(request, &range));
    admin_page_part(page, "notices", "/v1/notifications",
                    arena_printf(arena, "customer_id=%s&limit=8", id));
    admin_page_part(page, "audit", "/v1/audit", arena_printf(arena, "customer_id=%s&limit=8", id));
    admin_page_part(page, "tiers", "/v1/tiers", "limit=200");
    page->finish = customer_finish;
    return page;
}

struct verdict handle_admin_customer(struct http_request *request)
{
    struct admin_page *page = customer_page(request);
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}

/* ---- what is done with it ---- */

/* NULL: *verdict is the answer. */
static struct admin_action *act_new(struct http_request *request, const char *name,
                                    const char *done, struct verdict *verdict)
{
    struct admin_action *action = admin_action_new(request, verdict);
    if (!action) return NULL;
    action->page = customer_page;
    action->name = name;
    action->to = arena_printf(&request->arena, "admin/customers/%s?done=%s", id_of(request), done);
    return action;
}

static const char *customer_path(struct http_request *request, const char *verb)
{
    return arena_printf(&request->arena, "/v1/customers/%s%s", id_of(request), verb);
}

struct verdict handle_admin_customer_edit(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = act_new(request, "edit", "saved", &verdict);
    if (!action) return verdict;
    return admin_action_call(action, HTTP_M_PATCH, customer_path(request, ""),
                             json_pack("{s:s, s:o}", "email", web_form_text(&action->form, "email"),
                                       "name", admin_field_or_null(action, "name")));
}

struct verdict handle_admin_customer_tier(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = act_new(request, "tier", "saved", &verdict);
    if (!action) return verdict;
    return admin_action_call(action, HTTP_M_PATCH, customer_path(request, ""),
                             json_pack("{s:s}", "tier", web_form_text(&action->form, "tier")));
}

struct verdict handle_admin_customer_approve(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = act_new(request, "approve", "approved", &verdict);
    if (!action) return verdict;
    const char *until =
        arena_printf(&request->arena, "%sT23:59:59Z", web_form_text(&action->form, "until_on"));
    return admin_action_call(action, HTTP_M_POST, customer_path(request, "/payment-approvals"),
                             json_pack("{s:s, s:s, s:s}", "tier",
                                       web_form_text(&action->form, "tier"), "until", until, "note",
                                       web_form_text(&action->form, "note")));
}

/* ---- a link to the portal ---- */

/* Once, as a secret: who opens it sees and makes secrets of the customer. */
static void portal_show(struct admin_action *action)
{
    struct http_request *request = action->request;
    json_t *answer = action->call.answer;
    struct admin_page *page = admin_page_new(request, "admin_portal", "Portal link", "customers");
    web_form_done(&action->form);
    if (!page) {
        inner_call_done(&action->call);
        struct verdict verdict = web_reply_error(request, ERR_NO_MEMORY, NULL);
        (void)verdict;
        return;
    }
    page->web.wipe = true;
    admin_page_words(answer);
    admin_page_set(page, "customer_id", json_string(id_of(request)));
    admin_page_set(page, "link", json_incref(answer));
    struct inner_call call = {.answer = answer}; /* the action dies with the request */
    admin_page_show(page);
    inner_call_done(&call);
}

struct verdict handle_admin_customer_portal(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = act_new(request, "portal", "saved", &verdict);
    if (!action) return verdict;
    action->shows = portal_show;
    return admin_action_call(action, HTTP_M_POST, "/v1/portal-sessions",
                             json_pack("{s:s}", "customer_id", id_of(request)));
}

/* ---- erasing ---- */

/* The customer is read first: its name must be what was typed. */
static void erase_if_typed(struct inner_call *call)
{
    struct admin_action *action = CONTAINER_OF(call, struct admin_action, call);
    struct http_request *request = action->request;
    const char *want = json_string_value(json_object_get(call->answer, "external_id"));
    bool typed = want && strcmp(web_form_text(&action->form, "typed"), want) == 0;
    bool found = call->status < 300;
    inner_call_done(call);
    struct verdict verdict;
    if (!found || typed)
        verdict = admin_action_call_bare(action, HTTP_M_DELETE, customer_path(request, ""));
    else
        verdict =
            admin_action_wrong(action, "typed", "must be the customer's id, letter by letter");
    (void)verdict;
}

struct verdict handle_admin_customer_erase(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = act_new(request, "erase", "erased", &verdict);
    if (!action) return verdict;
    action->to = "admin/customers?done=erased";
    action->call = (struct inner_call){
        .method = HTTP_M_GET, .path = customer_path(request, ""), .done = erase_if_typed};
    if (!action->call.path) {
        web_form_done(&action->form);
        return web_reply_error(request, ERR_NO_MEMORY, NULL);
    }
    inner_call_start(&action->call, request);
    return http_pending(request);
}
