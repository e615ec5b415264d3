/* The gate of the dashboard. Called by api/admin_routes.c on the loop thread; the look is a job of
 * the readers. What always holds: no handler of a page that needs somebody runs without a live
 * session of an admin whose role may see it, and a page of another site gets nothing done. */
#include "api/admin_gate.h"

#include "api/request.h"
#include "api/web.h"
#include "base/clock.h"
#include "conf/settings.h"
#include "crypto/key_hash.h"
#include "io/db_pool.h"
#include "service/context.h"
#include "store/admin_session.h"
#include "store/token.h"

enum { TOUCH_MS = 60000 };

struct gate {
    struct db_job job;
    struct http_request *request;
    const struct admin_access *access;
    http_handler *handler;
    struct span session;
    unsigned char hash[KEY_HASH_SIZE];
    int64_t now_ms;
    struct arena arena;
    struct admin_session_row row;
    struct admin_row admin;
};

const struct admin *admin_of(const struct http_request *request)
{
    return request->actor ? request->user : NULL;
}

bool admin_may(const struct http_request *request, enum admin_right right)
{
    const struct admin *admin = admin_of(request);
    return admin && admin_role_may(admin->role, right);
}

bool admin_cookie_secure(const struct http_request *request)
{
    const struct settings *settings = request_service(request)->settings;
    return span_starts(span_text(settings->admin.base_url), "https://");
}

/* The scopes that an API token would need for what the role may do. */
static unsigned scopes_of(enum admin_role role)
{
    if (admin_role_may(role, RIGHT_MANAGE)) return SCOPE_ADMIN;
    return admin_role_may(role, RIGHT_HELP) ? SCOPE_READ | SCOPE_ISSUE : SCOPE_READ;
}

static enum err look_run(struct db *db, struct db_job *job)
{
    struct gate *gate = CONTAINER_OF(job, struct gate, job);
    arena_done(&gate->arena);
    enum err error =
        admin_session_find(db, gate->hash, gate->now_ms, &gate->arena, &gate->row, &gate->admin);
    if (error || gate->now_ms - gate->row.seen_at < TOUCH_MS) return error;
    return admin_session_touch(db, gate->row.id, gate->now_ms);
}

static struct admin *admin_make(struct gate *gate)
{
    struct http_request *request = gate->request;
    const struct admin_row *row = &gate->admin;
    struct admin *admin = ARENA_NEW(&request->arena, struct admin);
    if (!admin) return NULL;
    *admin = (struct admin){.caller = {.scopes = scopes_of(row->role)},
                            .standing = {row->id, gate->row.id, row->role},
                            .id = row->id,
                            .session_id = gate->row.id,
                            .role = row->role,
                            .has_code = row->totp_length != 0,
                            .email = arena_copy(&request->arena, span_text(row->email)),
                            .name = arena_copy(&request->arena, span_text(row->name)),
                            .session = gate->session};
    web_csrf_make(request, gate->session, admin->csrf);
    id_format(admin->actor, "adm", row->id);
    return admin->email && admin->name ? admin : NULL;
}

static struct verdict forbidden(struct http_request *request)
{
    struct problem problem = {0};
    enum err denied = problem_set(&problem, 403, "forbidden",
                                  "Your role may not do that. Ask an owner of this dashboard.");
    (void)denied;
    return web_reply_problem(request, &problem, 0);
}

static struct verdict to_sign_in(struct http_request *request)
{
    struct buf headers CLEANUP(buf_done) = {0};
    web_session_write(&headers, ADMIN_COOKIE, admin_cookie_secure(request), (struct span){0}, 0);
    return web_redirect(request, "admin/sign-in", buf_span(&headers));
}

/* The session stands; the gate is about to be freed with the request. */
static struct verdict admit(struct gate *gate)
{
    struct http_request *request = gate->request;
    const struct admin_access *access = gate->access;
    struct admin *admin = admin_make(gate);
    if (!admin) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    if (gate->row.waiting != (access->who == ADMIN_WAITING))
        return web_redirect(request, gate->row.waiting ? "admin/sign-in/code" : "admin", SPAN(""));
    request->user = admin;
    request->actor = admin->actor;
    request->standing = &admin->standing;
    bool may = access->who == ADMIN_WAITING || admin_role_may(admin->role, access->right);
    return may ? gate->handler(request) : forbidden(request);
}

static void look_done(struct db_job *job, enum err error)
{
    struct gate *gate = CONTAINER_OF(job, struct gate, job);
    struct http_request *request = gate->request;
    struct arena arena = gate->arena; /* the gate dies with the request */
    struct verdict verdict;
    if (!error)
        verdict = admit(gate);
    else if (error == ERR_NOT_FOUND)
        verdict = to_sign_in(request);
    else
        verdict = web_reply_error(request, error, NULL);
    (void)verdict; /* due only inside a dispatch */
    arena_done(&arena);
}

struct verdict admin_gate(struct http_request *request, const struct admin_access *access,
                          http_handler *handler)
{
    if (access->who == ADMIN_ANYBODY) return auth_none(request, handler);
    struct span session = web_session_read(request, ADMIN_COOKIE, admin_cookie_secure(request));
    if (!session.length) return web_redirect(request, "admin/sign-in", SPAN(""));
    struct gate *gate = ARENA_NEW(&request->arena, struct gate);
    if (!gate) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    *gate = (struct gate){.job = {.run = look_run, .done = look_done},
                          .request = request,
                          .access = access,
                          .handler = handler,
                          .session = session,
                          .now_ms = clock_wall_ms()};
    key_hash(request_service(request)->keyring, session, gate->hash);
    enum err error = db_submit(request_service(request)->readers, &gate->job);
    if (error) return web_reply_error(request, error, NULL);
    return http_pending(request);
}
