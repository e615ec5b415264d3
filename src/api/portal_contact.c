/* The visitor's keys for encrypted mail, and the mails that were sent. Called by api/web_routes.c
 * on the loop thread; reads are jobs of the readers, a change is an operation of the committer. */
#include "api/portal.h"
#include "api/portal_view.h"

#include "base/codec.h"
#include "service/context.h"
#include "service/customer_edit.h"
#include "store/outbox.h"

#include <stdio.h>
#include <string.h>

enum { NOTICES_SHOWN = 50, KEY_TEXT_MAX = 60000 };

/* ---- keys for encrypted mail ---- */

struct encrypt_visit {
    struct portal_visit visit;
    struct customer_keys keys;
    struct customer_edit edit;
};

static enum err keys_read(struct db *db, struct portal_visit *visit)
{
    struct encrypt_visit *self = CONTAINER_OF(visit, struct encrypt_visit, visit);
    return customer_keys_ends(db, visit->session.customer_id, &visit->arena, &self->keys);
}

/* "1234 5678 …": so that people compare it. */
static void fingerprint_put(json_t *object, const char *fingerprint)
{
    char text[200];
    size_t used = 0;
    for (size_t i = 0; fingerprint[i] && used + 3 < sizeof text; i++) {
        if (i && i % 4 == 0) text[used++] = ' ';
        text[used++] = fingerprint[i];
    }
    text[used] = '\0';
    portal_put(object, "fingerprint", json_string(text));
}

static struct verdict encryption_page(struct encrypt_visit *self, int status)
{
    static const char *const names[] = {[MAIL_KEY_OPENPGP] = "openpgp", [MAIL_KEY_SMIME] = "smime"};
    struct portal_visit *visit = &self->visit;
    json_t *context = portal_context(visit, "encryption");
    for (size_t i = 0; context && i < COUNT_OF(names); i++) {
        const struct customer_key *key = &self->keys.of[i];
        if (!names[i] || !key->fingerprint) continue;
        json_t *one = json_object();
        fingerprint_put(one, key->fingerprint);
        portal_put(one, "ends", portal_time(key->ends_at));
        portal_put(context, names[i], one);
    }
    if (visit->form.body.root) {
        portal_put(context, "wrong", web_form_errors(&visit->form));
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            char name[32];
            snprintf(name, sizeof name, "sent_%s", encryption_field((enum mail_key_kind)i));
            portal_put(context, name,
                       json_string(web_form_text(&visit->form, encryption_field(i))));
        }
    } else if (query_text(visit->request, "done").data) {
        portal_put(context, "done", json_true());
    }
    return portal_reply(visit, status, "portal_encryption", "Encrypted mail", context);
}

static struct verdict encryption_show(struct portal_visit *visit)
{
    return encryption_page(CONTAINER_OF(visit, struct encrypt_visit, visit), 200);
}

struct verdict handle_portal_encryption(struct http_request *request)
{
    struct encrypt_visit *self = portal_visit_new(request, sizeof *self);
    if (!self) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    self->visit.read = keys_read;
    self->visit.show = encryption_show;
    return portal_visit_start(&self->visit);
}

static void encrypted(struct customer_edit *edit, enum err error)
{
    struct encrypt_visit *self = CONTAINER_OF(edit, struct encrypt_visit, edit);
    struct portal_visit *visit = &self->visit;
    struct problem *problem = &edit->operation.problem;
    struct verdict verdict;
    if (!error) {
        verdict = web_redirect(visit->request, "portal/encryption?done=1", (struct span){0});
    } else if (error == ERR_DENIED && problem->field_count) {
        visit->form.body.problem = *problem;
        verdict = encryption_page(self, 422);
    } else {
        verdict = portal_refuse(visit, error, problem, "portal/encryption");
    }
    (void)verdict; /* due only inside a dispatch */
    portal_visit_free(visit);
}

static void encrypt_done(struct portal_visit *visit)
{
    customer_edit_done(&CONTAINER_OF(visit, struct encrypt_visit, visit)->edit);
}

/* A field that was left empty changes nothing; taking a key away has a button of its own. */
static void encryption_read(struct encrypt_visit *self)
{
    struct web_form *form = &self->visit.form;
    struct fields *fields = &form->body.fields;
    struct encryption *encryption = &self->edit.contact.encryption;
    const char *away = "";
    field_word(fields, "remove", 1, 32, &away);
    for (int kind = 0; kind < MAIL_KEY_KINDS; kind++) {
        const char *name = encryption_field((enum mail_key_kind)kind), *text = NULL;
        bool removes = strcmp(away, name) == 0;
        enum field field = field_lines(fields, name, 1, KEY_TEXT_MAX, &text);
        if (!removes && field != FIELD_SET) continue;
        encryption->of[kind].given = true;
        encryption->of[kind].text = removes ? NULL : text;
    }
    if (encryption_given(encryption) || fields->problem->field_count) return;
    problem_add_field(fields->problem, "form.form", "Paste a key or a certificate first.");
}

static struct verdict encrypt_show(struct portal_visit *visit)
{
    struct encrypt_visit *self = CONTAINER_OF(visit, struct encrypt_visit, visit);
    struct customer_edit *edit = &self->edit;
    encryption_read(self);
    if (!web_form_finish(&visit->form)) return encryption_page(self, 422);
    edit->customer.id = visit->session.customer_id;
    edit->done = encrypted;
    portal_visit_admit(visit, &edit->operation, PORTAL_EDIT_ENCRYPTION);
    visit->done = encrypt_done;
    enum err error = customer_edit_start(edit);
    if (error) return portal_refuse(visit, error, &edit->operation.problem, "portal/encryption");
    visit->keeps = true;
    return http_pending(visit->request);
}

struct verdict handle_portal_encrypt(struct http_request *request)
{
    struct verdict verdict;
    struct encrypt_visit *self = portal_visit_new(request, sizeof *self);
    if (!self) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    self->visit.read = keys_read;
    self->visit.show = encrypt_show;
    if (!portal_form_open(&self->visit, &verdict)) return verdict;
    return portal_visit_start(&self->visit);
}

/* ---- mails ---- */

struct notices_visit {
    struct portal_visit visit;
    struct outbox_view *mails;
    size_t count;
};

/* What a mail was about, for whom it was. */
static const char *about(const char *kind)
{
    static const struct {
        const char *kind, *about;
    } all[] = {
        {"key_issued", "A new key"},
        {"rotation_upcoming", "A rotation is coming up"},
        {"rotated", "A key was rotated"},
        {"claim_reminder", "Reminder: a new key waits for you"},
        {"old_secret_in_use", "The old secret is still in use"},
        {"retired", "An old secret was retired"},
        {"expiring", "A key is about to expire"},
        {"regenerated", "A key was regenerated"},
        {"revoked", "A key was revoked"},
        {"contact_changed", "Your contact details were changed"},
        {"encryption_expiring", "Your key for encrypted mail is about to expire"},
        {"quota_80", "80 % of the quota was used"},
        {"quota_100", "The quota was used up"},
        {"payment_failed", "A payment failed"},
        {"suspended", "Keys were suspended"},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (strcmp(all[i].kind, kind) == 0) return all[i].about;
    return "A notice";
}

static enum err notices_read(struct db *db, struct portal_visit *visit)
{
    struct notices_visit *self = CONTAINER_OF(visit, struct notices_visit, visit);
    struct outbox_filter filter = {.customer_id = visit->session.customer_id,
                                   .limit = NOTICES_SHOWN};
    return outbox_list(db, &filter, &visit->arena, &self->mails, &self->count);
}

static struct verdict notices_show(struct portal_visit *visit)
{
    const struct notices_visit *self = CONTAINER_OF(visit, struct notices_visit, visit);
    json_t *context = portal_context(visit, "notices"), *list = json_array();
    for (size_t i = 0; i < self->count; i++) {
        const struct outbox_view *mail = &self->mails[i];
        bool sent = mail->accepted_at != 0, failed = strcmp(mail->state, "dead") == 0;
        json_t *one = json_pack("{s:s, s:s, s:s}", "about", about(mail->kind), "state",
                                sent     ? "sent"
                                : failed ? "not delivered"
                                         : "on its way",
                                "tone",
                                sent     ? "good"
                                : failed ? "bad"
                                         : "warn");
        portal_put(one, "at", portal_time(sent ? mail->accepted_at : mail->queued_at));
        if (mail->key_id) {
            char id[ID_TEXT_SIZE];
            id_format(id, "key", mail->key_id);
            portal_put(one, "key_id", json_string(id));
        }
        if (!one || json_array_append_new(list, one)) break;
    }
    portal_put(context, "any", json_boolean(self->count > 0));
    portal_put(context, "notices", list);
    return portal_reply(visit, 200, "portal_notices", "Notices", context);
}

struct verdict handle_portal_notices(struct http_request *request)
{
    struct notices_visit *self = portal_visit_new(request, sizeof *self);
    if (!self) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    self->visit.read = notices_read;
    self->visit.show = notices_show;
    return portal_visit_start(&self->visit);
}
