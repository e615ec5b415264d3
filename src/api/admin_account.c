/* One's own account: password, second factor, sessions. Called by the routing of the dashboard on
 * the loop thread; reads are jobs of the readers, changes are operations (service/admin_change.h).
 * What always holds: nobody changes another's account here, a password or code is counted before it
 * is looked at and given back when it was right, and no password is shown again. */
#include "api/admin.h"
#include "api/admin_action.h"
#include "api/request.h"
#include "base/clock.h"
#include "conf/settings.h"
#include "core/qr.h"
#include "crypto/totp.h"
#include "service/admin_change.h"
#include "service/context.h"
#include "service/throttle.h"

#include <sodium.h>
#include <string.h>

/* ---- the page ---- */

struct sessions {
    struct db_job job;
    struct admin_page *page;
    int64_t now_ms;
    struct arena arena;
    struct admin_session_row *rows;
    size_t count;
};

static enum err sessions_run(struct db *db, struct db_job *job)
{
    struct sessions *sessions = CONTAINER_OF(job, struct sessions, job);
    arena_done(&sessions->arena);
    return admin_session_list(db, admin_of(sessions->page->request)->id, sessions->now_ms,
                              &sessions->arena, &sessions->rows, &sessions->count);
}

static json_t *session_json(const struct admin_session_row *row, uint64_t own)
{
    char id[ID_TEXT_SIZE], began[TIME_TEXT_SIZE], seen[TIME_TEXT_SIZE];
    id_format(id, "ses", row->id);
    time_format(began, row->created_at);
    time_format(seen, row->seen_at);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "id", id, "began_at", began, "seen_at", seen,
                     "address", row->address, "agent", row->agent, "own", row->id == own);
}

/* A secret for the app, or that which was sent, as text and as a picture to be scanned. */
static void totp_offer(struct admin_page *page)
{
    struct http_request *request = page->request;
    struct buf uri CLEANUP(buf_done) = {.wipe = true}, svg CLEANUP(buf_done) = {.wipe = true};
    const struct admin *admin = admin_of(request);
    const json_t *sent = json_object_get(json_object_get(page->context, "form"), "totp_secret");
    const char *text = json_string_value(sent),
               *product = request_service(request)->settings->product.name;
    char secret[TOTP_SECRET_TEXT_SIZE];
    totp_make(secret);
    if (!text || !totp_is_secret(span_text(text))) text = secret;
    admin_page_set(page, "totp_secret", json_string(text));
    page->web.wipe = true;
    totp_uri(&uri, text, *product ? product : "Keymeter", admin->email);
    if (!uri.failed && qr_svg(&svg, uri.data) == ERR_OK && !svg.failed)
        admin_page_set(page, "qr", json_stringn(svg.data, svg.length));
    sodium_memzero(secret, sizeof secret);
}

static void sessions_done(struct db_job *job, enum err error)
{
    struct sessions *sessions = CONTAINER_OF(job, struct sessions, job);
    struct admin_page *page = sessions->page;
    struct arena arena = sessions->arena;
    json_t *list = json_array();
    for (size_t i = 0; !error && list && i < sessions->count; i++)
        if (json_array_append_new(
                list, session_json(&sessions->rows[i], admin_of(page->request)->session_id)))
            error = ERR_NO_MEMORY;
    if (error) {
        json_decref(list);
        admin_page_fail(page, error, NULL);
    } else {
        admin_page_words(list);
        admin_page_set(page, "others", json_boolean(sessions->count > 1));
        admin_page_set(page, "sessions", list);
        totp_offer(page);
        admin_page_show(page);
    }
    arena_done(&arena);
}

static void sessions_start(struct admin_page *page)
{
    struct sessions *sessions = ARENA_NEW(&page->request->arena, struct sessions);
    enum err error = ERR_NO_MEMORY;
    if (sessions) {
        *sessions = (struct sessions){.job = {.run = sessions_run, .done = sessions_done},
                                      .page = page,
                                      .now_ms = clock_wall_ms()};
        error = db_submit(request_service(page->request)->readers, &sessions->job);
    }
    if (error) admin_page_fail(page, error, NULL);
}

static struct admin_page *account_page(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_account", "Your account", "account");
    if (page) page->finish = sessions_start;
    return page;
}

struct verdict handle_admin_account(struct http_request *request)
{
    struct admin_page *page = account_page(request);
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}

/* ---- changes ---- */

struct account_change {
    struct admin_change change;
    struct admin_action *action;
    const char *field, *wrong; /* what is said when it was wrong */
};

/* The form as it is shown again has no passwords. */
static void passwords_drop(struct admin_action *action)
{
    static const char *const names[] = {"password", "new_password", "new_password_again"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        int missing = json_object_del(action->form.body.root, names[i]);
        (void)missing;
    }
}

static struct address account_of(const struct http_request *request)
{
    const struct admin *admin = admin_of(request);
    struct address address = {.length = 16};
    memcpy(address.bytes, &admin->id, sizeof admin->id);
    return address;
}

static void try_give_back(const struct http_request *request)
{
    struct address address = account_of(request);
    throttle_give_back(request_service(request)->admin_accounts, &address);
}

static void changed(struct admin_change *change, enum err error)
{
    struct account_change own = *CONTAINER_OF(change, struct account_change, change);
    struct admin_action *action = own.action;
    struct http_request *request = action->request;
    passwords_drop(action);
    if (error || !own.change.wrong) try_give_back(request);
    if (error) {
        web_form_done(&action->form);
        struct verdict verdict = web_reply_error(request, error, &own.change.operation.problem);
        (void)verdict;
    } else if (own.change.wrong) {
        struct verdict verdict = admin_action_wrong(action, own.field, own.wrong);
        (void)verdict;
    } else {
        admin_action_leave(action);
    }
    admin_change_done(&own.change);
}

/* NULL: *verdict is the answer. */
static struct account_change *change_new(struct http_request *request, enum admin_change_kind kind,
                                         const char *to, struct verdict *verdict)
{
    const struct admin *admin = admin_of(request);
    struct address address = account_of(request);
    struct throttle *throttle = request_service(request)->admin_accounts;
    unsigned retry_after_s = 0;
    struct admin_action *action = admin_action_new(request, verdict);
    if (!action) return NULL;
    struct account_change *change = ARENA_NEW(&request->arena, struct account_change);
    if (!change) {
        web_form_done(&action->form);
        *verdict = web_reply_error(request, ERR_NO_MEMORY, NULL);
        return NULL;
    }
    change->action = action;
    change->action->page = account_page;
    change->action->to = to;
    change->change.operation.service = request_service(request);
    change->change.operation.request = request;
    change->change.kind = kind;
    change->change.admin_id = admin->id;
    change->change.session_id = admin->session_id;
    change->change.done = changed;
    if (throttle_allows(throttle, &address, clock_mono_us(), &retry_after_s)) {
        throttle_charge(throttle, &address, clock_mono_us());
        return change;
    }
    struct problem problem = {.retry_after = retry_after_s};
    enum err denied = problem_set(&problem, 429, "too_many_attempts",
                                  "Too many wrong tries. Wait a minute, then try again.");
    web_form_done(&change->action->form);
    *verdict = web_reply_error(request, denied, &problem);
    return NULL;
}

static struct verdict change_go(struct account_change *change)
{
    struct http_request *request = change->action->request;
    enum err error = admin_change_submit(&change->change);
    if (!error) return http_pending(request);
    try_give_back(request);
    web_form_done(&change->action->form);
    admin_change_done(&change->change);
    return web_reply_error(request, error, NULL);
}

struct verdict handle_admin_password(struct http_request *request)
{
    struct verdict verdict;
    struct account_change *change =
        change_new(request, ADMIN_SET_PASSWORD, "admin/account?done=password", &verdict);
    if (!change) return verdict;
    const struct web_form *form = &change->action->form;
    const char *password = web_form_text(form, "new_password");
    size_t length = strlen(password);
    const char *field = NULL, *message = NULL;
    if (length < PASSWORD_MIN || length > PASSWORD_MAX) {
        field = "new_password";
        message = "must have 12 to 256 characters: a sentence is good";
    } else if (strcmp(password, web_form_text(form, "new_password_again")) != 0) {
        field = "new_password_again";
        message = "is not the same";
    }
    if (field) {
        try_give_back(request);
        passwords_drop(change->action);
        return admin_action_wrong(change->action, field, message);
    }
    change->change.password = secret_copy(span_text(web_form_text(form, "password")));
    change->change.new_password = secret_copy(span_text(password));
    change->field = "password";
    change->wrong = "is not your password";
    return change_go(change);
}

struct verdict handle_admin_code_on(struct http_request *request)
{
    struct verdict verdict;
    struct account_change *change =
        change_new(request, ADMIN_TOTP_ON, "admin/account?done=code-on", &verdict);
    if (!change) return verdict;
    const struct web_form *form = &change->action->form;
    change->change.totp_secret =
        arena_copy(&request->arena, span_text(web_form_text(form, "totp_secret")));
    change->change.code = arena_copy(&request->arena, span_text(web_form_text(form, "code")));
    change->field = "code";
    change->wrong = "does not fit: is the clock of your device right?";
    return change_go(change);
}

struct verdict handle_admin_code_off(struct http_request *request)
{
    struct verdict verdict;
    struct account_change *change =
        change_new(request, ADMIN_TOTP_OFF, "admin/account?done=code-off", &verdict);
    if (!change) return verdict;
    change->change.password =
        secret_copy(span_text(web_form_text(&change->action->form, "password")));
    change->field = "password_off";
    change->wrong = "is not your password";
    return change_go(change);
}

struct verdict handle_admin_session_end(struct http_request *request)
{
    struct verdict verdict;
    uint64_t id = 0;
    if (!path_id(request, 0, "ses", &id)) return web_reply_error(request, ERR_NOT_FOUND, NULL);
    struct account_change *change =
        change_new(request, ADMIN_SIGN_OUT, "admin/account?done=signed-out", &verdict);
    if (!change) return verdict;
    change->change.session_id = id;
    return change_go(change);
}

struct verdict handle_admin_sessions_end(struct http_request *request)
{
    struct verdict verdict;
    struct account_change *change =
        change_new(request, ADMIN_SIGN_OUT_ALL, "admin/account?done=signed-out", &verdict);
    return change ? change_go(change) : verdict;
}
