/* The table of the dashboard's pages and forms, and who may see and send each. Called by
 * api/web_routes.c; loop thread. What always holds: a handler runs only behind the gate
 * (api/admin_gate.h), and a client waits ANSWER_MS for the database at most. */
#include "api/admin_routes.h"

#include "api/admin.h"
#include "api/admin_gate.h"
#include "api/problem.h"
#include "api/web.h"

enum { ANSWER_MS = 5000 };

static const struct admin_access anybody = {ADMIN_ANYBODY, RIGHT_READ};
static const struct admin_access waiting = {ADMIN_WAITING, RIGHT_READ};
static const struct admin_access readers = {ADMIN_SIGNED_IN, RIGHT_READ};

static const struct admin_access helpers = {ADMIN_SIGNED_IN, RIGHT_HELP};
static const struct admin_access managers = {ADMIN_SIGNED_IN, RIGHT_MANAGE};
static const struct admin_access owners = {ADMIN_SIGNED_IN, RIGHT_APPOINT};

static const struct http_route routes[] = {
    {HTTP_M_GET, "/admin/sign-in", handle_admin_sign_in_page, &anybody},
    {HTTP_M_POST, "/admin/sign-in", handle_admin_sign_in, &anybody},
    {HTTP_M_GET, "/admin/sign-in/code", handle_admin_code_page, &waiting},
    {HTTP_M_POST, "/admin/sign-in/code", handle_admin_code, &waiting},
    {HTTP_M_POST, "/admin/sign-out", handle_admin_sign_out, &readers},
    {HTTP_M_GET, "/admin/join/{link}", handle_admin_join_page, &anybody},
    {HTTP_M_POST, "/admin/join/{link}", handle_admin_join, &anybody},

    {HTTP_M_GET, "/admin", handle_admin_overview, &readers},

    {HTTP_M_GET, "/admin/keys", handle_admin_keys, &readers},
    {HTTP_M_GET, "/admin/keys/new", handle_admin_key_new, &managers},
    {HTTP_M_POST, "/admin/keys/new", handle_admin_key_create, &managers},
    {HTTP_M_GET, "/admin/keys/import", handle_admin_import_page, &managers},
    {HTTP_M_POST, "/admin/keys/import", handle_admin_import, &managers},
    {HTTP_M_GET, "/admin/keys/rotate", handle_admin_rotate_page, &managers},
    {HTTP_M_POST, "/admin/keys/rotate", handle_admin_rotate, &managers},
    {HTTP_M_GET, "/admin/keys/{id}", handle_admin_key, &readers},
    {HTTP_M_GET, "/admin/keys/{id}/edit", handle_admin_key_edit_page, &managers},
    {HTTP_M_POST, "/admin/keys/{id}/edit", handle_admin_key_edit, &managers},
    {HTTP_M_POST, "/admin/keys/{id}/rotate", handle_admin_key_rotate, &helpers},
    {HTTP_M_POST, "/admin/keys/{id}/regenerate", handle_admin_key_regenerate, &helpers},
    {HTTP_M_POST, "/admin/keys/{id}/resend-claim", handle_admin_key_resend, &helpers},
    {HTTP_M_POST, "/admin/keys/{id}/postpone", handle_admin_key_postpone, &managers},
    {HTTP_M_POST, "/admin/keys/{id}/end-overlap", handle_admin_key_end_overlap, &managers},
    {HTTP_M_POST, "/admin/keys/{id}/disable", handle_admin_key_disable, &managers},
    {HTTP_M_POST, "/admin/keys/{id}/enable", handle_admin_key_enable, &managers},
    {HTTP_M_POST, "/admin/keys/{id}/revoke", handle_admin_key_revoke, &managers},

    {HTTP_M_GET, "/admin/customers", handle_admin_customers, &readers},
    {HTTP_M_GET, "/admin/customers/{id}", handle_admin_customer, &readers},
    {HTTP_M_POST, "/admin/customers/{id}/edit", handle_admin_customer_edit, &managers},
    {HTTP_M_POST, "/admin/customers/{id}/tier", handle_admin_customer_tier, &managers},
    {HTTP_M_POST, "/admin/customers/{id}/approve", handle_admin_customer_approve, &managers},
    {HTTP_M_POST, "/admin/customers/{id}/portal-link", handle_admin_customer_portal, &managers},
    {HTTP_M_POST, "/admin/customers/{id}/erase", handle_admin_customer_erase, &managers},
    {HTTP_M_GET, "/admin/reconcile", handle_admin_reconcile_page, &managers},
    {HTTP_M_POST, "/admin/reconcile", handle_admin_reconcile, &managers},
    {HTTP_M_GET, "/admin/tiers", handle_admin_tiers, &readers},
    {HTTP_M_GET, "/admin/tiers/{slug}", handle_admin_tier, &readers},
    {HTTP_M_GET, "/admin/new-tier", handle_admin_tier_new, &managers},
    {HTTP_M_POST, "/admin/new-tier", handle_admin_tier_create, &managers},
    {HTTP_M_POST, "/admin/tiers/{slug}", handle_admin_tier_save, &managers},

    {HTTP_M_GET, "/admin/rotations", handle_admin_rotations, &readers},
    {HTTP_M_GET, "/admin/notifications", handle_admin_notifications, &readers},
    {HTTP_M_POST, "/admin/notifications/{id}/retry", handle_admin_notification_retry, &helpers},
    {HTTP_M_GET, "/admin/mail-preview", handle_admin_mail_preview, &readers},
    {HTTP_M_GET, "/admin/alerts", handle_admin_alerts, &readers},
    {HTTP_M_POST, "/admin/alerts/{id}/ack", handle_admin_alert_ack, &managers},
    {HTTP_M_GET, "/admin/audit", handle_admin_audit, &readers},
    {HTTP_M_GET, "/admin/audit/export", handle_admin_audit_export, &readers},
    {HTTP_M_GET, "/admin/audit/verify", handle_admin_audit_verify, &readers},
    {HTTP_M_GET, "/admin/tokens", handle_admin_tokens, &managers},
    {HTTP_M_POST, "/admin/tokens", handle_admin_token_create, &managers},
    {HTTP_M_POST, "/admin/tokens/{id}/revoke", handle_admin_token_revoke, &managers},
    {HTTP_M_GET, "/admin/settings", handle_admin_settings, &readers},

    {HTTP_M_GET, "/admin/admins", handle_admin_admins, &owners},
    {HTTP_M_POST, "/admin/admins/invite", handle_admin_invite, &owners},
    {HTTP_M_POST, "/admin/admins/invites/{id}/withdraw", handle_admin_withdraw, &owners},
    {HTTP_M_POST, "/admin/admins/{id}/role", handle_admin_role, &owners},
    {HTTP_M_POST, "/admin/admins/{id}/disable", handle_admin_disable, &owners},
    {HTTP_M_POST, "/admin/admins/{id}/enable", handle_admin_enable, &owners},
    {HTTP_M_POST, "/admin/admins/{id}/reset", handle_admin_reset, &owners},

    {HTTP_M_GET, "/admin/account", handle_admin_account, &readers},
    {HTTP_M_POST, "/admin/account/password", handle_admin_password, &readers},
    {HTTP_M_POST, "/admin/account/code-on", handle_admin_code_on, &readers},
    {HTTP_M_POST, "/admin/account/code-off", handle_admin_code_off, &readers},
    {HTTP_M_POST, "/admin/account/sessions/end-others", handle_admin_sessions_end, &readers},
    {HTTP_M_POST, "/admin/account/sessions/{id}/end", handle_admin_session_end, &readers},
};

bool admin_has(const struct http_request *request)
{
    return span_is(request->path, "/admin") || span_starts(request->path, "/admin/");
}

struct verdict admin_handle(struct http_request *request)
{
    struct problem problem = {0};
    struct http_match match = http_route_find(routes, COUNT_OF(routes), request);
    http_answer_by(request, ANSWER_MS, web_answer_late);
    request->home = "admin";
    if (match.route) return admin_gate(request, match.route->context, match.route->handler);
    enum err denied =
        match.allowed
            ? problem_set(&problem, 405, "method_not_allowed", "This address does not take that.")
            : problem_set(&problem, 404, "not_found", "There is nothing at this address.");
    (void)denied;
    return web_reply_problem(request, &problem, match.allowed);
}

size_t admin_route_count(void)
{
    return COUNT_OF(routes);
}

struct admin_route admin_route_at(size_t at)
{
    static const char *const needs[] = {"auditor", "support", "admin", "owner"};
    const struct admin_access *access = routes[at].context;
    return (struct admin_route){
        .method = routes[at].method == HTTP_M_GET ? "GET" : "POST",
        .pattern = routes[at].pattern,
        .needs = access->who == ADMIN_SIGNED_IN ? needs[access->right] : "",
    };
}
