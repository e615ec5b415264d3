/* Making and editing keys, and all that can be done with one. Called by the routing of the
 * dashboard on the loop thread. What always holds: each form is one call of the API, checked, done
 * and audited there; a new secret is on one page, once; support sends secrets to the customer
 * alone. */
#include "api/admin_key_forms.h"

#include "api/admin.h"
#include "api/request.h"
#include "core/rate_limit.h"
#include "service/context.h"

#include <stdio.h>
#include <string.h>

enum { LIMIT_ROWS_MIN = 4, LIMIT_ROWS_SPARE = 2 };

/* ---- a secret, once ---- */

void admin_secret_show(struct admin_action *action)
{
    struct http_request *request = action->request;
    json_t *answer = action->call.answer, *key = json_object_get(answer, "key");
    const char *secret = json_string_value(json_object_get(answer, "secret"));
    if (!secret) {
        inner_call_done(&action->call);
        admin_action_leave(action);
        return;
    }
    struct admin_page *page = admin_page_new(request, "admin_secret", "New secret", "keys");
    if (!page) {
        inner_call_done(&action->call);
        web_form_done(&action->form);
        struct verdict verdict = web_reply_error(request, ERR_NO_MEMORY, NULL);
        (void)verdict;
        return;
    }
    page->web.wipe = true;
    admin_page_words(answer);
    if (action->call.replayed) {
        int gone = json_object_del(answer, "secret");
        (void)gone;
    }
    admin_page_set(page, "is_token", json_boolean(!key && !json_object_get(answer, "customer_id")));
    admin_page_set(page, "key", json_incref(key ? key : answer));
    admin_page_set(page, "secret", json_incref(json_object_get(answer, "secret")));
    web_form_done(&action->form);
    struct inner_call call = {.answer = answer}; /* the action dies with the request */
    admin_page_show(page);
    inner_call_done(&call);
}

/* ---- the form ---- */

static void row_add(json_t *rows, unsigned number, json_t *name, json_t *limit, json_t *window)
{
    json_t *row = json_pack("{s:i, s:O?, s:O?, s:O?}", "n", (int)number, "name", name, "limit",
                            limit, "window", window);
    int failed = json_array_append_new(rows, row);
    (void)failed;
}

/* The names of a row's three fields; rows are counted from 1. */
struct limit_names {
    char name[24], number[24], window[24];
};

static struct limit_names limit_names(unsigned row)
{
    struct limit_names names;
    snprintf(names.name, sizeof names.name, "limit_name_%u", row);
    snprintf(names.number, sizeof names.number, "limit_%u", row);
    snprintf(names.window, sizeof names.window, "window_%u", row);
    return names;
}

/* All that there are, since saving the form replaces them, and some for more. */
static unsigned limit_row_count(const json_t *limits, const json_t *sent)
{
    unsigned filled = sent ? 0 : (unsigned)json_array_size(limits);
    for (unsigned i = 1; sent && i <= RATE_LIMITS_MAX; i++) {
        struct limit_names names = limit_names(i);
        if (json_object_get(sent, names.name) || json_object_get(sent, names.number)) filled = i;
    }
    if (filled + LIMIT_ROWS_SPARE < LIMIT_ROWS_MIN) return LIMIT_ROWS_MIN;
    return filled + LIMIT_ROWS_SPARE < RATE_LIMITS_MAX ? filled + LIMIT_ROWS_SPARE
                                                       : RATE_LIMITS_MAX;
}

json_t *admin_limit_rows(const json_t *owner, const json_t *sent)
{
    json_t *rows = json_array();
    const json_t *limits = json_object_get(owner, "rate_limits");
    unsigned count = limit_row_count(limits, sent);
    for (unsigned i = 0; rows && i < count; i++) {
        const json_t *limit = json_array_get(limits, i);
        struct limit_names names = limit_names(i + 1);
        if (sent)
            row_add(rows, i + 1, json_object_get(sent, names.name),
                    json_object_get(sent, names.number), json_object_get(sent, names.window));
        else
            row_add(rows, i + 1, json_object_get(limit, "name"), json_object_get(limit, "limit"),
                    json_object_get(limit, "window_seconds"));
    }
    return rows;
}

static bool list_has(const json_t *list, const char *text)
{
    size_t index;
    json_t *element;
    json_array_foreach(list, index, element)
    {
        const char *value = json_string_value(element);
        if (value && strcmp(value, text) == 0) return true;
    }
    return false;
}

/* A box for each permission that a tier may grant. */
static json_t *permission_boxes(const json_t *tiers, const json_t *chosen)
{
    json_t *boxes = json_array(), *seen = json_array(), *tier, *permission;
    size_t i, j;
    json_array_foreach(json_object_get(tiers, "data"), i, tier)
    {
        json_array_foreach(json_object_get(tier, "permissions"), j, permission)
        {
            const char *name = json_string_value(permission);
            if (!name || list_has(seen, name)) continue;
            if (json_array_append(seen, permission) ||
                json_array_append_new(boxes, json_pack("{s:s, s:b}", "name", name, "checked",
                                                       list_has(chosen, name))))
                break;
        }
    }
    json_decref(seen);
    return boxes;
}

static json_t *lines_of(const json_t *list)
{
    struct buf text CLEANUP(buf_done) = {0};
    size_t index;
    json_t *element;
    json_array_foreach(list, index, element)
        buf_printf(&text, "%s%s", index ? "\n" : "", json_string_value(element));
    return text.failed || !text.data ? json_string("") : json_stringn(text.data, text.length);
}

/* The fields' values of a key that is edited. */
static json_t *form_of_key(const json_t *key)
{
    const char *expires = json_string_value(json_object_get(key, "expires_at"));
    char date[11] = "";
    if (expires) snprintf(date, sizeof date, "%.10s", expires);
    return json_pack("{s:O?, s:O?, s:s, s:s?, s:O?, s:o, s:O?}", "title",
                     json_object_get(key, "title"), "description",
                     json_object_get(key, "description"), "expires_on", date, "expires_was",
                     expires, "monthly_cap", json_object_get(key, "monthly_cap"), "networks",
                     lines_of(json_object_get(key, "allowed_networks")), "rotation",
                     json_object_get(key, "rotation"));
}

static void form_finish(struct admin_page *page)
{
    const json_t *key = json_object_get(page->context, "key");
    const json_t *tiers = json_object_get(page->context, "tiers");
    json_t *sent =
        json_object_get(page->context, "sent") ? json_object_get(page->context, "form") : NULL;
    json_t *chosen = json_object_get(sent ? sent : key, "permissions");
    admin_page_set(page, "limit_rows", admin_limit_rows(key, sent));
    admin_page_set(page, "boxes", permission_boxes(tiers, chosen));
    if (!sent && key) admin_page_set(page, "form", form_of_key(key));
    if (!sent && !key)
        admin_page_set(page, "form",
                       json_pack("{s:s}", "customer", admin_query(page->request, "customer")));
    const json_t *form = json_object_get(page->context, "form");
    const char *environment = json_string_value(json_object_get(form, "environment"));
    const char *rotation = json_string_value(json_object_get(form, "rotation"));
    const char *deliver = json_string_value(json_object_get(form, "deliver"));
    admin_page_set(page, "is_test", json_boolean(environment && !strcmp(environment, "test")));
    admin_page_set(page, "rotation_off", json_boolean(rotation && !strcmp(rotation, "off")));
    admin_page_set(page, "by_mail", json_boolean(deliver && !strcmp(deliver, "email")));
    admin_page_set(page, "mails", json_boolean(request_service(page->request)->mails));
    admin_page_show(page);
}

static struct admin_page *new_page(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_key_form", "New key", "keys");
    admin_page_part(page, "tiers", "/v1/tiers", "limit=200");
    if (page) page->finish = form_finish;
    return page;
}

static struct admin_page *edit_page(struct http_request *request)
{
    struct span id = path_text(request, 0);
    uint64_t number = 0;
    struct admin_page *page = admin_page_new(request, "admin_key_form", "Edit key", "keys");
    if (!page) return NULL;
    if (!id_parse(id, "key", &number)) id = SPAN("none");
    admin_page_part(page, "key",
                    arena_printf(&request->arena, "/v1/keys/%.*s", (int)id.length, id.data), NULL);
    admin_page_part(page, "tiers", "/v1/tiers", "limit=200");
    page->finish = form_finish;
    return page;
}

static struct verdict page_go(struct http_request *request, struct admin_page *page)
{
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}

struct verdict handle_admin_key_new(struct http_request *request)
{
    return page_go(request, new_page(request));
}

struct verdict handle_admin_key_edit_page(struct http_request *request)
{
    return page_go(request, edit_page(request));
}

/* ---- what it sends ---- */

json_t *admin_limits_read(const struct admin_action *action)
{
    json_t *list = json_array();
    for (unsigned i = 1; list && i <= RATE_LIMITS_MAX; i++) {
        struct limit_names names = limit_names(i);
        const char *name = web_form_text(&action->form, names.name);
        if (!*name && !*web_form_text(&action->form, names.number)) continue;
        json_t *limit = json_pack("{s:s, s:o, s:o}", "name", name, "limit",
                                  admin_field_number(action, names.number), "window_seconds",
                                  admin_field_number(action, names.window));
        if (json_array_append_new(list, limit)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* A day means its end, in UTC; but for the day of the time that stands, which then is left. */
static json_t *expiry_read(const struct admin_action *action)
{
    const char *day = web_form_text(&action->form, "expires_on");
    const char *was = web_form_text(&action->form, "expires_was");
    if (!*day) return json_null();
    if (strlen(day) == 10 && strncmp(was, day, 10) == 0) return json_string(was);
    return json_string(arena_printf(&action->request->arena, "%sT23:59:59Z", day));
}

/* The call's name of a field, where the form has another one. */
static json_t *settings_read(const struct admin_action *action)
{
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "title", web_form_text(&action->form, "title"),
        "description", web_form_text(&action->form, "description"), "permissions",
        admin_field_list(action, "permissions"), "rate_limits", admin_limits_read(action),
        "expires_at", expiry_read(action), "monthly_cap", admin_field_number(action, "monthly_cap"),
        "allowed_networks", admin_field_list(action, "networks"));
}

struct verdict handle_admin_key_create(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    action->page = new_page;
    action->to = "admin/keys?done=saved";
    action->shows = admin_secret_show;
    if (!*web_form_text(&action->form, "customer"))
        return admin_action_wrong(action, "customer_id", "is needed: whose key is it?");
    json_t *body = settings_read(action);
    admin_body_set(&body, "customer_id", json_string(web_form_text(&action->form, "customer")));
    if (web_form_box(&action->form, "environment"))
        admin_body_set(&body, "environment",
                       json_string(web_form_text(&action->form, "environment")));
    if (web_form_box(&action->form, "deliver"))
        admin_body_set(&body, "deliver", json_string(web_form_text(&action->form, "deliver")));
    return admin_action_call(action, HTTP_M_POST, "/v1/keys", body);
}

static const char *key_path(struct http_request *request, const char *verb)
{
    struct span id = path_text(request, 0);
    uint64_t number = 0;
    if (!id_parse(id, "key", &number)) id = SPAN("none");
    return arena_printf(&request->arena, "/v1/keys/%.*s%s%s", (int)id.length, id.data,
                        *verb ? "/" : "", verb);
}

static const char *key_to(struct http_request *request, const char *done)
{
    struct span id = path_text(request, 0);
    uint64_t number = 0;
    if (!id_parse(id, "key", &number)) return NULL;
    return arena_printf(&request->arena, "admin/keys/%.*s?done=%s", (int)id.length, id.data, done);
}

struct verdict handle_admin_key_edit(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    action->page = edit_page;
    action->to = key_to(request, "saved");
    json_t *body = settings_read(action);
    admin_body_set(&body, "rotation",
                   json_string(web_form_box(&action->form, "rotation_off") ? "off" : "automatic"));
    return admin_action_call(action, HTTP_M_PATCH, key_path(request, ""), body);
}

/* ---- what is done with it ---- */

/* Support never sees a secret. */
static const char *deliver_of(const struct admin_action *action)
{
    if (!admin_may(action->request, RIGHT_MANAGE)) return "email";
    return strcmp(web_form_text(&action->form, "deliver"), "email") == 0 ? "email" : "response";
}

/* NULL: *verdict is the answer. */
static struct admin_action *act_new(struct http_request *request, const char *name,
                                    const char *done, struct verdict *verdict)
{
    struct admin_action *action = admin_action_new(request, verdict);
    if (!action) return NULL;
    action->page = admin_key_page;
    action->name = name;
    action->to = key_to(request, done);
    return action;
}

struct verdict handle_admin_key_rotate(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = act_new(request, "rotate", "rotated", &verdict);
    if (!action) return verdict;
    action->shows = admin_secret_show;
    json_t *body = json_pack("{s:s, s:o}", "deliver", deliver_of(action), "grace_seconds",
                             admin_field_number(action, "grace_seconds"));
    return admin_action_call(action, HTTP_M_POST, key_path(request, "rotate"), body);
}

struct verdict handle_admin_key_regenerate(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = act_new(request, "regenerate", "regenerated", &verdict);
    if (!action) return verdict;
    action->shows = admin_secret_show;
    return admin_action_call(action, HTTP_M_POST, key_path(request, "regenerate"),
                             json_pack("{s:s}", "deliver", deliver_of(action)));
}

struct verdict handle_admin_key_postpone(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = act_new(request, "postpone", "postponed", &verdict);
    if (!action) return verdict;
    return admin_action_call(action, HTTP_M_POST, key_path(request, "postpone"),
                             json_pack("{s:o}", "days", admin_field_number(action, "days")));
}

static struct verdict plain(struct http_request *request, const char *verb, const char *done)
{
    struct verdict verdict;
    struct admin_action *action = act_new(request, verb, done, &verdict);
    if (!action) return verdict;
    return admin_action_call_bare(action, HTTP_M_POST, key_path(request, verb));
}

struct verdict handle_admin_key_end_overlap(struct http_request *request)
{
    return plain(request, "end-overlap", "ended");
}

struct verdict handle_admin_key_resend(struct http_request *request)
{
    return plain(request, "resend-claim", "resent");
}

struct verdict handle_admin_key_disable(struct http_request *request)
{
    return plain(request, "disable", "disabled");
}

struct verdict handle_admin_key_enable(struct http_request *request)
{
    return plain(request, "enable", "enabled");
}

/* The key is read first: its title must be what was typed. */
static void revoke_if_typed(struct inner_call *call)
{
    struct admin_action *action = CONTAINER_OF(call, struct admin_action, call);
    struct http_request *request = action->request;
    const char *title = json_string_value(json_object_get(call->answer, "title"));
    const char *id = json_string_value(json_object_get(call->answer, "id"));
    const char *want = title && *title ? title : id;
    bool typed = want && strcmp(web_form_text(&action->form, "typed"), want) == 0;
    bool found = call->status < 300;
    inner_call_done(call);
    struct verdict verdict;
    if (!found || typed)
        verdict = admin_action_call_bare(action, HTTP_M_POST, key_path(request, "revoke"));
    else
        verdict = admin_action_wrong(action, "typed", "must be the key's title, letter by letter");
    (void)verdict;
}

struct verdict handle_admin_key_revoke(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = act_new(request, "revoke", "revoked", &verdict);
    if (!action) return verdict;
    action->call = (struct inner_call){
        .method = HTTP_M_GET, .path = key_path(request, ""), .done = revoke_if_typed};
    if (!action->call.path) {
        web_form_done(&action->form);
        return web_reply_error(request, ERR_NO_MEMORY, NULL);
    }
    inner_call_start(&action->call, request);
    return http_pending(request);
}
