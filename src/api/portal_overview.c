/* The portal's first page, and the one that greets. Called by api/web_routes.c on the loop thread;
 * what they read is one snapshot on a reader's. */
#include "api/portal.h"
#include "api/portal_view.h"

#include "service/context.h"
#include "store/claim.h"
#include "store/customer_view.h"
#include "store/tier.h"
#include "store/usage_snapshot.h"

enum { KEYS_SHOWN = 200 };

struct overview {
    struct portal_visit visit;
    struct customer_view customer;
    struct tier_row tier;
    struct key_view *keys;
    size_t count;
    bool *claims; /* beside keys: a link to a secret waits */
    struct usage_series series;
    struct rate_limit limits[RATE_LIMITS_MAX];
};

static enum err claims_read(struct db *db, struct overview *overview)
{
    uint32_t made;
    int64_t first_at;
    overview->claims =
        arena_alloc(&overview->visit.arena, (overview->count + 1) * sizeof *overview->claims);
    if (!overview->claims) return ERR_NO_MEMORY;
    for (size_t i = 0; i < overview->count; i++) {
        const struct api_key_row *row = &overview->keys[i].row;
        enum err error = row->revoked_at ? ERR_OK
                                         : claim_count(db, row->id, row->secret_version, &made,
                                                       &overview->claims[i], &first_at);
        if (error) return error;
    }
    return ERR_OK;
}

static enum err overview_read(struct db *db, struct portal_visit *visit)
{
    struct overview *overview = CONTAINER_OF(visit, struct overview, visit);
    struct arena *arena = &visit->arena;
    uint64_t next = 0, customer_id = visit->session.customer_id;
    struct customer_name name = {.id = customer_id};
    struct key_filter filter = {.customer_id = customer_id, .limit = KEYS_SHOWN};
    const struct keyring *keyring = request_service(visit->request)->keyring;
    enum err error =
        customer_view_find(db, keyring, &name, visit->now_ms, arena, &overview->customer);
    if (!error) error = customer_view_count(db, &overview->customer, 1, arena);
    if (!error)
        error = tier_row_find(db, span_text(overview->customer.entitlement.tier), &overview->tier);
    if (!error)
        error = key_view_list(db, &filter, visit->now_ms, arena, &overview->keys, &overview->count,
                              &next);
    if (!error) error = key_view_count(db, overview->keys, overview->count, arena);
    if (!error) error = claims_read(db, overview);
    if (!error)
        error = portal_series(&overview->series, USAGE_CUSTOMER, customer_id, visit->now_ms, arena);
    return error ? error : usage_series_read(db, &overview->series);
}

static void keys_put(const struct overview *overview, json_t *context)
{
    json_t *keys = json_array(), *revoked = json_array();
    size_t living = 0;
    for (size_t i = 0; i < overview->count; i++) {
        const struct key_view *view = &overview->keys[i];
        json_t *key = portal_key_json(view, overview->visit.now_ms);
        portal_put(key, "claim", json_boolean(overview->claims[i]));
        living += view->status != KEY_REVOKED;
        if (!key || json_array_append_new(view->status == KEY_REVOKED ? revoked : keys, key)) break;
    }
    uint32_t most = overview->tier.tier.max_keys;
    portal_put(context, "any_keys", json_boolean(living > 0));
    portal_put(context, "any_revoked", json_boolean(living < overview->count));
    portal_put(context, "keys", keys);
    portal_put(context, "revoked", revoked);
    portal_put_number(context, "keys_used", living);
    portal_put_number(context, "keys_most", most);
    portal_put(context, "room", json_boolean(living < most));
}

static void customer_put(const struct overview *overview, json_t *context)
{
    const struct customer_view *customer = &overview->customer;
    const struct tier *tier = &overview->tier.tier;
    struct portal_quota quota = {.has_limit = customer->has_quota,
                                 .blocks = tier->overage == OVERAGE_BLOCK,
                                 .limit = customer->quota,
                                 .used = customer->used,
                                 .period = customer->period};
    bool named = customer->name && customer->name[0];
    const char *status = customer->entitlement.status;
    portal_put(context, "account", json_string(named ? customer->name : customer->external_id));
    portal_put(context, "tier", json_string(tier->name));
    portal_put(context, "past_due", json_boolean(span_is(span_text(status), "past_due")));
    portal_put(context, "suspended", json_boolean(span_is(span_text(status), "suspended")));
    portal_put(context, "grace_until", portal_time(customer->entitlement.grace_until));
    portal_put(context, "quota", portal_quota_json(&quota, overview->visit.now_ms));
    portal_put(context, "limits",
               portal_rates_json(tier->rate_limits, NULL, tier->rate_limit_count));
}

static struct verdict overview_show(struct portal_visit *visit)
{
    struct overview *overview = CONTAINER_OF(visit, struct overview, visit);
    json_t *context = portal_context(visit, "overview");
    if (context) {
        customer_put(overview, context);
        keys_put(overview, context);
        portal_put(context, "plot", portal_plot_json(&overview->series));
    }
    return portal_reply(visit, 200, "portal", "Overview", context);
}

static struct verdict welcome_show(struct portal_visit *visit)
{
    struct overview *overview = CONTAINER_OF(visit, struct overview, visit);
    json_t *context = portal_context(visit, "welcome");
    if (context) {
        customer_put(overview, context);
        keys_put(overview, context);
        portal_samples_put(context, NULL);
    }
    return portal_reply(visit, 200, "portal_welcome", "Welcome", context);
}

static struct verdict begin(struct http_request *request,
                            struct verdict (*show)(struct portal_visit *visit))
{
    struct overview *overview = portal_visit_new(request, sizeof *overview);
    if (!overview) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    overview->visit.read = overview_read;
    overview->visit.show = show;
    return portal_visit_start(&overview->visit);
}

struct verdict handle_portal_overview(struct http_request *request)
{
    return begin(request, overview_show);
}

struct verdict handle_portal_welcome(struct http_request *request)
{
    return begin(request, welcome_show);
}
