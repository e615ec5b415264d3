/* Keys in and out of JSON. Called by the handlers of keys and signups on the loop thread, key_put
 * also by their operations on the committer's. What always holds: a secret is written only where it
 * has just been made; everything else shows its first 10 characters at most. */
#include "api/key_json.h"

#include "base/json.h"
#include "core/api_key.h"
#include "core/permission.h"
#include "service/context.h"

enum { TITLE_MAX = 200, DESCRIPTION_MAX = 1000 };

static void usage_put(struct buf *out, const struct key_view *view)
{
    json_open(out, "usage", '{');
    json_put_time(out, "period_start", view->period.start_ms);
    json_put_u64(out, "used", view->used);
    json_close(out, '}');
}

static void secrets_put(struct buf *out, const struct key_view *view)
{
    json_open(out, "secrets", '[');
    for (size_t i = 0; i < view->secret_count; i++) {
        const struct key_secret_view *secret = &view->secrets[i];
        json_open(out, NULL, '{');
        json_put_u64(out, "version", secret->version);
        json_put_string(out, "start", secret->start);
        json_put_time(out, "created_at", secret->created_at);
        json_put_time(out, "last_used_at", secret->last_used_at);
        json_put_time(out, "expires_at", secret->expires_at);
        json_close(out, '}');
    }
    json_close(out, ']');
}

static void settings_put(struct buf *out, const struct api_key_row *row)
{
    json_put_raw(out, "permissions", span_text(row->permissions));
    json_put_raw(out, "rate_limits", span_text(row->rate_limits));
    if (row->has_monthly_cap)
        json_put_u64(out, "monthly_cap", row->monthly_cap);
    else
        json_put_null(out, "monthly_cap");
    json_put_raw(out, "allowed_networks", span_text(row->allowed_networks));
    json_put_raw(out, "metadata", span_text(row->metadata));
}

void key_put(struct buf *out, const char *name, const struct key_view *view,
             const struct secret *secret)
{
    const struct api_key_row *row = &view->row;
    char address[ADDRESS_TEXT_SIZE];
    address_format(&view->last_network, address);
    json_open(out, name, '{');
    json_put_id(out, "id", "key", row->id);
    json_put_id(out, "customer_id", "cus", row->customer_id);
    json_put_string(out, "title", row->title);
    json_put_string(out, "description", row->description);
    json_put_string(out, "environment", row->environment);
    json_put_string(out, "start", view->start[0] ? view->start : NULL);
    json_put_string(out, "fingerprint", view->fingerprint[0] ? view->fingerprint : NULL);
    json_put_string(out, "status", key_status_name(view->status));
    json_put_string(out, "tier", view->tier);
    settings_put(out, row);
    json_put_time(out, "created_at", row->created_at);
    json_put_time(out, "last_used_at", view->last_used_at);
    json_put_string(out, "last_used_ip", view->last_network.length ? address : NULL);
    json_put_time(out, "expires_at", row->expires_at);
    json_put_string(out, "rotation", row->rotation_off ? "off" : "automatic");
    json_put_time(out, "rotates_at", row->rotates_at);
    json_put_u64(out, "secret_version", row->secret_version);
    secrets_put(out, view);
    usage_put(out, view);
    if (secret) json_put_text(out, "secret", secret_span(secret));
    json_close(out, '}');
}

bool deliver_read(struct fields *fields, const struct service *service)
{
    static const char *const words[] = {"response", "email", NULL};
    unsigned choice = 0;
    enum field result = field_choice(fields, "deliver", words, &choice);
    if (!field_not_null(fields, "deliver", result) || choice == 0) return false;
    if (service->mails) return true;
    field_wrong(fields, "deliver",
                "only \"response\" is available: this server sends no mail (mail.url is not set)");
    fields->problem->code = "delivery_unavailable";
    return false;
}

/* True when it was given, null included. */
static bool cap_read(struct fields *fields, struct key_settings *settings)
{
    enum field result = field_u64(fields, "monthly_cap", 0, INT64_MAX, &settings->monthly_cap);
    settings->has_monthly_cap = result == FIELD_SET;
    return result == FIELD_SET || result == FIELD_NULL;
}

static void environment_read(struct fields *fields, struct key_settings *settings)
{
    static const char *const words[] = {"live", "test", NULL};
    unsigned choice = 0;
    enum field result = field_choice(fields, "environment", words, &choice);
    settings->test = field_not_null(fields, "environment", result) && choice == 1;
}

/* True when it was given. Taking a key out of rotation is the operator's to decide. */
static bool rotation_read(struct fields *fields, const struct caller *caller,
                          struct key_settings *settings)
{
    static const char *const words[] = {"automatic", "off", NULL};
    unsigned choice = 0;
    enum field result = field_choice(fields, "rotation", words, &choice);
    if (!field_not_null(fields, "rotation", result) || result != FIELD_SET) return false;
    settings->rotation_off = choice == 1;
    if (!settings->rotation_off || caller_has(caller, SCOPE_ADMIN)) return true;
    field_wrong(fields, "rotation", "\"off\" needs a token of scope admin");
    return false;
}

static void label_read(struct fields *fields, struct key_settings *settings)
{
    enum field result = field_word(fields, "label", API_LABEL_MIN, API_LABEL_MAX, &settings->label);
    if (result == FIELD_SET && !api_label_valid(span_text(settings->label)))
        field_wrong(fields, "label", "must be 2 to 40 of a-z, 0-9 and _, and not kmt");
}

/* What making and editing share. True when rate limits were given. */
static bool common_read(struct fields *fields, const struct caller *caller,
                        struct key_settings *settings)
{
    settings->within = caller->permissions;
    settings->may_loosen = caller_has(caller, SCOPE_ADMIN);
    field_not_null(fields, "title", field_text(fields, "title", 0, TITLE_MAX, &settings->title));
    field_not_null(fields, "description",
                   field_lines(fields, "description", 0, DESCRIPTION_MAX, &settings->description));
    field_not_null(fields, "permissions",
                   field_names(fields, "permissions", PERMISSIONS_MAX, PERMISSION_MAX,
                               &settings->permissions));
    enum field limits = field_rate_limits(fields, "rate_limits", settings->rate_limits,
                                          &settings->rate_limit_count);
    field_not_null(fields, "rate_limits", limits);
    field_not_null(fields, "allowed_networks",
                   field_networks(fields, "allowed_networks", &settings->allowed_networks));
    field_not_null(fields, "metadata", field_metadata(fields, "metadata", &settings->metadata));
    return limits == FIELD_SET;
}

void key_settings_read(struct fields *fields, const struct caller *caller,
                       struct key_settings *settings)
{
    settings->at = "body";
    common_read(fields, caller, settings);
    field_time(fields, "expires_at", &settings->expires_at);
    environment_read(fields, settings);
    rotation_read(fields, caller, settings);
    cap_read(fields, settings);
    label_read(fields, settings);
}

void key_edit_read(struct fields *fields, const struct caller *caller, struct key_edit *edit)
{
    edit->has_rate_limits = common_read(fields, caller, &edit->settings);
    enum field expires = field_time(fields, "expires_at", &edit->settings.expires_at);
    edit->has_cap = cap_read(fields, &edit->settings);
    edit->has_rotation = rotation_read(fields, caller, &edit->settings);
    edit->has_expires_at = expires == FIELD_SET || expires == FIELD_NULL;
}

void customer_name_read(struct fields *fields, struct customer_name *customer)
{
    const char *text = NULL;
    struct customer_ref ref;
    enum field result = field_word(fields, "customer_id", 1, 200, &text);
    if (!field_required(fields, "customer_id", result)) return;
    if (!customer_ref_parse(span_text(text), &ref))
        field_wrong(fields, "customer_id", "must be an id (cus_…) or an external_id");
    *customer = (struct customer_name){ref.id, ref.external_id};
}
