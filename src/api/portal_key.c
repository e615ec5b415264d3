/* A key's page, and the pages that ask before something is done to it. Called by api/web_routes.c
 * on the loop thread; what they read is one snapshot on a reader's. What always holds: a key of
 * another customer is none. */
#include "api/portal_key.h"

#include "api/portal_view.h"
#include "crypto/key_hash.h"
#include "crypto/keyring.h"
#include "service/context.h"
#include "service/meter.h"
#include "store/claim.h"
#include "store/entitlement.h"

#include <string.h>

const struct portal_action portal_actions[] = {
    {"regenerate", PORTAL_ROTATE_KEYS, "Regenerate this key?"},
    {"rotate", PORTAL_ROTATE_KEYS, "Rotate this key?"},
    {"end-overlap", PORTAL_ROTATE_KEYS, "End the old secret now?"},
    {"resend-claim", PORTAL_ROTATE_KEYS, "Send the link again?"},
    {"disable", PORTAL_DISABLE_KEYS, "Disable this key?"},
    {"enable", PORTAL_DISABLE_KEYS, "Enable this key?"},
    {"revoke", PORTAL_REVOKE_KEYS, "Revoke this key?"},
    {NULL, 0, NULL},
};

const struct portal_action *portal_action_find(struct span name)
{
    for (const struct portal_action *action = portal_actions; action->name; action++)
        if (span_is(name, action->name)) return action;
    return NULL;
}

enum err portal_key_read(struct db *db, struct portal_visit *visit)
{
    struct portal_key *key = CONTAINER_OF(visit, struct portal_key, visit);
    const struct keyring *keyring = request_service(visit->request)->keyring;
    struct entitlement_row entitlement;
    uint32_t made;
    enum err error = key_view_find(db, key->id, visit->now_ms, &visit->arena, &key->view);
    if (!error && key->view.row.customer_id != visit->session.customer_id) error = ERR_NOT_FOUND;
    if (!error) error = key_view_count(db, &key->view, 1, &visit->arena);
    if (!error)
        error = entitlement_find(db, visit->session.customer_id, &visit->arena, &entitlement);
    if (!error) error = tier_row_find(db, span_text(entitlement.tier), &key->tier);
    if (!error)
        error = claim_count(db, key->id, key->view.row.secret_version, &made, &key->claim,
                            &key->claim_at);
    if (!error)
        error = portal_series(&key->series, USAGE_KEY, key->id, visit->now_ms, &visit->arena);
    if (!error) error = usage_series_read(db, &key->series);
    if (error) return error;
    error = portal_key_hash(db, key->id, KEY_HASH_ALGORITHM, keyring_pepper_id(keyring), key->hash);
    key->hashed = !error;
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

static void rates_put(const struct portal_key *key, json_t *context)
{
    struct rate_limit limits[RATE_LIMITS_MAX];
    struct rate_view views[RATE_LIMITS_MAX];
    struct meter *meter = request_service(key->visit.request)->meter;
    unsigned count = key->hashed ? meter_rates(meter, key->hash, limits, views) : 0;
    bool known = count > 0;
    if (!known) count = portal_limits(&key->tier.tier, key->view.row.rate_limits, limits);
    portal_put(context, "limits", portal_rates_json(limits, known ? views : NULL, count));
}

/* What was done right before, by the address: one of our own words, or nothing. */
static void done_put(const struct portal_key *key, json_t *context)
{
    struct span word = query_text(key->visit.request, "done");
    const struct portal_action *action = word.data ? portal_action_find(word) : NULL;
    bool edited = word.data && span_is(word, "edit");
    if (!action && !edited) return;
    json_t *done = json_object();
    portal_put(done, "edit", json_boolean(edited));
    portal_put(context, "done", done);
    if (!action) return;
    char name[24] = "";
    for (size_t i = 0; action->name[i] && i + 1 < sizeof name; i++)
        name[i] = action->name[i] == '-' ? '_' : action->name[i];
    portal_put(done, name, json_true());
}

json_t *portal_key_context(const struct portal_key *key, const char *at)
{
    json_t *context = portal_context(&key->visit, at);
    json_t *one = portal_key_json(&key->view, key->visit.now_ms);
    portal_put(one, "claim", json_boolean(key->claim));
    portal_put(one, "claim_since", portal_time(key->claim ? key->claim_at : 0));
    portal_put(context, "key", one);
    portal_put(context, "mails", json_boolean(request_service(key->visit.request)->mails));
    return context;
}

static struct verdict key_show(struct portal_visit *visit)
{
    struct portal_key *key = CONTAINER_OF(visit, struct portal_key, visit);
    json_t *context = portal_key_context(key, "key");
    const char *title = key->view.row.title[0] ? key->view.row.title : "Untitled key";
    if (context) {
        rates_put(key, context);
        done_put(key, context);
        portal_put(context, "plot", portal_plot_json(&key->series));
        portal_samples_put(context, NULL);
    }
    return portal_reply(visit, 200, "portal_key", title, context);
}

static struct verdict confirm_show(struct portal_visit *visit)
{
    struct portal_key *key = CONTAINER_OF(visit, struct portal_key, visit);
    json_t *context = portal_key_context(key, "confirm");
    json_t *ask = json_object();
    char name[24] = "";
    for (size_t i = 0; key->action->name[i] && i + 1 < sizeof name; i++)
        name[i] = key->action->name[i] == '-' ? '_' : key->action->name[i];
    portal_put(ask, name, json_true());
    portal_put(context, "ask", ask);
    portal_put(context, "action", json_string(key->action->name));
    return portal_reply(visit, 200, "portal_confirm", key->action->title, context);
}

struct portal_key *portal_key_new(struct http_request *request, size_t size,
                                  struct verdict *verdict)
{
    struct problem problem = {0};
    struct portal_key *key = portal_visit_new(request, size);
    if (!key) {
        *verdict = web_reply_error(request, ERR_NO_MEMORY, NULL);
        return NULL;
    }
    key->visit.read = portal_key_read;
    key->action = portal_action_find(path_text(request, 1));
    bool wants = path_text(request, 1).length > 0;
    if (path_id(request, 0, "key", &key->id) && (!wants || key->action)) return key;
    portal_visit_free(&key->visit);
    *verdict = web_reply_error(
        request,
        problem_set(&problem, 404, "not_found", "There is nothing of yours at this address."),
        &problem);
    return NULL;
}

struct verdict handle_portal_key(struct http_request *request)
{
    struct verdict verdict;
    struct portal_key *key = portal_key_new(request, sizeof *key, &verdict);
    if (!key) return verdict;
    key->visit.show = key_show;
    return portal_visit_start(&key->visit);
}

struct verdict handle_portal_confirm(struct http_request *request)
{
    struct verdict verdict;
    struct portal_key *key = portal_key_new(request, sizeof *key, &verdict);
    if (!key) return verdict;
    key->visit.show = confirm_show;
    return portal_visit_start(&key->visit);
}
