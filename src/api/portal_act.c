/* What a visitor does to keys. Called by api/web_routes.c on the loop thread; each change is an
 * operation of the committer that looks for the session in its own transaction. What always holds:
 * a secret stands in the one answer to the form that made it, and a form that is sent again does
 * nothing (service/portal.h). */
#include "api/portal_grants.h"
#include "api/portal_key.h"
#include "api/portal_view.h"

#include "base/codec.h"
#include "core/permission.h"
#include "service/claim.h"
#include "service/context.h"
#include "service/key_edit.h"
#include "service/rotate.h"
#include "store/entitlement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TITLE_MAX = 200, DESCRIPTION_MAX = 1000, ADDRESS_MAX = 96 };

void portal_samples_put(json_t *context, const struct secret *secret)
{
    portal_put(context, "api_key",
               secret ? json_stringn(secret->text, secret->length) : json_string("YOUR_API_KEY"));
}

/* ---- the one page that shows a secret ---- */

static struct verdict reveal(struct portal_visit *visit, struct key_change *change, const char *how)
{
    json_t *context = portal_context(visit, "reveal");
    portal_put(context, "key", portal_key_json(&change->view, visit->now_ms));
    portal_put(context, how, json_true());
    portal_samples_put(context, change->secret);
    if (!context) return web_reply_error(visit->request, ERR_NO_MEMORY, NULL);
    struct web_page page = {.status = 200,
                            .name = "portal_reveal",
                            .title = "Your new API key",
                            .context = context,
                            .forms = true,
                            .wipe = true};
    return web_reply(visit->request, &page);
}

/* ---- changes of a key that stands ---- */

struct key_action {
    struct portal_key key;
    union {
        struct key_change change;
        struct rotate rotate;
        struct key_state_change state;
    } with;
};

static struct key_action *action_of(struct key_change *change)
{
    return CONTAINER_OF(change, struct key_action, with.change);
}

static void key_address(char out[ADDRESS_MAX], uint64_t key_id)
{
    char id[ID_TEXT_SIZE];
    id_format(id, "key", key_id);
    snprintf(out, ADDRESS_MAX, "portal/keys/%s", id);
}

static void acted(struct key_change *change, enum err error)
{
    struct key_action *self = action_of(change);
    struct portal_visit *visit = &self->key.visit;
    char back[ADDRESS_MAX], to[ADDRESS_MAX + 32];
    struct verdict verdict;
    key_address(back, self->key.id);
    snprintf(to, sizeof to, "%s?done=%s", back, self->key.action->name);
    if (error)
        verdict = portal_refuse(visit, error, &change->operation.problem, back);
    else if (change->secret)
        verdict = reveal(visit, change, self->key.action->name);
    else
        verdict = web_redirect(visit->request, to, (struct span){0});
    (void)verdict; /* due only inside a dispatch */
    portal_visit_free(visit);
}

/* Frees what the change holds, and the visit's own. */
static void action_done(struct portal_visit *visit)
{
    struct key_action *self = CONTAINER_OF(visit, struct key_action, key.visit);
    key_change_done(&self->with.change);
}

/* Hours of overlap: one of the choices of the form. */
static uint32_t grace_of(struct web_form *form)
{
    static const char *const words[] = {"24", "1", "168", NULL};
    static const uint32_t hours[] = {24, 1, 168};
    unsigned choice = 0;
    enum field field = field_choice(&form->body.fields, "hours", words, &choice);
    return hours[field == FIELD_SET ? choice : 0] * 3600;
}

static void action_init(struct key_action *self)
{
    const char *name = self->key.action->name;
    struct span word = span_text(name);
    if (span_is(word, "regenerate"))
        regenerate_init(&self->with.change);
    else if (span_is(word, "rotate"))
        rotate_init(&self->with.rotate, grace_of(&self->key.visit.form));
    else if (span_is(word, "end-overlap"))
        rotate_end_init(&self->with.change);
    else if (span_is(word, "resend-claim"))
        claim_resend_init(&self->with.change);
    else if (span_is(word, "disable"))
        key_state_init(&self->with.state, KEY_STATE_DISABLE);
    else if (span_is(word, "enable"))
        key_state_init(&self->with.state, KEY_STATE_ENABLE);
    else
        key_state_init(&self->with.state, KEY_STATE_REVOKE);
}

static struct verdict act_show(struct portal_visit *visit)
{
    struct key_action *self = CONTAINER_OF(visit, struct key_action, key.visit);
    struct key_change *change = &self->with.change;
    char back[ADDRESS_MAX];
    change->key_id = self->key.id;
    change->customer_id = visit->session.customer_id;
    change->within = visit->session.within;
    change->done = acted;
    action_init(self);
    portal_visit_admit(visit, &change->operation, self->key.action->need);
    visit->done = action_done;
    key_address(back, self->key.id);
    if (!web_form_finish(&visit->form))
        return portal_refuse(visit, ERR_DENIED, &visit->form.body.problem, back);
    enum err error = key_change_submit(change);
    if (error) return portal_refuse(visit, error, &change->operation.problem, back);
    visit->keeps = true;
    return http_pending(visit->request);
}

struct verdict handle_portal_act(struct http_request *request)
{
    struct verdict verdict;
    struct portal_key *key = portal_key_new(request, sizeof(struct key_action), &verdict);
    if (!key) return verdict;
    key->visit.show = act_show;
    if (!portal_form_open(&key->visit, &verdict)) return verdict;
    return portal_visit_start(&key->visit);
}

/* ---- another key ---- */

struct new_key_visit {
    struct portal_visit visit;
    struct issue issue;
    struct entitlement_row entitlement;
    struct tier_row tier;
    const char *permissions;
    char expires[32];
    unsigned environment;
};

static enum err new_key_read(struct db *db, struct portal_visit *visit)
{
    struct new_key_visit *self = CONTAINER_OF(visit, struct new_key_visit, visit);
    enum err error =
        entitlement_find(db, visit->session.customer_id, &visit->arena, &self->entitlement);
    return error ? error : tier_row_find(db, span_text(self->entitlement.tier), &self->tier);
}

/* Those of the tier that the link's maker may grant, ticked as they were sent. */
static json_t *boxes_json(const struct new_key_visit *self)
{
    const char *within = self->visit.session.within;
    struct span rest = span_text(self->tier.tier.permissions), name;
    json_t *list = json_array();
    while (list && permission_next(&rest, &name)) {
        if (within && !permission_has(span_text(within), name)) continue;
        bool ticked = self->permissions && permission_has(span_text(self->permissions), name);
        json_t *one = json_pack("{s:s%, s:b}", "name", name.data, name.length, "ticked", ticked);
        if (!one || json_array_append_new(list, one)) break;
    }
    return list;
}

static struct verdict new_key_page(struct new_key_visit *self, int status)
{
    struct portal_visit *visit = &self->visit;
    json_t *context = portal_context(visit, "keys");
    json_t *boxes = boxes_json(self);
    portal_put(context, "any_boxes", json_boolean(json_array_size(boxes) > 0));
    portal_put(context, "boxes", boxes);
    portal_put(context, "today", portal_time(visit->now_ms));
    portal_grants_put(context, &self->tier.tier, NULL, visit->form.body.root ? &visit->form : NULL);
    portal_put(context, "is_test", json_boolean(self->environment == 1));
    if (visit->form.body.root) {
        portal_put(context, "wrong", web_form_errors(&visit->form));
        portal_put(context, "sent_title", json_string(web_form_text(&visit->form, "title")));
        portal_put(context, "sent_description",
                   json_string(web_form_text(&visit->form, "description")));
        portal_put(context, "sent_expires", json_string(web_form_text(&visit->form, "expires_at")));
    }
    return portal_reply(visit, status, "portal_new_key", "Create a key", context);
}

static struct verdict new_key_show(struct portal_visit *visit)
{
    return new_key_page(CONTAINER_OF(visit, struct new_key_visit, visit), 200);
}

struct verdict handle_portal_new_key(struct http_request *request)
{
    struct new_key_visit *self = portal_visit_new(request, sizeof *self);
    if (!self) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    self->visit.read = new_key_read;
    self->visit.show = new_key_show;
    return portal_visit_start(&self->visit);
}

static void created(struct key_change *change, enum err error)
{
    struct issue *issue = CONTAINER_OF(change, struct issue, change);
    struct new_key_visit *self = CONTAINER_OF(issue, struct new_key_visit, issue);
    struct portal_visit *visit = &self->visit;
    struct problem *problem = &change->operation.problem;
    struct verdict verdict;
    if (!error) {
        verdict = reveal(visit, change, "create");
    } else if (error == ERR_DENIED && problem->field_count) {
        visit->form.body.problem = *problem;
        verdict = new_key_page(self, 422);
    } else {
        verdict = portal_refuse(visit, error, problem, "portal");
    }
    (void)verdict; /* due only inside a dispatch */
    portal_visit_free(visit);
}

static void create_done(struct portal_visit *visit)
{
    struct new_key_visit *self = CONTAINER_OF(visit, struct new_key_visit, visit);
    key_change_done(&self->issue.change);
}

/* A day, as <input type="date"> sends it: the key ends when it begins. */
static void expires_read(struct new_key_visit *self, struct fields *fields)
{
    const char *day = NULL;
    if (field_word(fields, "expires_at", 1, 10, &day) != FIELD_SET) return;
    snprintf(self->expires, sizeof self->expires, "%sT00:00:00Z", day);
    if (!time_parse(span_text(self->expires), &self->issue.settings.expires_at))
        field_wrong(fields, "expires_at", "must be a day such as 2027-01-31");
    else if (self->issue.settings.expires_at <= self->visit.now_ms)
        field_wrong(fields, "expires_at", "must be in the future");
}

static void settings_read(struct new_key_visit *self)
{
    static const char *const environments[] = {"live", "test", NULL};
    struct key_settings *settings = &self->issue.settings;
    struct fields *fields = &self->visit.form.body.fields;
    field_text(fields, "title", 1, TITLE_MAX, &settings->title);
    field_lines(fields, "description", 0, DESCRIPTION_MAX, &settings->description);
    field_choice(fields, "environment", environments, &self->environment);
    field_names(fields, "permissions", PERMISSIONS_MAX, PERMISSION_MAX, &self->permissions);
    expires_read(self, fields);
    bool own = portal_grants_read(&self->visit.form, &self->tier.tier, NULL, settings);
    (void)own;
    settings->test = self->environment == 1;
    settings->permissions = self->permissions;
}

static struct verdict create_show(struct portal_visit *visit)
{
    struct new_key_visit *self = CONTAINER_OF(visit, struct new_key_visit, visit);
    struct issue *issue = &self->issue;
    issue_init(issue);
    settings_read(self);
    if (!web_form_finish(&visit->form)) return new_key_page(self, 422);
    issue->customer.id = visit->session.customer_id;
    issue->settings.within = visit->session.within;
    issue->settings.at = "form";
    issue->change.done = created;
    portal_visit_admit(visit, &issue->change.operation, PORTAL_CREATE_KEYS);
    visit->done = create_done;
    enum err error = key_change_submit(&issue->change);
    if (error) return portal_refuse(visit, error, &issue->change.operation.problem, "portal");
    visit->keeps = true;
    return http_pending(visit->request);
}

struct verdict handle_portal_create_key(struct http_request *request)
{
    struct verdict verdict;
    struct new_key_visit *self = portal_visit_new(request, sizeof *self);
    if (!self) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    self->visit.read = new_key_read;
    self->visit.show = create_show;
    if (!portal_form_open(&self->visit, &verdict)) return verdict;
    return portal_visit_start(&self->visit);
}
