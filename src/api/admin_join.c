/* The page behind a one-time link: who is invited becomes an admin there, or sets a lost password
 * anew. Called by the routing of the dashboard on the loop thread. What always holds: opening the
 * link uses nothing; a text with wrong check digits reaches no database; wrong links are counted by
 * network, before a password is hashed for one; a password is held in guarded memory and shown by
 * no page again. */
#include "service/admin_join.h"
#include "api/admin.h"
#include "api/admin_action.h"
#include "api/request.h"
#include "base/clock.h"
#include "core/api_key.h"
#include "crypto/key_hash.h"
#include "service/client_address.h"
#include "service/context.h"
#include "service/throttle.h"

#include <string.h>

enum { COOKIE_MAX_AGE_S = 7 * 86400 };

struct join_look {
    struct db_job job;
    struct http_request *request;
    unsigned char hash[KEY_HASH_SIZE];
    int64_t now_ms;
    struct arena arena;
    struct admin_invite_row row;
    struct admin_row admin; /* of a link that sets a password */
    /* to be shown again: */
    int status;
    const char *error;
    json_t *wrong, *form;
};

static enum err link_gone(struct problem *problem)
{
    return problem_set(problem, 404, "not_found",
                       "This link was used before, or has ended. Ask for a new one; "
                       "`keymeterd admin invite` on the server makes one.");
}

/* Whether the link may be looked up; else the problem is set. */
static enum err link_read(struct http_request *request, unsigned char hash[KEY_HASH_SIZE],
                          struct problem *problem)
{
    struct api_key_parts parts;
    struct span text = path_text(request, 0);
    struct address address = client_address(request);
    if (!api_key_parse(text, &parts) || !span_is(parts.label, ADMIN_INVITE_LABEL))
        return link_gone(problem);
    if (!throttle_allows(request_service(request)->admin_throttle, &address, clock_mono_us(),
                         &problem->retry_after))
        return problem_set(problem, 429, "too_many_attempts",
                           "Too many wrong tries from your network. Wait a minute, then open the "
                           "link again.");
    key_hash(request_service(request)->keyring, text, hash);
    return ERR_OK;
}

/* ---- the page ---- */

static enum err look_run(struct db *db, struct db_job *job)
{
    struct join_look *look = CONTAINER_OF(job, struct join_look, job);
    arena_done(&look->arena);
    enum err error = admin_invite_find(db, look->hash, look->now_ms, &look->row);
    if (!error && look->row.admin_id)
        error = admin_find(db, look->row.admin_id, &look->arena, &look->admin);
    return error;
}

static struct verdict page_show(struct join_look *look)
{
    bool again = look->row.admin_id != 0;
    struct web_page page = {
        .status = look->status,
        .name = "admin_join",
        .title = again ? "Set your password" : "Welcome",
        .forms = true,
        .context = json_pack(
            "{s:s, s:b, s:s?, s:s?, s:o, s:o, s:i}", "role", admin_role_name(look->row.role),
            "again", again, "email", again ? look->admin.email : NULL, "error", look->error,
            "wrong", look->wrong ? look->wrong : json_object(), "form",
            look->form ? look->form : json_object(), "password_min", (int)PASSWORD_MIN)};
    return web_reply(look->request, &page);
}

/* What was to be shown again belongs to the page; without one it goes here. */
static struct verdict no_page(struct http_request *request, enum err error, struct problem *problem,
                              json_t *wrong, json_t *form)
{
    json_decref(wrong);
    json_decref(form);
    return web_reply_error(request, error, problem);
}

static void look_done(struct db_job *job, enum err error)
{
    struct join_look *look = CONTAINER_OF(job, struct join_look, job);
    struct http_request *request = look->request;
    struct problem problem = {0};
    struct arena arena = look->arena;
    struct verdict verdict;
    if (error == ERR_NOT_FOUND) {
        struct address address = client_address(request);
        throttle_charge(request_service(request)->admin_throttle, &address, clock_mono_us());
        error = link_gone(&problem);
    }
    if (error)
        verdict = no_page(request, error, &problem, look->wrong, look->form);
    else
        verdict = page_show(look);
    (void)verdict;
    arena_done(&arena);
}

static struct verdict page_start(struct http_request *request, int status, const char *error_text,
                                 json_t *wrong, json_t *form)
{
    struct join_look *look = ARENA_NEW(&request->arena, struct join_look);
    struct problem problem = {0};
    if (!look) return no_page(request, ERR_NO_MEMORY, &problem, wrong, form);
    *look = (struct join_look){.job = {.run = look_run, .done = look_done},
                               .request = request,
                               .now_ms = clock_wall_ms(),
                               .status = status,
                               .error = error_text,
                               .wrong = wrong,
                               .form = form};
    enum err error = link_read(request, look->hash, &problem);
    if (!error) error = db_submit(request_service(request)->readers, &look->job);
    if (error) return no_page(request, error, &problem, wrong, form);
    return http_pending(request);
}

struct verdict handle_admin_join_page(struct http_request *request)
{
    return page_start(request, 200, NULL, NULL, NULL);
}

/* ---- the form ---- */

static void joined(struct admin_join *join, enum err error)
{
    struct http_request *request = join->operation.request;
    struct admin_join own = *join;
    struct buf headers CLEANUP(buf_done) = {.wipe = true};
    struct verdict verdict;
    struct address address = client_address(request);
    if (error != ERR_DENIED || own.operation.problem.status != 404)
        throttle_give_back(request_service(request)->admin_throttle, &address);
    if (error == ERR_DENIED && own.operation.problem.status == 409) {
        const char *detail = arena_copy(&request->arena, span_text(own.operation.problem.detail));
        verdict = page_start(request, 409, detail, NULL,
                             json_pack("{s:s?, s:s?}", "email", own.email, "name", own.name));
    } else if (error) {
        verdict = web_reply_error(request, error, &own.operation.problem);
    } else {
        web_session_write(&headers, ADMIN_COOKIE, admin_cookie_secure(request),
                          secret_span(own.start.session), COOKIE_MAX_AGE_S);
        verdict = web_redirect(request, "admin", buf_span(&headers));
    }
    (void)verdict;
    admin_join_done(&own);
}

/* What is wrong with the form; {} when nothing. A link that sets a password asks for that alone. */
static json_t *form_check(struct web_form *form, struct admin_join *join)
{
    struct fields *fields = &form->body.fields;
    json_t *wrong = json_object();
    const char *password = web_form_text(form, "password");
    size_t length = strlen(password);
    bool again = web_form_box(form, "again");
    if (!again) {
        field_required(fields, "name", field_text(fields, "name", 1, ADMIN_NAME_MAX, &join->name));
        field_required(fields, "email", field_email(fields, "email", &join->email));
        json_decref(wrong);
        wrong = web_form_errors(form);
    }
    const char *message = NULL;
    if (length < PASSWORD_MIN)
        message = "must have 12 characters or more: a sentence is good";
    else if (length > PASSWORD_MAX)
        message = "must have 256 characters at most";
    else if (join->email && strcasecmp(password, join->email) == 0)
        message = "must not be the address";
    if (message && json_object_set_new(wrong, "password", json_string(message))) return wrong;
    if (strcmp(password, web_form_text(form, "password_again")) != 0 &&
        json_object_set_new(wrong, "password_again", json_string("is not the same")))
        return wrong;
    return wrong;
}

static enum err join_start(struct http_request *request, struct web_form *form,
                           struct admin_join *join)
{
    join->operation.service = request_service(request);
    join->operation.request = request;
    join->start.agent = arena_copy(&request->arena, http_header(request, "user-agent"));
    join->password = secret_copy(span_text(web_form_text(form, "password")));
    join->done = joined;
    enum err error = join->password ? web_session_new(&join->start.session) : ERR_NO_MEMORY;
    if (!error) error = admin_join_submit(join);
    if (error) admin_join_done(join);
    return error;
}

struct verdict handle_admin_join(struct http_request *request)
{
    struct web_form form CLEANUP(web_form_done) = {0};
    struct admin_join *join = ARENA_NEW(&request->arena, struct admin_join);
    if (!join) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!web_form_open(&form, request, NULL))
        return web_reply_problem(request, &form.body.problem, 0);
    struct problem problem = {0};
    struct address address = client_address(request);
    struct throttle *throttle = request_service(request)->admin_throttle;
    enum err error = link_read(request, join->hash, &problem);
    if (error) return web_reply_error(request, error, &problem);
    json_t *wrong = form_check(&form, join);
    if (json_object_size(wrong)) {
        json_t *shown = json_pack("{s:s, s:s}", "email", web_form_text(&form, "email"), "name",
                                  web_form_text(&form, "name"));
        return page_start(request, 422, NULL, wrong, shown);
    }
    json_decref(wrong);
    throttle_charge(throttle, &address, clock_mono_us());
    error = join_start(request, &form, join);
    if (!error) return http_pending(request);
    throttle_give_back(throttle, &address);
    return web_reply_error(request, error, NULL);
}
