/* The customer portal: pages of one customer's keys for whoever came by a link of POST
 * /v1/portal-sessions. Loop thread, but for `read`.
 *
 * A handler makes an object that embeds a struct portal_visit first (portal_visit_new), sets `read`
 * and `show`, and starts it: the frame looks who it is, `read` fetches what the page shows, and
 * `show` answers, or submits a change and sets `keeps`. A form's handler has portal_form_open read
 * the form first. */
#ifndef KEYMETER_API_PORTAL_H
#define KEYMETER_API_PORTAL_H

#include "api/web.h"
#include "api/web_form.h"
#include "api/web_session.h"
#include "service/portal.h"

#define PORTAL_COOKIE "km_portal"

struct portal_visit {
    struct http_request *request;
    /* Reader's thread, within a snapshot; memory from `arena`. NULL: nothing to be read. */
    enum err (*read)(struct db *db, struct portal_visit *visit);
    struct verdict (*show)(struct portal_visit *visit);
    void (*done)(struct portal_visit *visit); /* frees what the object holds besides; may be NULL */
    bool keeps; /* the change that `show` has submitted calls portal_visit_free */
    struct web_form form;
    /* found: */
    struct portal_session session;
    char csrf[WEB_CSRF_SIZE];
    int64_t now_ms;
    struct arena arena;
    struct problem problem;
    /* its own: */
    bool known; /* there is a cookie */
    struct portal_admission admission;
    struct db_job job;
};

/* Zeroed, `size` bytes; NULL: no memory. */
MUST_USE void *portal_visit_new(struct http_request *request, size_t size);
/* Frees it sooner or later. Without a live session the answer says so (401). */
MUST_USE struct verdict portal_visit_start(struct portal_visit *visit);
/* Before it, for what a form asks. False: *verdict is the answer, and the visit is freed. */
MUST_USE bool portal_form_open(struct portal_visit *visit, struct verdict *verdict);
void portal_visit_free(struct portal_visit *visit);
/* Makes the operation this visitor's: service, request, admission. */
void portal_visit_admit(struct portal_visit *visit, struct operation *operation, unsigned need);

/* What every page of the portal shows, as its context: csrf, a fresh `form`, may_…, `at_NAME`. */
json_t *portal_context(const struct portal_visit *visit, const char *at);
/* A page of a visit; `context` is taken over. */
MUST_USE struct verdict portal_reply(struct portal_visit *visit, int status, const char *name,
                                     const char *title, json_t *context);
/* What was refused, with a way back ("portal/keys/…"). */
MUST_USE struct verdict portal_refuse(struct portal_visit *visit, enum err error,
                                      struct problem *problem, const char *back);

/* Code samples, filled with the secret; NULL: with YOUR_API_KEY. */
void portal_samples_put(json_t *context, const struct secret *secret);

/* The handlers, for api/web_routes.c. */
http_handler handle_portal_link, handle_portal_open, handle_portal_sign_out,
    handle_portal_signed_out, handle_portal_overview, handle_portal_welcome, handle_portal_key,
    handle_portal_confirm, handle_portal_act, handle_portal_edit_page, handle_portal_edit,
    handle_portal_new_key, handle_portal_create_key, handle_portal_encryption,
    handle_portal_encrypt, handle_portal_notices;

#endif
