/* Who may use the dashboard. Called by its routing on the loop thread, for owners alone; reads are
 * jobs of the readers, changes are operations. What always holds: a link is shown once, to who made
 * it, and an owner cannot lock the last owner out. */
#include "api/admin.h"
#include "api/admin_action.h"
#include "api/request.h"
#include "base/clock.h"
#include "conf/settings.h"
#include "service/admin_change.h"
#include "service/admin_join.h"
#include "service/context.h"

#include <string.h>

/* ---- the page ---- */

struct people {
    struct db_job job;
    struct admin_page *page;
    int64_t now_ms;
    struct arena arena;
    struct admin_row *admins;
    struct admin_invite_row *invites;
    size_t admin_count, invite_count;
};

static enum err people_run(struct db *db, struct db_job *job)
{
    struct people *people = CONTAINER_OF(job, struct people, job);
    arena_done(&people->arena);
    enum err error = admin_list(db, &people->arena, &people->admins, &people->admin_count);
    if (error) return error;
    return admin_invite_list(db, people->now_ms, &people->arena, &people->invites,
                             &people->invite_count);
}

static json_t *time_json(int64_t wall_ms)
{
    char text[TIME_TEXT_SIZE];
    if (!wall_ms) return json_null();
    time_format(text, wall_ms);
    return json_string(text);
}

static json_t *role_options(enum admin_role chosen)
{
    json_t *list = json_array();
    for (unsigned i = ADMIN_ROLES; list && i-- > 0;) {
        const char *name = admin_role_name((enum admin_role)i);
        if (json_array_append_new(
                list, json_pack("{s:s, s:b}", "value", name, "selected", i == (unsigned)chosen)))
            break;
    }
    return list;
}

static json_t *admin_json(const struct admin_row *row, uint64_t own)
{
    char id[ID_TEXT_SIZE];
    id_format(id, "adm", row->id);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:b, s:b, s:o, s:o}", "id", id, "email",
                     row->email, "name", row->name, "role", admin_role_name(row->role), "roles",
                     role_options(row->role), "own", row->id == own, "has_code",
                     row->totp_length != 0, "disabled", row->disabled_at != 0, "signed_in_at",
                     time_json(row->signed_in_at), "created_at", time_json(row->created_at));
}

static json_t *invite_json(const struct admin_invite_row *row)
{
    char id[ID_TEXT_SIZE];
    id_format(id, "inv", row->id);
    return json_pack("{s:s, s:s, s:s, s:b, s:o}", "id", id, "role", admin_role_name(row->role),
                     "created_by", row->created_by, "reset", row->admin_id != 0, "expires_at",
                     time_json(row->expires_at));
}

static void people_show(struct people *people)
{
    struct admin_page *page = people->page;
    uint64_t own = admin_of(page->request)->id;
    json_t *admins = json_array(), *invites = json_array();
    int failed = 0;
    for (size_t i = 0; i < people->admin_count; i++)
        failed |= json_array_append_new(admins, admin_json(&people->admins[i], own));
    for (size_t i = 0; i < people->invite_count; i++)
        failed |= json_array_append_new(invites, invite_json(&people->invites[i]));
    (void)failed; /* the list is shorter then */
    admin_page_words(admins);
    admin_page_words(invites);
    admin_page_set(page, "admins", admins);
    admin_page_set(page, "invites", invites);
    admin_page_set(page, "any_invite", json_boolean(people->invite_count > 0));
    admin_page_set(page, "roles", role_options(ADMIN_ADMIN));
    admin_page_show(page);
}

static void people_done(struct db_job *job, enum err error)
{
    struct people *people = CONTAINER_OF(job, struct people, job);
    struct arena arena = people->arena;
    if (error)
        admin_page_fail(people->page, error, NULL);
    else
        people_show(people);
    arena_done(&arena);
}

static void people_start(struct admin_page *page)
{
    struct people *people = ARENA_NEW(&page->request->arena, struct people);
    enum err error = ERR_NO_MEMORY;
    if (people) {
        *people = (struct people){.job = {.run = people_run, .done = people_done},
                                  .page = page,
                                  .now_ms = clock_wall_ms()};
        error = db_submit(request_service(page->request)->readers, &people->job);
    }
    if (error) admin_page_fail(page, error, NULL);
}

static struct admin_page *people_page(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_admins", "Admins", "admins");
    if (page) page->finish = people_start;
    return page;
}

struct verdict handle_admin_admins(struct http_request *request)
{
    struct admin_page *page = people_page(request);
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}

/* ---- links ---- */

struct link_call {
    struct admin_invite invite;
    struct admin_action *action;
};

/* Where the dashboard is, for whom uses it from elsewhere. */
static void link_text(const struct http_request *request, const struct secret *link,
                      struct buf *out)
{
    const char *base = request_service(request)->settings->admin.base_url;
    struct span host = http_header(request, "host");
    if (base[0])
        buf_printf(out, "%s/", base);
    else
        buf_printf(out, "http://%.*s/", (int)host.length, host.data);
    buf_printf(out, ADMIN_INVITE_PATH "%s", link->text);
}

static void link_show(struct link_call *call)
{
    struct http_request *request = call->action->request;
    struct buf text CLEANUP(buf_done) = {.wipe = true};
    struct admin_page *page = admin_page_new(request, "admin_link", "One-time link", "admins");
    if (!page) {
        struct verdict verdict = web_reply_error(request, ERR_NO_MEMORY, NULL);
        (void)verdict;
        return;
    }
    link_text(request, call->invite.link, &text);
    page->web.wipe = true;
    admin_page_set(page, "link", json_stringn(text.data ? text.data : "", text.length));
    admin_page_set(page, "role", json_string(admin_role_name(call->invite.role)));
    admin_page_set(page, "reset", json_boolean(call->invite.admin_id != 0));
    admin_page_show(page);
}

static void link_made(struct admin_invite *invite, enum err error)
{
    struct link_call call = *CONTAINER_OF(invite, struct link_call, invite);
    struct http_request *request = invite->operation.request;
    web_form_done(&call.action->form);
    if (error) {
        struct verdict verdict = web_reply_error(request, error, &call.invite.operation.problem);
        (void)verdict;
    } else {
        link_show(&call);
    }
    admin_invite_done(&call.invite);
}

static struct verdict link_start(struct http_request *request, uint64_t admin_id)
{
    struct verdict verdict;
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    struct link_call *call = ARENA_NEW(&request->arena, struct link_call);
    if (!call) {
        web_form_done(&action->form);
        return web_reply_error(request, ERR_NO_MEMORY, NULL);
    }
    call->action = action;
    call->action->page = people_page;
    struct span role = span_text(web_form_text(&call->action->form, "role"));
    if (!admin_id && !admin_role_parse(role, &call->invite.role))
        return admin_action_wrong(call->action, "role", "must be one of the four");
    call->invite.operation.service = request_service(request);
    call->invite.operation.request = request;
    call->invite.admin_id = admin_id;
    call->invite.done = link_made;
    enum err error = admin_invite_submit(&call->invite);
    if (!error) return http_pending(request);
    web_form_done(&call->action->form);
    return web_reply_error(request, error, NULL);
}

struct verdict handle_admin_invite(struct http_request *request)
{
    return link_start(request, 0);
}

struct verdict handle_admin_reset(struct http_request *request)
{
    uint64_t id = 0;
    if (!path_id(request, 0, "adm", &id)) return web_reply_error(request, ERR_NOT_FOUND, NULL);
    return link_start(request, id);
}

/* ---- changes ---- */

struct people_change {
    struct admin_change change;
    struct admin_action *action;
};

static void changed(struct admin_change *change, enum err error)
{
    struct people_change own = *CONTAINER_OF(change, struct people_change, change);
    struct http_request *request = change->operation.request;
    struct problem *problem = &own.change.operation.problem;
    if (error == ERR_DENIED) {
        const char *detail = arena_copy(&request->arena, span_text(problem->detail));
        admin_action_again(own.action, problem->status, detail ? detail : "", NULL);
    } else if (error) {
        web_form_done(&own.action->form);
        struct verdict verdict = web_reply_error(request, error, NULL);
        (void)verdict;
    } else {
        admin_action_leave(own.action);
    }
    admin_change_done(&own.change);
}

static struct verdict change_start(struct http_request *request, enum admin_change_kind kind,
                                   const char *to)
{
    struct verdict verdict;
    uint64_t id = 0;
    const char *prefix = kind == ADMIN_WITHDRAW ? "inv" : "adm";
    if (!path_id(request, 0, prefix, &id)) return web_reply_error(request, ERR_NOT_FOUND, NULL);
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    struct people_change *call = ARENA_NEW(&request->arena, struct people_change);
    if (!call) {
        web_form_done(&action->form);
        return web_reply_error(request, ERR_NO_MEMORY, NULL);
    }
    call->action = action;
    call->action->page = people_page;
    call->action->to = to;
    struct admin_change *change = &call->change;
    change->operation.service = request_service(request);
    change->operation.request = request;
    change->kind = kind;
    change->admin_id = id;
    change->invite_id = id;
    change->done = changed;
    struct span role = span_text(web_form_text(&call->action->form, "role"));
    if (kind == ADMIN_SET_ROLE && !admin_role_parse(role, &change->role))
        return admin_action_wrong(call->action, "role", "must be one of the four");
    enum err error = admin_change_submit(change);
    if (!error) return http_pending(request);
    web_form_done(&call->action->form);
    return web_reply_error(request, error, NULL);
}

struct verdict handle_admin_role(struct http_request *request)
{
    return change_start(request, ADMIN_SET_ROLE, "admin/admins?done=role");
}

struct verdict handle_admin_disable(struct http_request *request)
{
    return change_start(request, ADMIN_DISABLE, "admin/admins?done=admin-disabled");
}

struct verdict handle_admin_enable(struct http_request *request)
{
    return change_start(request, ADMIN_ENABLE, "admin/admins?done=admin-enabled");
}

struct verdict handle_admin_withdraw(struct http_request *request)
{
    return change_start(request, ADMIN_WITHDRAW, "admin/admins?done=withdrawn");
}
