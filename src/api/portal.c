/* The frame of the portal's pages. Called by its handlers on the loop thread; visit_run is on a
 * reader's. What always holds: nothing of a customer is read before the cookie's session was found
 * live, and everything is read of that session's customer alone. */
#include "api/portal.h"

#include "api/problem.h"
#include "base/clock.h"
#include "base/codec.h"
#include "crypto/key_hash.h"
#include "service/context.h"
#include "store/usage_snapshot.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static struct verdict nobody(struct http_request *request)
{
    struct buf headers CLEANUP(buf_done) = {0};
    bool secure = web_cookie_is_secure(request);
    if (web_session_read(request, PORTAL_COOKIE, secure).length)
        web_session_write(&headers, PORTAL_COOKIE, secure, (struct span){0}, 0);
    struct web_page page = {.status = 401,
                            .name = "portal_ended",
                            .title = "Your visit has ended",
                            .headers = buf_span(&headers)};
    return web_reply(request, &page);
}

void *portal_visit_new(struct http_request *request, size_t size)
{
    struct portal_visit *visit = calloc(1, size);
    if (!visit) return NULL;
    struct span cookie = web_session_read(request, PORTAL_COOKIE, web_cookie_is_secure(request));
    visit->request = request;
    visit->known = cookie.length > 0;
    if (!visit->known) return visit;
    key_hash(request_service(request)->keyring, cookie, visit->admission.hash);
    web_csrf_make(request, cookie, visit->csrf);
    return visit;
}

void portal_visit_free(struct portal_visit *visit)
{
    if (visit->done) visit->done(visit);
    web_form_done(&visit->form);
    arena_done(&visit->arena);
    free(visit);
}

static enum err visit_run(struct db *db, struct db_job *job)
{
    struct portal_visit *visit = CONTAINER_OF(job, struct portal_visit, job);
    arena_done(&visit->arena);
    visit->problem = (struct problem){0};
    visit->session = (struct portal_session){0};
    enum err error = usage_snapshot_begin(db);
    if (!error)
        error = portal_find(db, visit->admission.hash, visit->now_ms, false, &visit->arena,
                            &visit->session);
    if (!error && visit->read) error = visit->read(db, visit);
    usage_snapshot_end(db);
    return error;
}

static struct verdict visit_answer(struct portal_visit *visit, enum err error)
{
    if (!error) return visit->show(visit);
    if (error == ERR_NOT_FOUND && !visit->session.id) return nobody(visit->request);
    if (error == ERR_NOT_FOUND)
        error = problem_set(&visit->problem, 404, "not_found",
                            "There is nothing of yours at this address.");
    return web_reply_error(visit->request, error, &visit->problem);
}

static void visit_done(struct db_job *job, enum err error)
{
    struct portal_visit *visit = CONTAINER_OF(job, struct portal_visit, job);
    struct verdict verdict = visit_answer(visit, error);
    (void)verdict; /* due only inside a dispatch */
    if (!visit->keeps) portal_visit_free(visit);
}

struct verdict portal_visit_start(struct portal_visit *visit)
{
    struct http_request *request = visit->request;
    struct verdict verdict;
    visit->now_ms = clock_wall_ms();
    visit->job = (struct db_job){.run = visit_run, .done = visit_done};
    if (!visit->known) {
        verdict = nobody(request);
    } else {
        enum err error = db_submit(request_service(request)->readers, &visit->job);
        if (!error) return http_pending(request);
        verdict = web_reply_error(request, error, NULL);
    }
    portal_visit_free(visit);
    return verdict;
}

bool portal_form_open(struct portal_visit *visit, struct verdict *verdict)
{
    struct http_request *request = visit->request;
    const char *number = "";
    if (!visit->known) {
        *verdict = nobody(request);
    } else if (!web_form_open(&visit->form, request, visit->csrf)) {
        *verdict = web_reply_problem(request, &visit->form.body.problem, 0);
    } else {
        struct fields *fields = &visit->form.body.fields;
        field_word(fields, "form", 1, 64, &number);
        if (hex_decode(visit->admission.form, PORTAL_FORM_SIZE, span_text(number))) return true;
        struct problem problem = {0};
        enum err denied = problem_set(&problem, 400, "malformed_form",
                                      "The form cannot be read; open the page again.");
        (void)denied;
        *verdict = web_reply_problem(request, &problem, 0);
    }
    portal_visit_free(visit);
    return false;
}

void portal_visit_admit(struct portal_visit *visit, struct operation *operation, unsigned need)
{
    operation->service = request_service(visit->request);
    operation->request = visit->request;
    visit->admission.need = need;
    visit->admission.customer_id = visit->session.customer_id;
    portal_admit(operation, &visit->admission);
}

/* ---- pages ---- */

json_t *portal_context(const struct portal_visit *visit, const char *at)
{
    unsigned char number[PORTAL_FORM_SIZE];
    char form[2 * PORTAL_FORM_SIZE + 1], name[48];
    randombytes_buf(number, sizeof number);
    hex_encode(form, number, sizeof number);
    json_t *context = json_pack("{s:s, s:s}", "csrf", visit->csrf, "form_number", form);
    bool good = context != NULL;
    for (unsigned i = 0; good && i < PORTAL_MAY_COUNT; i++) {
        snprintf(name, sizeof name, "may_%s", portal_may_names[i]);
        good = !json_object_set_new(context, name, json_boolean(visit->session.may >> i & 1));
    }
    snprintf(name, sizeof name, "at_%s", at);
    if (good) good = !json_object_set_new(context, name, json_true());
    if (good) return context;
    json_decref(context);
    return NULL;
}

struct verdict portal_reply(struct portal_visit *visit, int status, const char *name,
                            const char *title, json_t *context)
{
    if (!context) return web_reply_error(visit->request, ERR_NO_MEMORY, NULL);
    struct web_page page = {
        .status = status, .name = name, .title = title, .context = context, .forms = true};
    return web_reply(visit->request, &page);
}

struct verdict portal_refuse(struct portal_visit *visit, enum err error, struct problem *problem,
                             const char *back)
{
    problem_for_error(error, problem);
    if (problem->status == 500 || problem->status == 404)
        return web_reply_error(visit->request, error, problem);
    if (problem->status == 401) return nobody(visit->request);
    json_t *context = portal_context(visit, "refused");
    if (context && (json_object_set_new(context, "detail", json_string(problem->detail)) ||
                    json_object_set_new(context, "back", json_string(back)))) {
        json_decref(context);
        context = NULL;
    }
    const char *title = problem->code && span_is(span_text(problem->code), "already_done")
                            ? "This was done already"
                            : "That could not be done";
    return portal_reply(visit, problem->status, "portal_refused", title, context);
}
