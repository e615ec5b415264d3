/* A key's form in the portal: title, description, networks, rate limits. Called by api/web_routes.c
 * on the loop thread; the change is an operation of the committer that looks for the session in its
 * own transaction. What always holds: what the form does not show stays as it is, and what somebody
 * changed since it was opened is not overwritten. */
#include "api/portal_grants.h"
#include "api/portal_key.h"
#include "api/portal_view.h"

#include "base/codec.h"
#include "service/context.h"
#include "service/key_edit.h"

#include <stdio.h>

enum { TITLE_MAX = 200, DESCRIPTION_MAX = 1000, ADDRESS_MAX = 96 };

struct edit_visit {
    struct portal_key key;
    struct key_edit edit;
};

static struct verdict edit_page(struct edit_visit *self, int status)
{
    struct portal_visit *visit = &self->key.visit;
    struct web_form *form = visit->form.body.root ? &visit->form : NULL;
    const struct api_key_row *row = &self->key.view.row;
    char version[24];
    json_t *context = portal_key_context(&self->key, "edit");
    portal_grants_put(context, &self->key.tier.tier, row, form);
    portal_put(context, "sent_title",
               json_string(form ? web_form_text(form, "title") : row->title));
    portal_put(context, "sent_description",
               json_string(form ? web_form_text(form, "description") : row->description));
    snprintf(version, sizeof version, "%lld", (long long)row->updated_at);
    portal_put(context, "version",
               json_string(form && status != 412 ? web_form_text(form, "version") : version));
    if (form) portal_put(context, "wrong", web_form_errors(form));
    return portal_reply(visit, status, "portal_edit", "Edit this key", context);
}

static struct verdict edit_show(struct portal_visit *visit)
{
    return edit_page(CONTAINER_OF(visit, struct edit_visit, key.visit), 200);
}

static void edited(struct key_change *change, enum err error)
{
    struct key_edit *edit = CONTAINER_OF(change, struct key_edit, change);
    struct edit_visit *self = CONTAINER_OF(edit, struct edit_visit, edit);
    struct portal_visit *visit = &self->key.visit;
    struct problem *problem = &change->operation.problem;
    char id[ID_TEXT_SIZE], back[ADDRESS_MAX], to[ADDRESS_MAX + 16];
    struct verdict verdict;
    id_format(id, "key", self->key.id);
    snprintf(back, sizeof back, "portal/keys/%s", id);
    snprintf(to, sizeof to, "%s?done=edit", back);
    if (!error) {
        verdict = web_redirect(visit->request, to, (struct span){0});
    } else if (error == ERR_DENIED && (problem->field_count || problem->status == 412)) {
        visit->form.body.problem = *problem;
        if (problem->status == 412)
            snprintf(visit->form.body.problem.detail, sizeof problem->detail,
                     "Nothing was saved: this key was changed since you opened the form. Below "
                     "stands what you typed; save it again to replace the other change.");
        verdict = edit_page(self, problem->field_count ? 422 : 412);
    } else {
        verdict = portal_refuse(visit, error, problem, back);
    }
    (void)verdict; /* due only inside a dispatch */
    portal_visit_free(visit);
}

static void edit_done(struct portal_visit *visit)
{
    key_change_done(&CONTAINER_OF(visit, struct edit_visit, key.visit)->edit.change);
}

static void edit_read(struct edit_visit *self)
{
    struct web_form *form = &self->key.visit.form;
    struct fields *fields = &form->body.fields;
    struct key_edit *edit = &self->edit;
    const char *version = "";
    edit->settings.title = edit->settings.description = "";
    field_text(fields, "title", 1, TITLE_MAX, &edit->settings.title);
    field_lines(fields, "description", 0, DESCRIPTION_MAX, &edit->settings.description);
    field_word(fields, "version", 1, 20, &version);
    edit->has_rate_limits =
        portal_grants_read(form, &self->key.tier.tier, &self->key.view.row, &edit->settings);
    edit->precondition.if_match = arena_printf(&self->key.visit.request->arena, "\"%s\"", version);
}

static struct verdict save_show(struct portal_visit *visit)
{
    struct edit_visit *self = CONTAINER_OF(visit, struct edit_visit, key.visit);
    struct key_change *change = &self->edit.change;
    change->key_id = self->key.id;
    change->customer_id = visit->session.customer_id;
    change->within = visit->session.within;
    change->done = edited;
    key_edit_init(&self->edit);
    edit_read(self);
    if (!web_form_finish(&visit->form)) return edit_page(self, 422);
    if (!self->edit.precondition.if_match)
        return web_reply_error(visit->request, ERR_NO_MEMORY, NULL);
    self->edit.settings.at = "form";
    portal_visit_admit(visit, &change->operation, PORTAL_EDIT_KEYS);
    visit->done = edit_done;
    enum err error = key_change_submit(change);
    if (error) return portal_refuse(visit, error, &change->operation.problem, "portal");
    visit->keeps = true;
    return http_pending(visit->request);
}

struct verdict handle_portal_edit_page(struct http_request *request)
{
    struct verdict verdict;
    struct portal_key *key = portal_key_new(request, sizeof(struct edit_visit), &verdict);
    if (!key) return verdict;
    key->visit.show = edit_show;
    return portal_visit_start(&key->visit);
}

struct verdict handle_portal_edit(struct http_request *request)
{
    struct verdict verdict;
    struct portal_key *key = portal_key_new(request, sizeof(struct edit_visit), &verdict);
    if (!key) return verdict;
    key->visit.show = save_show;
    if (!portal_form_open(&key->visit, &verdict)) return verdict;
    return portal_visit_start(&key->visit);
}
