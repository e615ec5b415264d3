/* What a form of the dashboard does: a management call, then a redirect, a page that shows a new
 * secret once, or the form's page again with what was wrong. A form with the field `version`
 * changes only what still is as it was shown. Lives in the request's arena. Loop thread. */
#ifndef KEYMETER_API_ADMIN_ACTION_H
#define KEYMETER_API_ADMIN_ACTION_H

#include "api/admin_page.h"
#include "api/web_form.h"

struct admin_action {
    struct http_request *request;
    struct web_form form;
    /* The page with the form, for showing it again; not yet run. NULL: the problem as a page. */
    struct admin_page *(*page)(struct http_request *request);
    bool creates;     /* only what is not there yet: 412 otherwise */
    const char *name; /* of the form among those of the page: opens it there again */
    /* Success: a path like "admin/keys?done=saved" in the request's arena, for which it may look at
     * call.answer. NULL: `shows` says what is shown. */
    const char *to;
    void (*shows)(struct admin_action *action);
    struct inner_call call;
};

/* Reads the form. NULL: *verdict is the answer. */
struct admin_action *admin_action_new(struct http_request *request, struct verdict *verdict);
/* Calls. `path` is the request's arena's, `body` is taken over; NULL of either: there was no memory
 * for it, nothing is called, and the answer is 503. */
MUST_USE struct verdict admin_action_call(struct admin_action *action, enum http_method method,
                                          const char *path, json_t *body);
/* The same of a call that has no body. */
MUST_USE struct verdict admin_action_call_bare(struct admin_action *action, enum http_method method,
                                               const char *path);
/* The page again with these errors: a text for the whole, and by field {"title": "…"} (taken over;
 * may be NULL). The request must be pending. */
void admin_action_again(struct admin_action *action, int status, const char *detail,
                        json_t *fields);
/* The same with one field's error, before anything was called. */
MUST_USE struct verdict admin_action_wrong(struct admin_action *action, const char *field,
                                           const char *message);
/* Goes to `to`. */
void admin_action_leave(struct admin_action *action);

/* ---- making bodies of what the form has: whole, or NULL where memory ends ---- */
/* Takes `value` over. What cannot be put into *body frees it: it is NULL then, and stays so. */
void admin_body_set(json_t **body, const char *name, json_t *value);
/* The field's text, or JSON null when it is empty: what a PATCH clears. */
json_t *admin_field_or_null(const struct admin_action *action, const char *name);
/* A number; what is none goes as text, so that the call tells what is wrong. */
json_t *admin_field_number(const struct admin_action *action, const char *name);
/* The rows limit_name_1, limit_1, window_1 … as rate_limits. */
json_t *admin_limits_read(const struct admin_action *action);
/* The list of boxes name[], or the words of a text field between commas, blanks and lines. */
json_t *admin_field_list(const struct admin_action *action, const char *name);

#endif
