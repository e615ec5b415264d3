/* One verify call as JSON: its fields in, its result out. Called by the single and the batch call,
 * on the loop thread. What always holds: what a caller may know of a key is written inside `done`,
 * where the meter keeps it valid, and a text with wrong check digits is answered without the meter.
 */
#include "api/verify_json.h"

#include "api/request_log.h"
#include "base/json.h"
#include "service/context.h"

enum { COST_MAX = 1000000, KEY_TEXT_MAX = 255 };

static void quota_write(struct buf *out, const struct verify_quota *quota)
{
    if (!quota->known) return;
    json_open(out, "quota", '{');
    if (quota->limited) {
        json_put_u64(out, "limit", quota->limit);
        json_put_u64(out, "used", quota->used);
        json_put_u64(out, "remaining", quota->remaining);
    } else {
        json_put_null(out, "limit");
        json_put_u64(out, "used", quota->used);
        json_put_null(out, "remaining");
    }
    json_put_time(out, "resets_at", quota->resets_at);
    json_close(out, '}');
}

static void rates_write(struct buf *out, const struct verify_call *call)
{
    json_open(out, "rate_limits", '[');
    for (unsigned i = 0; i < call->rate_count; i++) {
        json_open(out, NULL, '{');
        json_put_string(out, "name", call->rate_limits[i].name);
        json_put_u64(out, "limit", call->rate_limits[i].limit);
        json_put_u64(out, "remaining", call->rates[i].remaining);
        json_put_u64(out, "reset_seconds", call->rates[i].reset_seconds);
        json_close(out, '}');
    }
    json_close(out, ']');
}

/* "a,b" becomes ["a","b"]. */
static void names_write(struct buf *out, const char *name, const char *joined)
{
    json_open(out, name, '[');
    while (joined && *joined) {
        size_t length = strcspn(joined, ",");
        json_put_text(out, NULL, span_of(joined, length));
        joined += length + (joined[length] == ',');
    }
    json_close(out, ']');
}

void verify_write(struct buf *out, const struct verify_call *call, bool metadata)
{
    const struct verify_key *key = &call->key;
    json_open(out, NULL, '{');
    json_put_bool(out, "valid", call->code == VERIFY_VALID);
    json_put_string(out, "code", verify_code_name(call->code));
    if (key->key_id) {
        json_put_id(out, "key_id", "key", key->key_id);
        json_open(out, "customer", '{');
        json_put_id(out, "id", "cus", key->customer_id);
        json_put_string(out, "external_id", key->external_id);
        json_close(out, '}');
        json_put_string(out, "tier", key->tier);
        json_put_string(out, "environment", key->live ? "live" : "test");
        names_write(out, "permissions", key->permissions);
        if (metadata) json_put_raw(out, "metadata", span_text(key->metadata_json));
        quota_write(out, &call->quota);
        rates_write(out, call);
        json_put_time(out, "secret_expires_at", key->secret_expires_at);
    }
    json_close(out, '}');
}

bool verify_read(struct fields *fields, struct verify_call *call, const char **key)
{
    const char *permissions = "", *ip = NULL;
    call->cost = 1;
    field_required(fields, "key", field_key(fields, "key", KEY_TEXT_MAX, key));
    field_not_null(fields, "cost", field_u64(fields, "cost", 0, COST_MAX, &call->cost));
    field_not_null(fields, "permissions", field_names(fields, "permissions", 64, 64, &permissions));
    if (field_text(fields, "ip", 0, 64, &ip) == FIELD_SET &&
        !address_parse(span_text(ip), &call->address))
        field_wrong(fields, "ip", "must be an IPv4 or IPv6 address");
    call->permissions = span_text(permissions);
    fields_finish(fields);
    return fields->problem->code == NULL;
}

bool verify_hash(const struct http_request *request, const char *key, struct verify_call *call)
{
    const struct service *service = request_service(request);
    call->code = VERIFY_NOT_FOUND;
    if (meter_take_key(service, call, span_text(key))) return true;
    meter_count_unknown(service->meter);
    auth_failed(request, AUTH_VERIFY, *key ? AUTH_MALFORMED : AUTH_MISSING, span_text(key),
                &call->address);
    return false;
}

void verify_failed_log(const struct http_request *request, const struct verify_call *call,
                       const char *key)
{
    if (call->code != VERIFY_VALID) auth_failed_code(request, AUTH_VERIFY, call, span_text(key));
}
