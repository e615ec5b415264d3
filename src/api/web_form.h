/* The body of an HTML form (application/x-www-form-urlencoded), read with the same readers as a
 * JSON body (api/request.h), so that a page refuses what a call refuses. Loop thread.
 *
 *     struct web_form form CLEANUP(web_form_done) = {0};
 *     if (!web_form_open(&form, request, csrf)) return web_reply_problem(request,
 *                                                                      &form.body.problem, 0);
 *     field_text(&form.body.fields, "title", 0, 200, &title);
 *     if (!web_form_finish(&form)) …the page again, with form.body.problem's fields
 *
 * An empty field counts as absent (web_form_is_empty tells the difference). A name that ends in
 * "[]" is a list without that ending, for field_names. "\r\n" becomes "\n". */
#ifndef KEYMETER_API_WEB_FORM_H
#define KEYMETER_API_WEB_FORM_H

#include "api/request.h"

struct web_form {
    struct body body;
    json_t *empty; /* names of fields that were sent empty */
};

/* `csrf`: what the hidden field of that name must hold; NULL: the form is for nobody in particular.
 * False: form->body.problem is set: 403 cross_site or form_expired, 415, 400. */
MUST_USE bool web_form_open(struct web_form *form, struct http_request *request, const char *csrf);
bool web_form_is_empty(const struct web_form *form, const char *name);
/* A text as it was sent, for showing the form again; "" when absent. */
const char *web_form_text(const struct web_form *form, const char *name);
/* A whole number that was typed in. */
enum field web_form_u64(struct web_form *form, const char *name, uint64_t min, uint64_t max,
                        uint64_t *out);
/* Whether a box is ticked. */
bool web_form_box(struct web_form *form, const char *name);
/* Refuses names that nobody asked for. False: body.problem has the errors (422). */
MUST_USE bool web_form_finish(struct web_form *form);
void web_form_done(struct web_form *form);
/* For the form shown again: {"title": "must be …"} by the fields' names, and "form" for the rest.
 */
json_t *web_form_errors(const struct web_form *form);

#endif
