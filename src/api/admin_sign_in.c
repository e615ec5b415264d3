/* Sign-in, the second factor's page, and sign-out. Called by the routing of the dashboard on the
 * loop thread. What always holds: tries are counted by network and by account before anything is
 * looked up, and the right ones given back afterwards; the answer does not tell an unknown address
 * from a wrong password, and a session's text is new with each step. */
#include "service/admin_sign_in.h"
#include "api/admin.h"
#include "api/admin_action.h"
#include "api/request.h"
#include "base/clock.h"
#include "service/admin_change.h"
#include "service/client_address.h"
#include "service/context.h"
#include "service/throttle.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { COOKIE_MAX_AGE_S = 7 * 86400 };

/* ---- wrong tries ---- */

/* An account stands among the networks as an address of its own. */
static struct address account_of(const char *email)
{
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "admin accounts";
    struct address account = {.length = 16};
    char lower[ADMIN_EMAIL_MAX];
    size_t length = 0;
    for (; email[length] && length < sizeof lower; length++)
        lower[length] = (char)tolower((unsigned char)email[length]);
    crypto_shorthash(account.bytes, (const unsigned char *)lower, length, key);
    return account;
}

static bool try_take(struct http_request *request, const char *email, unsigned *retry_after_s)
{
    struct service *service = request_service(request);
    struct address address = client_address(request), account = account_of(email);
    int64_t now_us = clock_mono_us();
    if (!throttle_allows(service->admin_throttle, &address, now_us, retry_after_s) ||
        !throttle_allows(service->admin_accounts, &account, now_us, retry_after_s))
        return false;
    throttle_charge(service->admin_throttle, &address, now_us);
    throttle_charge(service->admin_accounts, &account, now_us);
    return true;
}

/* It was right, or nothing was looked at. */
static void try_give_back(struct http_request *request, const char *email)
{
    struct service *service = request_service(request);
    struct address address = client_address(request), account = account_of(email);
    throttle_give_back(service->admin_throttle, &address);
    throttle_give_back(service->admin_accounts, &account);
}

/* ---- the page ---- */

static void sign_in_show(struct http_request *request, int status, const char *email,
                         const char *error, unsigned retry_after_s)
{
    char retry[48] = "";
    struct web_page page = {.status = status,
                            .name = "admin_sign_in",
                            .title = "Sign in",
                            .forms = true,
                            .context = json_pack("{s:s, s:s?}", "email", email, "error", error)};
    if (retry_after_s) snprintf(retry, sizeof retry, "Retry-After: %u\r\n", retry_after_s);
    page.headers = span_text(retry);
    struct verdict verdict = web_reply(request, &page);
    (void)verdict;
}

struct verdict handle_admin_sign_in_page(struct http_request *request)
{
    sign_in_show(request, 200, "", NULL, 0);
    return http_pending(request);
}

static void code_show(struct http_request *request, int status, const char *error,
                      unsigned retry_after_s)
{
    char retry[48] = "";
    const struct admin *admin = admin_of(request);
    struct web_page page = {.status = status,
                            .name = "admin_code",
                            .title = "Second factor",
                            .forms = true,
                            .context = json_pack("{s:s, s:s, s:s?}", "csrf", admin->csrf, "email",
                                                 admin->email, "error", error)};
    if (retry_after_s) snprintf(retry, sizeof retry, "Retry-After: %u\r\n", retry_after_s);
    page.headers = span_text(retry);
    struct verdict verdict = web_reply(request, &page);
    (void)verdict;
}

struct verdict handle_admin_code_page(struct http_request *request)
{
    code_show(request, 200, NULL, 0);
    return http_pending(request);
}

static const char too_many[] = "Too many wrong tries. Wait a minute, then try again.";

static void let_in(struct http_request *request, const struct admin_session_start *start)
{
    struct buf headers CLEANUP(buf_done) = {.wipe = true};
    web_session_write(&headers, ADMIN_COOKIE, admin_cookie_secure(request),
                      secret_span(start->session), COOKIE_MAX_AGE_S);
    struct verdict verdict =
        web_redirect(request, start->waiting ? "admin/sign-in/code" : "admin", buf_span(&headers));
    (void)verdict;
}

/* ---- address and password ---- */

static const char *agent_of(struct http_request *request)
{
    return arena_copy(&request->arena, http_header(request, "user-agent"));
}

static void signed_in(struct admin_sign_in *sign_in, enum err error)
{
    struct http_request *request = sign_in->operation.request;
    struct admin_sign_in own = *sign_in; /* the request's arena dies with the answer */
    if (error || !own.wrong) try_give_back(request, own.email);
    if (error) {
        struct verdict verdict = web_reply_error(request, error, &own.operation.problem);
        (void)verdict;
    } else if (own.wrong) {
        sign_in_show(request, 401, own.email, "That address and password do not fit.", 0);
    } else {
        let_in(request, &own.start);
    }
    admin_sign_in_done(&own);
}

/* An address as it is in the table, where spaces at its end would count for nothing: who adds them
 * is to be counted as the same account. */
static const char *email_of(struct http_request *request, const struct web_form *form)
{
    const char *text = web_form_text(form, "email");
    text += strspn(text, " ");
    size_t length = strlen(text);
    while (length && text[length - 1] == ' ')
        length--;
    return length <= ADMIN_EMAIL_MAX ? arena_copy(&request->arena, span_of(text, length)) : "";
}

static enum err sign_in_start(struct http_request *request, const struct web_form *form,
                              const char *email)
{
    struct admin_sign_in *sign_in = ARENA_NEW(&request->arena, struct admin_sign_in);
    if (!sign_in) return ERR_NO_MEMORY;
    sign_in->operation.service = request_service(request);
    sign_in->operation.request = request;
    sign_in->email = email;
    sign_in->password = secret_copy(span_text(web_form_text(form, "password")));
    sign_in->start.agent = agent_of(request);
    sign_in->done = signed_in;
    enum err error = sign_in->password ? ERR_OK : ERR_NO_MEMORY;
    if (!error) error = web_session_new(&sign_in->start.session);
    if (!error) error = admin_sign_in_submit(sign_in);
    if (error) admin_sign_in_done(sign_in);
    return error;
}

struct verdict handle_admin_sign_in(struct http_request *request)
{
    struct web_form form CLEANUP(web_form_done) = {0};
    unsigned retry_after_s = 0;
    if (!web_form_open(&form, request, NULL))
        return web_reply_problem(request, &form.body.problem, 0);
    const char *email = email_of(request, &form);
    if (!email) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!try_take(request, email, &retry_after_s)) {
        sign_in_show(request, 429, email, too_many, retry_after_s);
        return http_pending(request);
    }
    if (!*email || strlen(web_form_text(&form, "password")) > PASSWORD_MAX) {
        sign_in_show(request, 401, email, "That address and password do not fit.", 0);
        return http_pending(request);
    }
    enum err error = sign_in_start(request, &form, email);
    if (!error) return http_pending(request);
    try_give_back(request, email);
    return web_reply_error(request, error, NULL);
}

/* ---- the code ---- */

static void code_looked(struct admin_code *code, enum err error)
{
    struct http_request *request = code->operation.request;
    struct admin_code own = *code;
    if (error || !own.wrong) try_give_back(request, admin_of(request)->email);
    if (error) {
        struct verdict verdict = web_reply_error(request, error, &own.operation.problem);
        (void)verdict;
    } else if (own.wrong) {
        code_show(request, 401, "That code does not fit, or was used before. Take the next one.",
                  0);
    } else {
        let_in(request, &own.start);
    }
    admin_code_done(&own);
}

static enum err code_start(struct http_request *request, const struct web_form *form)
{
    const struct admin *admin = admin_of(request);
    struct admin_code *code = ARENA_NEW(&request->arena, struct admin_code);
    char digits[16];
    size_t length = 0;
    if (!code) return ERR_NO_MEMORY;
    for (const char *at = web_form_text(form, "code"); *at && length < sizeof digits - 1; at++)
        if (*at != ' ') digits[length++] = *at;
    digits[length] = '\0';
    code->operation.service = request_service(request);
    code->operation.request = request;
    code->admin_id = admin->id;
    code->session_id = admin->session_id;
    code->code = arena_copy(&request->arena, span_text(digits));
    code->start.agent = agent_of(request);
    code->done = code_looked;
    enum err error = code->code ? web_session_new(&code->start.session) : ERR_NO_MEMORY;
    if (!error) error = admin_code_submit(code);
    if (error) admin_code_done(code);
    return error;
}

struct verdict handle_admin_code(struct http_request *request)
{
    struct web_form form CLEANUP(web_form_done) = {0};
    const struct admin *admin = admin_of(request);
    unsigned retry_after_s = 0;
    if (!web_form_open(&form, request, admin->csrf))
        return web_reply_problem(request, &form.body.problem, 0);
    if (!try_take(request, admin->email, &retry_after_s)) {
        code_show(request, 429, too_many, retry_after_s);
        return http_pending(request);
    }
    enum err error = code_start(request, &form);
    if (!error) return http_pending(request);
    try_give_back(request, admin->email);
    return web_reply_error(request, error, NULL);
}

/* ---- out ---- */

static void signed_out(struct admin_change *change, enum err error)
{
    struct http_request *request = change->operation.request;
    struct buf headers CLEANUP(buf_done) = {0};
    struct admin_change own = *change;
    struct verdict verdict;
    web_session_write(&headers, ADMIN_COOKIE, admin_cookie_secure(request), (struct span){0}, 0);
    bool over = error == ERR_NOT_FOUND || (error && own.operation.problem.status == 401);
    if (error && !over)
        verdict = web_reply_error(request, error, &own.operation.problem);
    else
        verdict = web_redirect(request, "admin/sign-in", buf_span(&headers));
    (void)verdict;
    admin_change_done(&own);
}

struct verdict handle_admin_sign_out(struct http_request *request)
{
    struct web_form form CLEANUP(web_form_done) = {0};
    const struct admin *admin = admin_of(request);
    if (!web_form_open(&form, request, admin->csrf))
        return web_reply_problem(request, &form.body.problem, 0);
    struct admin_change *change = ARENA_NEW(&request->arena, struct admin_change);
    if (!change) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    change->operation.service = request_service(request);
    change->operation.request = request;
    change->kind = ADMIN_SIGN_OUT;
    change->admin_id = admin->id;
    change->session_id = admin->session_id;
    change->done = signed_out;
    enum err error = admin_change_submit(change);
    if (error) return web_reply_error(request, error, NULL);
    return http_pending(request);
}
