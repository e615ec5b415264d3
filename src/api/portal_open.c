/* Coming to the portal and leaving it. Called by api/web_routes.c on the loop thread. What always
 * holds: opening the page of a link changes nothing, so a mail scanner that opens it burns nothing;
 * the button's POST opens it, once, and begins a session of its own making
 * (docs/decisions/0008-portal-link.md). */
#include "api/portal.h"

#include "base/clock.h"
#include "conf/settings.h"
#include "core/api_key.h"
#include "crypto/key_hash.h"
#include "service/client_address.h"
#include "service/context.h"
#include "service/throttle.h"

#include <stdlib.h>

enum { TOKEN_MAX = 255 };

/* ---- the page of a link ---- */

struct link_look {
    struct http_request *request;
    struct span token;
    unsigned char hash[KEY_HASH_SIZE];
    int64_t now_ms;
    struct portal_session row;
    struct problem problem;
    struct db_job job;
};

static enum err link_not_found(struct problem *problem)
{
    return problem_set(
        problem, 404, "link_not_found",
        "This link is not known. It may have been cut when it was copied: go back to "
        "where you got it and open it again, or ask for a new one.");
}

static struct verdict link_refused(struct http_request *request, const struct problem *problem)
{
    struct web_page page = {.status = problem->status,
                            .name = "portal_link_refused",
                            .title = "This link cannot be opened",
                            .context = json_pack("{s:s}", "detail", problem->detail)};
    return web_reply(request, &page);
}

/* Whether the text may be looked up; else the problem is set. */
static enum err token_admit(struct http_request *request, struct span token,
                            struct problem *problem)
{
    struct service *service = request_service(request);
    struct api_key_parts parts;
    struct address address = client_address(request);
    unsigned wait_s = 0;
    if (!throttle_allows(service->claim_throttle, &address, clock_mono_us(), &wait_s)) {
        problem->retry_after = wait_s;
        return problem_set(problem, 429, "too_many_attempts",
                           "Too many wrong links from your network; wait a minute.");
    }
    if (token.length <= TOKEN_MAX && api_key_parse(token, &parts) &&
        span_is(parts.label, PORTAL_LABEL))
        return ERR_OK;
    throttle_charge(service->claim_throttle, &address, clock_mono_us());
    return link_not_found(problem);
}

static enum err look_run(struct db *db, struct db_job *job)
{
    struct link_look *look = CONTAINER_OF(job, struct link_look, job);
    enum err error = portal_find_link(db, look->hash, &look->row);
    if (error == ERR_NOT_FOUND) return link_not_found(&look->problem);
    return error ? error : portal_link_refuse(&look->row, look->now_ms, &look->problem);
}

/* A person followed the link on a page, so the page's script may press the button for them; what
 * opens an address by itself (a scanner, a bookmark) meets the button. Never over a visit that
 * stands: then the person decides. */
static bool was_clicked(const struct http_request *request)
{
    struct span site = http_header(request, "sec-fetch-site");
    struct span user = http_header(request, "sec-fetch-user");
    struct span mode = http_header(request, "sec-fetch-mode");
    return user.data && span_is(user, "?1") && mode.data && span_is(mode, "navigate") &&
           site.data && !span_is(site, "none") &&
           !web_session_read(request, PORTAL_COOKIE, web_cookie_is_secure(request)).length;
}

static void look_done(struct db_job *job, enum err error)
{
    struct link_look *look = CONTAINER_OF(job, struct link_look, job);
    struct http_request *request = look->request;
    struct address address = client_address(request);
    struct verdict verdict;
    if (error == ERR_DENIED && look->problem.status == 404)
        throttle_charge(request_service(request)->claim_throttle, &address, clock_mono_us());
    if (error == ERR_DENIED) {
        verdict = link_refused(request, &look->problem);
    } else if (error) {
        verdict = web_reply_error(request, error, NULL);
    } else {
        struct web_page page = {.status = 200,
                                .name = "portal_open",
                                .title = "Your API keys",
                                .forms = true,
                                .context =
                                    json_pack("{s:s%, s:b}", "token", look->token.data,
                                              look->token.length, "auto", was_clicked(request))};
        verdict = web_reply(request, &page);
    }
    (void)verdict; /* due only inside a dispatch */
}

struct verdict handle_portal_link(struct http_request *request)
{
    struct problem problem = {0};
    struct link_look *look = ARENA_NEW(&request->arena, struct link_look);
    if (!look) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    look->request = request;
    look->now_ms = clock_wall_ms();
    look->token = path_text(request, 0);
    if (token_admit(request, look->token, &problem)) return link_refused(request, &problem);
    key_hash(request_service(request)->keyring, look->token, look->hash);
    look->job = (struct db_job){.run = look_run, .done = look_done};
    enum err error = db_submit(request_service(request)->readers, &look->job);
    return error ? web_reply_error(request, error, NULL) : http_pending(request);
}

/* ---- opening it ---- */

struct opening {
    struct portal_opening opening;
    struct secret *session;
};

static void opened(struct portal_opening *portal, enum err error)
{
    struct opening *self = CONTAINER_OF(portal, struct opening, opening);
    struct http_request *request = portal->operation.request;
    const struct settings *settings = request_service(request)->settings;
    struct problem *problem = &portal->operation.problem;
    struct buf headers CLEANUP(buf_done) = {.wipe = true};
    bool secure = web_cookie_is_secure(request);
    struct verdict verdict;
    if (!error) {
        web_session_write(&headers, PORTAL_COOKIE, secure, secret_span(self->session),
                          settings->portal.session_lifetime_ms / 1000);
        verdict =
            web_redirect(request, portal->first ? "portal/welcome" : "portal", buf_span(&headers));
    } else if (error == ERR_DENIED && problem->status == 409 &&
               web_session_read(request, PORTAL_COOKIE, secure).length) {
        verdict = web_redirect(request, "portal", (struct span){0}); /* pressed twice */
    } else if (error == ERR_DENIED) {
        verdict = link_refused(request, problem);
    } else {
        verdict = web_reply_error(request, error, problem);
    }
    (void)verdict; /* due only inside a dispatch */
    secret_free(&self->session);
    free(self);
}

static enum err opening_begin(struct http_request *request, struct opening *self, struct span token)
{
    struct service *service = request_service(request);
    enum err error = web_session_new(&self->session);
    if (error) return error;
    key_hash(service->keyring, token, self->opening.link_hash);
    key_hash(service->keyring, secret_span(self->session), self->opening.hash);
    self->opening.operation.service = service;
    self->opening.operation.request = request;
    self->opening.done = opened;
    return portal_opening_start(&self->opening);
}

struct verdict handle_portal_open(struct http_request *request)
{
    struct web_form form CLEANUP(web_form_done) = {0};
    struct problem problem = {0};
    const char *token = "";
    if (!web_form_open(&form, request, NULL))
        return web_reply_problem(request, &form.body.problem, 0);
    field_key(&form.body.fields, "token", TOKEN_MAX, &token);
    if (token_admit(request, span_text(token), &problem)) return link_refused(request, &problem);
    struct opening *self = calloc(1, sizeof *self);
    enum err error = self ? opening_begin(request, self, span_text(token)) : ERR_NO_MEMORY;
    if (!error) return http_pending(request);
    if (self) secret_free(&self->session);
    free(self);
    return web_reply_error(request, error, NULL);
}

/* ---- leaving ---- */

static void signed_out(struct operation *operation, enum err error)
{
    struct http_request *request = operation->request;
    struct buf headers CLEANUP(buf_done) = {0};
    struct verdict verdict;
    web_session_write(&headers, PORTAL_COOKIE, web_cookie_is_secure(request), (struct span){0}, 0);
    verdict = error ? web_reply_error(request, error, &operation->problem)
                    : web_redirect(request, "portal/signed-out", buf_span(&headers));
    (void)verdict; /* due only inside a dispatch */
}

struct verdict handle_portal_sign_out(struct http_request *request)
{
    struct web_form form CLEANUP(web_form_done) = {0};
    struct portal_ending *ending = ARENA_NEW(&request->arena, struct portal_ending);
    struct span cookie = web_session_read(request, PORTAL_COOKIE, web_cookie_is_secure(request));
    char csrf[WEB_CSRF_SIZE];
    if (!ending) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!cookie.length) return web_redirect(request, "portal/signed-out", (struct span){0});
    web_csrf_make(request, cookie, csrf);
    if (!web_form_open(&form, request, csrf))
        return web_reply_problem(request, &form.body.problem, 0);
    key_hash(request_service(request)->keyring, cookie, ending->hash);
    ending->everywhere = web_form_box(&form, "everywhere");
    ending->operation.service = request_service(request);
    ending->operation.request = request;
    ending->operation.done = signed_out;
    enum err error = portal_ending_start(ending);
    return error ? web_reply_error(request, error, NULL) : http_pending(request);
}

struct verdict handle_portal_signed_out(struct http_request *request)
{
    struct web_page page = {
        .status = 200, .name = "portal_signed_out", .title = "You are signed out"};
    return web_reply(request, &page);
}
