/* The table of calls. Called by the HTTP server for each request on the management listener; loop
 * thread. What always holds: a handler runs only with a caller that its row lets in, a path that is
 * not in the table is 404, a method that is not is 405 with Allow, a call that creates or replaces
 * a secret may be repeated under its Idempotency-Key, and a client waits ANSWER_MS for the database
 * at most. To add a call: write its handler, add its row here, describe it in docs/openapi.yaml and
 * docs/scopes.md. */
#include "api/routes.h"

#include "api/audit.h"
#include "api/auth.h"
#include "api/claims.h"
#include "api/customers.h"
#include "api/diagnosis.h"
#include "api/health.h"
#include "api/idempotency.h"
#include "api/key_import.h"
#include "api/keys.h"
#include "api/mails.h"
#include "api/metrics.h"
#include "api/notifications.h"
#include "api/openapi.h"
#include "api/payments.h"
#include "api/portal_sessions.h"
#include "api/problem.h"
#include "api/request.h"
#include "api/rotations.h"
#include "api/signups.h"
#include "api/tiers.h"
#include "api/tokens.h"
#include "api/usage.h"
#include "api/verify.h"
#include "api/verify_batch.h"
#include "api/web_routes.h"
#include "conf/settings.h"
#include "service/context.h"
#include "service/idempotency.h"
#include "service/webhook.h"

enum {
    BODY_LIMIT = 65536,
    ANSWER_MS = 5000,
    SWEEP_MS = 30000,         /* a page of readings goes by payment.reads_per_second */
    WEBHOOK_ANSWER_MS = 1700, /* and up to a quarter of a second: within 2 s in any case */
};

struct access {
    unsigned any_of;
    bool open;       /* no token */
    bool public;     /* on listen.public, if there is one, and nowhere else then */
    bool open_local; /* no token from loopback */
    bool asks;       /* may ask the billing system */
    bool mails;      /* waits for the mail relay */
    bool sweeps;     /* waits for a page of readings */
    bool hooks;      /* a provider's webhook: larger bodies, answered sooner */
    size_t key_min;  /* takes an Idempotency-Key of so many characters; 0: none */
};

static const struct access open_to_all = {.open = true};
static const struct access open_public = {.open = true, .public = true};
static const struct access open_hooks = {.open = true, .public = true, .hooks = true};
static const struct access admins = {.any_of = SCOPE_ADMIN};
static const struct access mail_testers = {.any_of = SCOPE_ADMIN, .mails = true};
static const struct access readers = {.any_of = SCOPE_READ};
static const struct access plan_readers = {.any_of = SCOPE_READ | SCOPE_ISSUE | SCOPE_BILLING};
static const struct access usage_readers = {.any_of = SCOPE_READ | SCOPE_BILLING};
static const struct access issuers = {.any_of = SCOPE_ISSUE};
static const struct access buyers = {.any_of = SCOPE_ISSUE, .asks = true};
static const struct access approvers = {.any_of = SCOPE_ADMIN, .key_min = IDEMPOTENCY_KEY_MIN};
static const struct access reconcilers = {.any_of = SCOPE_BILLING, .sweeps = true};
static const struct access minters = {.any_of = SCOPE_ISSUE, .key_min = IDEMPOTENCY_KEY_MIN_SECRET};
static const struct access token_makers = {.any_of = SCOPE_ADMIN,
                                           .key_min = IDEMPOTENCY_KEY_MIN_SECRET};
static const struct access signers_up = {
    .any_of = SCOPE_ISSUE, .asks = true, .key_min = IDEMPOTENCY_KEY_MIN_SECRET};
static const struct access customer_makers = {
    .any_of = SCOPE_ISSUE, .asks = true, .key_min = IDEMPOTENCY_KEY_MIN};
static const struct access importers = {.any_of = SCOPE_ISSUE, .key_min = IDEMPOTENCY_KEY_MIN};
static const struct access portal_openers = {.any_of = SCOPE_PORTAL,
                                             .key_min = IDEMPOTENCY_KEY_MIN_SECRET};
static const struct access key_readers = {.any_of = SCOPE_READ | SCOPE_ISSUE};
static const struct access verifiers = {.any_of = SCOPE_VERIFY};
static const struct access scrapers = {.any_of = SCOPE_READ, .open_local = true};

static const struct http_route routes[] = {
    {HTTP_M_GET, "/livez", handle_livez, &open_to_all},
    {HTTP_M_GET, "/readyz", handle_readyz, &open_to_all},
    {HTTP_M_GET, "/openapi.json", handle_openapi, &open_to_all},
    {HTTP_M_GET, "/metrics", handle_metrics, &scrapers},

    {HTTP_M_POST, "/v1/verify", handle_verify, &verifiers},
    {HTTP_M_POST, "/v1/verify/batch", handle_verify_batch, &verifiers},

    {HTTP_M_POST, "/v1/signups", handle_signup_create, &signers_up},

    {HTTP_M_POST, "/v1/customers", handle_customer_create, &customer_makers},
    {HTTP_M_GET, "/v1/customers", handle_customers_list, &key_readers},
    {HTTP_M_GET, "/v1/customers/{id}", handle_customer_get, &key_readers},
    {HTTP_M_PATCH, "/v1/customers/{id}", handle_customer_patch, &buyers},
    {HTTP_M_DELETE, "/v1/customers/{id}", handle_customer_delete, &issuers},

    {HTTP_M_POST, "/v1/keys", handle_key_create, &minters},
    {HTTP_M_GET, "/v1/keys", handle_keys_list, &key_readers},
    {HTTP_M_POST, "/v1/keys/import", handle_key_import, &importers},
    {HTTP_M_POST, "/v1/keys/lookup", handle_key_lookup, &key_readers},
    {HTTP_M_GET, "/v1/keys/{id}", handle_key_get, &key_readers},
    {HTTP_M_PATCH, "/v1/keys/{id}", handle_key_patch, &issuers},
    {HTTP_M_DELETE, "/v1/keys/{id}", handle_key_delete, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/rotate", handle_key_rotate, &minters},
    {HTTP_M_POST, "/v1/keys/{id}/end-overlap", handle_key_end_overlap, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/postpone", handle_key_postpone, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/resend-claim", handle_key_resend_claim, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/regenerate", handle_key_regenerate, &minters},
    {HTTP_M_POST, "/v1/keys/{id}/revoke", handle_key_revoke, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/disable", handle_key_disable, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/enable", handle_key_enable, &issuers},

    {HTTP_M_GET, "/v1/keys/{id}/usage", handle_key_usage, &usage_readers},
    {HTTP_M_GET, "/v1/customers/{id}/usage", handle_customer_usage, &usage_readers},

    {HTTP_M_GET, "/v1/tiers", handle_tiers_list, &plan_readers},
    {HTTP_M_GET, "/v1/tiers/{slug}", handle_tier_get, &plan_readers},
    {HTTP_M_PUT, "/v1/tiers/{slug}", handle_tier_put, &admins},

    {HTTP_M_POST, "/v1/portal-sessions", handle_portal_session_create, &portal_openers},

    {HTTP_M_POST, "/v1/tokens", handle_token_create, &token_makers},
    {HTTP_M_GET, "/v1/tokens", handle_tokens_list, &admins},
    {HTTP_M_DELETE, "/v1/tokens/{id}", handle_token_delete, &admins},

    {HTTP_M_GET, "/v1/rotations", handle_rotations_list, &key_readers},
    {HTTP_M_POST, "/v1/rotations/run", handle_rotations_run, &issuers},
    {HTTP_M_GET, "/v1/notifications", handle_notifications_list, &key_readers},
    {HTTP_M_POST, "/v1/notifications/{id}/retry", handle_notification_retry, &issuers},
    {HTTP_M_GET, "/v1/mail/previews/{kind}", handle_mail_preview, &readers},
    {HTTP_M_POST, "/v1/mail/test", handle_mail_test, &mail_testers},
    {HTTP_M_POST, "/v1/claims/reveal", handle_claim_reveal, &open_public},

    {HTTP_M_POST, "/v1/customers/{id}/payment-approvals", handle_approval_create, &approvers},
    {HTTP_M_POST, "/v1/payments/reconcile", handle_payments_reconcile, &reconcilers},
    {HTTP_M_POST, "/v1/payments/stripe/webhook", handle_stripe_webhook, &open_hooks},
    {HTTP_M_POST, "/v1/payments/webhook", handle_payment_webhook, &open_hooks},

    {HTTP_M_GET, "/v1/audit", handle_audit_list, &readers},
    {HTTP_M_GET, "/v1/audit/verify", handle_audit_verify, &readers},
    {HTTP_M_GET, "/v1/diagnosis", handle_diagnosis, &readers},
    {HTTP_M_GET, "/v1/alerts", handle_alerts_list, &readers},
    {HTTP_M_POST, "/v1/alerts/{id}/ack", handle_alert_ack, &admins},
};

size_t api_body_limit(const struct http_request *request)
{
    bool batch = request->method == HTTP_M_POST && span_is(request->path, "/v1/verify/batch");
    bool hook = request->method == HTTP_M_POST && span_starts(request->path, "/v1/payments/") &&
                !span_is(request->path, "/v1/payments/reconcile");
    if (hook) return WEBHOOK_BODY_MAX;
    return batch ? VERIFY_BATCH_BODY_MAX : BODY_LIMIT;
}

/* The work goes on, and what it comes to is not told any more. */
static void answer_late(struct http_request *request)
{
    bool reads = request->method == HTTP_M_GET || request->method == HTTP_M_HEAD ||
                 span_is(request->path, "/v1/verify") ||
                 span_is(request->path, "/v1/verify/batch") ||
                 span_is(request->path, "/v1/keys/lookup");
    const char *detail = "The database does not answer. The change may have been made or not: "
                         "look before you ask for it again.";
    if (reads) detail = "The database does not answer; try again shortly.";
    if (span_is(request->path, "/v1/payments/reconcile"))
        detail =
            "The payment provider has not answered in time. What it had told stands; ask again.";
    if (span_is(request->path, "/v1/mail/test"))
        detail = "The relay has not answered in time. The mail may arrive or not.";
    if (reservation_of(request))
        detail = "The database does not answer. The change may have been made or not: send it "
                 "again with the same Idempotency-Key.";
    problem_answer_early(request, detail);
}

static void answer_by(struct http_request *request, const struct access *access)
{
    const struct settings *settings = request_service(request)->settings;
    bool asks = access->asks && settings->payment.provider != PAYMENT_PROVIDER_NONE;
    if (access->hooks) {
        http_answer_by(request, WEBHOOK_ANSWER_MS, answer_late);
        return;
    }
    unsigned more_ms = asks ? settings->payment.timeout_ms : 0;
    if (access->sweeps) more_ms = SWEEP_MS + settings->payment.timeout_ms;
    /* Also while all connections are at other mails. */
    if (access->mails) more_ms = settings->mail.connect_timeout_ms + 2 * settings->mail.timeout_ms;
    http_answer_by(request, ANSWER_MS + more_ms, answer_late);
}

/* Behind the token's check. */
static struct verdict call_run(struct http_request *request)
{
    const struct access *access = request->route->context;
    http_handler *handler = request->route->handler;
    if (!access->key_min) return handler(request);
    return idempotency_run(request, handler, access->key_min);
}

struct verdict api_inner(struct http_request *request, struct span whose)
{
    struct problem problem = {0};
    struct http_match match = http_route_find(routes, COUNT_OF(routes), request);
    const struct access *access = match.route ? match.route->context : NULL;
    if (!access) return problem_reply_not_found(request, "call");
    if (access->open || !caller_has(caller_of(request), access->any_of)) {
        enum err denied = problem_set(&problem, 403, "forbidden", "Your role may not do that.");
        (void)denied;
        return problem_reply(request, &problem);
    }
    if (!access->key_min || !whose.length) return match.route->handler(request);
    return idempotency_run_link(request, match.route->handler, whose);
}

struct verdict public_handle(struct http_request *request)
{
    struct http_match match = http_route_find(routes, COUNT_OF(routes), request);
    const struct access *access = match.route ? match.route->context : NULL;
    if (!access || !access->public) return web_handle(request, WEB_ON_PUBLIC);
    answer_by(request, access);
    return auth_none(request, match.route->handler);
}

struct verdict api_handle(struct http_request *request)
{
    struct http_match match = http_route_find(routes, COUNT_OF(routes), request);
    if (!match.route && match.allowed) return problem_reply_method(request, match.allowed);
    if (!match.route) return web_handle(request, WEB_ON_API);
    const struct access *access = match.route->context;
    if (access->public) {
        if (request_service(request)->settings->listen.public[0])
            return problem_reply_not_found(request, "call here: it is on listen.public");
        answer_by(request, access);
    }
    if (access->open || (access->open_local && metrics_is_local(request)))
        return auth_none(request, match.route->handler);
    answer_by(request, access);
    return auth_run(request, access->any_of, call_run);
}
