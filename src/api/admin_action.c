/* Forms of the dashboard. Called by its handlers on the loop thread. What always holds: nothing is
 * done before the form's token was checked, a form that is sent twice does its work once (its
 * `once` is the Idempotency-Key), and what was typed is shown again beside what is wrong with it,
 * but for passwords. */
#include "api/admin_action.h"

#include "api/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ONCE_MIN = 16 };

struct admin_action *admin_action_new(struct http_request *request, struct verdict *verdict)
{
    struct admin_action *action = ARENA_NEW(&request->arena, struct admin_action);
    const struct admin *admin = admin_of(request);
    if (!action) {
        *verdict = web_reply_error(request, ERR_NO_MEMORY, NULL);
        return NULL;
    }
    action->request = request;
    if (web_form_open(&action->form, request, admin ? admin->csrf : NULL)) return action;
    struct web_form form = action->form; /* the action dies with the answer */
    *verdict = web_reply_problem(request, &form.body.problem, 0);
    web_form_done(&form);
    return NULL;
}

/* ---- after the call ---- */

void admin_action_leave(struct admin_action *action)
{
    struct http_request *request = action->request;
    const char *to = action->to;
    web_form_done(&action->form);
    struct verdict verdict =
        to ? web_redirect(request, to, SPAN("")) : web_reply_error(request, ERR_NO_MEMORY, NULL);
    (void)verdict;
}

void admin_action_again(struct admin_action *action, int status, const char *detail, json_t *fields)
{
    struct http_request *request = action->request;
    if (status == 401) { /* the session ended meanwhile */
        json_decref(fields);
        action->to = "admin/sign-in";
        admin_action_leave(action);
        return;
    }
    struct admin_page *page = action->page ? action->page(request) : NULL;
    if (!page) {
        struct problem problem = {0};
        enum err denied = problem_set(&problem, status, "failed", "%s", detail);
        json_decref(fields);
        web_form_done(&action->form);
        struct verdict verdict = web_reply_error(request, denied, &problem);
        (void)verdict;
        return;
    }
    page->web.status = status;
    admin_page_set(page, "error", json_string(detail));
    admin_page_set(page, "wrong", fields ? fields : json_object());
    admin_page_set(page, "form", json_incref(action->form.body.root));
    admin_page_set(page, "sent", json_true());
    if (action->name) admin_page_set(page, "open", json_pack("{s:b}", action->name, true));
    web_form_done(&action->form);
    struct verdict verdict = admin_page_run(page);
    (void)verdict;
}

struct verdict admin_action_wrong(struct admin_action *action, const char *field,
                                  const char *message)
{
    struct http_request *request = action->request;
    admin_action_again(action, 422, "Nothing was changed yet; see below.",
                       json_pack("{s:s}", field, message));
    return http_pending(request);
}

/* "body.rate_limits[0].limit" is about the field rate_limits. */
static json_t *wrong_fields(const json_t *problem)
{
    json_t *fields = json_object();
    size_t index;
    json_t *error;
    json_array_foreach(json_object_get(problem, "errors"), index, error)
    {
        const char *location = json_string_value(json_object_get(error, "location"));
        const char *dot = location ? strchr(location, '.') : NULL;
        char name[64];
        if (!dot) continue;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(dot + 1, ".["), dot + 1);
        if (json_object_set(fields, name, json_object_get(error, "message"))) break;
    }
    return fields;
}

static void call_failed(struct admin_action *action)
{
    struct inner_call *call = &action->call;
    json_t *fields = wrong_fields(call->answer);
    const char *text = json_string_value(json_object_get(call->answer, "detail"));
    char detail[256];
    bool listed = json_object_size(fields) != 0;
    snprintf(detail, sizeof detail, "%s",
             listed ? "Nothing was changed yet; see below."
             : text ? text
                    : "It was not done; try again.");
    int status = call->status;
    inner_call_done(call);
    admin_action_again(action, status, detail, fields);
}

/* Somebody was quicker: what was typed is shown over what stands now, and may be sent again. */
static void overtaken(struct admin_action *action)
{
    bool creates = action->creates;
    inner_call_done(&action->call);
    int gone = json_object_del(action->form.body.root, "version");
    (void)gone;
    admin_action_again(action, 412,
                       creates ? "Nothing was made: there is one already."
                               : "Nothing was saved: somebody changed this since you opened it. "
                                 "Below stands what you typed. Save it again to replace their "
                                 "change, or open the page anew to see it.",
                       NULL);
}

static void call_done(struct inner_call *call)
{
    struct admin_action *action = CONTAINER_OF(call, struct admin_action, call);
    if (call->status == 412) {
        overtaken(action);
        return;
    }
    if (call->status >= 300) {
        call_failed(action);
        return;
    }
    if (action->shows) {
        action->shows(action);
        return;
    }
    inner_call_done(call);
    admin_action_leave(action);
}

static struct verdict no_memory(struct admin_action *action)
{
    struct http_request *request = action->request;
    web_form_done(&action->form);
    return web_reply_error(request, ERR_NO_MEMORY, NULL);
}

static struct verdict call_start(struct admin_action *action, enum http_method method,
                                 const char *path, struct span body)
{
    struct http_request *request = action->request;
    const char *once = web_form_text(&action->form, "once");
    const char *version = web_form_text(&action->form, "version");
    const char *if_match = *version ? arena_printf(&request->arena, "\"%.40s\"", version) : NULL;
    if (!path || (*version && !if_match)) return no_memory(action);
    action->call = (struct inner_call){.method = method,
                                       .path = path,
                                       .body = body,
                                       .if_match = if_match,
                                       .if_none = action->creates,
                                       .done = call_done};
    if (strlen(once) >= ONCE_MIN) {
        action->call.once = span_text(once);
        action->call.whose = admin_of(request)->session;
    }
    inner_call_start(&action->call, request);
    return http_pending(request);
}

struct verdict admin_action_call(struct admin_action *action, enum http_method method,
                                 const char *path, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    const char *copy = text ? arena_copy(&action->request->arena, span_text(text)) : NULL;
    free(text);
    json_decref(body);
    return copy ? call_start(action, method, path, span_text(copy)) : no_memory(action);
}

struct verdict admin_action_call_bare(struct admin_action *action, enum http_method method,
                                      const char *path)
{
    return call_start(action, method, path, (struct span){0});
}

/* ---- bodies ---- */

void admin_body_set(json_t **body, const char *name, json_t *value)
{
    if (!json_object_set_new(*body, name, value)) return;
    json_decref(*body);
    *body = NULL;
}

json_t *admin_field_or_null(const struct admin_action *action, const char *name)
{
    const char *text = web_form_text(&action->form, name);
    return *text ? json_string(text) : json_null();
}

json_t *admin_field_number(const struct admin_action *action, const char *name)
{
    const char *text = web_form_text(&action->form, name);
    uint64_t value = 0;
    if (!*text) return json_null();
    if (u64_parse(span_text(text), INT64_MAX, &value)) return json_integer((json_int_t)value);
    return json_string(text);
}

json_t *admin_field_list(const struct admin_action *action, const char *name)
{
    json_t *boxes = json_object_get(action->form.body.root, name);
    if (json_is_array(boxes)) return json_incref(boxes);
    json_t *list = json_array();
    const char *at = web_form_text(&action->form, name);
    while (list && *at) {
        size_t length = strcspn(at, ", \t\n");
        if (length && json_array_append_new(list, json_stringn(at, length))) {
            json_decref(list);
            return NULL;
        }
        at += length;
        at += strspn(at, ", \t\n");
    }
    return list;
}
