/* The table of calls. Called by the HTTP server for each request on the management listener; loop
 * thread. What always holds: a handler runs only with a caller that its row lets in, a path that is
 * not in the table is 404, a method that is not is 405 with Allow. To add a call: write its
 * handler, add its row here, describe it in docs/openapi.yaml and docs/scopes.md. */
#include "api/routes.h"

#include "api/audit.h"
#include "api/auth.h"
#include "api/customers.h"
#include "api/health.h"
#include "api/keys.h"
#include "api/metrics.h"
#include "api/openapi.h"
#include "api/problem.h"
#include "api/signups.h"
#include "api/tiers.h"
#include "api/tokens.h"
#include "api/usage.h"
#include "api/verify.h"

enum { BODY_LIMIT = 65536 };

struct access {
    unsigned any_of;
    bool open;       /* no token */
    bool open_local; /* no token from loopback */
};

static const struct access open_to_all = {.open = true};
static const struct access admins = {SCOPE_ADMIN, false, false};
static const struct access readers = {SCOPE_READ, false, false};
static const struct access plan_readers = {SCOPE_READ | SCOPE_ISSUE | SCOPE_BILLING, false, false};
static const struct access usage_readers = {SCOPE_READ | SCOPE_BILLING, false, false};
static const struct access issuers = {SCOPE_ISSUE, false, false};
static const struct access key_readers = {SCOPE_READ | SCOPE_ISSUE, false, false};
static const struct access verifiers = {SCOPE_VERIFY, false, false};
static const struct access scrapers = {.any_of = SCOPE_READ, .open_local = true};

static const struct http_route routes[] = {
    {HTTP_M_GET, "/livez", handle_livez, &open_to_all},
    {HTTP_M_GET, "/readyz", handle_readyz, &open_to_all},
    {HTTP_M_GET, "/openapi.json", handle_openapi, &open_to_all},
    {HTTP_M_GET, "/metrics", handle_metrics, &scrapers},

    {HTTP_M_POST, "/v1/verify", handle_verify, &verifiers},

    {HTTP_M_POST, "/v1/signups", handle_signup_create, &issuers},

    {HTTP_M_POST, "/v1/customers", handle_customer_create, &issuers},
    {HTTP_M_GET, "/v1/customers", handle_customers_list, &key_readers},
    {HTTP_M_GET, "/v1/customers/{id}", handle_customer_get, &key_readers},
    {HTTP_M_PATCH, "/v1/customers/{id}", handle_customer_patch, &issuers},
    {HTTP_M_DELETE, "/v1/customers/{id}", handle_customer_delete, &issuers},

    {HTTP_M_POST, "/v1/keys", handle_key_create, &issuers},
    {HTTP_M_GET, "/v1/keys", handle_keys_list, &key_readers},
    {HTTP_M_POST, "/v1/keys/lookup", handle_key_lookup, &key_readers},
    {HTTP_M_GET, "/v1/keys/{id}", handle_key_get, &key_readers},
    {HTTP_M_PATCH, "/v1/keys/{id}", handle_key_patch, &issuers},
    {HTTP_M_DELETE, "/v1/keys/{id}", handle_key_delete, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/rotate", handle_key_rotate, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/end-overlap", handle_key_end_overlap, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/regenerate", handle_key_regenerate, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/revoke", handle_key_revoke, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/disable", handle_key_disable, &issuers},
    {HTTP_M_POST, "/v1/keys/{id}/enable", handle_key_enable, &issuers},

    {HTTP_M_GET, "/v1/keys/{id}/usage", handle_key_usage, &usage_readers},
    {HTTP_M_GET, "/v1/customers/{id}/usage", handle_customer_usage, &usage_readers},

    {HTTP_M_GET, "/v1/tiers", handle_tiers_list, &plan_readers},
    {HTTP_M_GET, "/v1/tiers/{slug}", handle_tier_get, &plan_readers},
    {HTTP_M_PUT, "/v1/tiers/{slug}", handle_tier_put, &admins},

    {HTTP_M_POST, "/v1/tokens", handle_token_create, &admins},
    {HTTP_M_GET, "/v1/tokens", handle_tokens_list, &admins},
    {HTTP_M_DELETE, "/v1/tokens/{id}", handle_token_delete, &admins},

    {HTTP_M_GET, "/v1/audit", handle_audit_list, &readers},
};

size_t api_body_limit(const struct http_request *request)
{
    (void)request;
    return BODY_LIMIT;
}

struct verdict api_handle(struct http_request *request)
{
    struct http_match match = http_route_find(routes, COUNT_OF(routes), request);
    if (!match.route && match.allowed) return problem_reply_method(request, match.allowed);
    if (!match.route) return problem_reply_not_found(request, "call: see /openapi.json");
    const struct access *access = match.route->context;
    if (access->open || (access->open_local && metrics_is_local(request)))
        return auth_none(request, match.route->handler);
    return auth_run(request, access->any_of, match.route->handler);
}

static const char *method_name(enum http_method method)
{
    switch (method) {
    case HTTP_M_GET:
        return "GET";
    case HTTP_M_HEAD:
        return "HEAD";
    case HTTP_M_POST:
        return "POST";
    case HTTP_M_PUT:
        return "PUT";
    case HTTP_M_PATCH:
        return "PATCH";
    case HTTP_M_DELETE:
        return "DELETE";
    case HTTP_M_OPTIONS:
        return "OPTIONS";
    case HTTP_M_OTHER:
        break;
    }
    return "OTHER";
}

size_t api_route_count(void)
{
    return COUNT_OF(routes);
}

struct api_route api_route_at(size_t at)
{
    const struct access *access = routes[at].context;
    return (struct api_route){.method = method_name(routes[at].method),
                              .pattern = routes[at].pattern,
                              .any_of = access->any_of,
                              .open = access->open || access->open_local};
}
