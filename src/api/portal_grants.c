/* Networks and rate limits in the portal's forms. Called by api/portal_act.c and api/portal_edit.c
 * on the loop thread. What always holds: a field names a limit of the tier, an empty one leaves the
 * tier's, and whether a limit is tighter is decided where the key is written (service/issue.h). */
#include "api/portal_grants.h"

#include "api/portal_view.h"

#include <stdio.h>
#include <string.h>

enum { FIELD_NAME_SIZE = RATE_NAME_SIZE + 8 };

static void limit_field(char out[FIELD_NAME_SIZE], const struct rate_limit *limit)
{
    snprintf(out, FIELD_NAME_SIZE, "limit_%s", limit->name);
}

/* The key's own limits; none of its tier's. */
static unsigned own_limits(const struct api_key_row *key, struct rate_limit out[RATE_LIMITS_MAX])
{
    const struct tier none = {0};
    return key ? portal_limits(&none, key->rate_limits, out) : 0;
}

static const struct rate_limit *limit_named(const struct rate_limit *limits, unsigned count,
                                            const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(limits[i].name, name) == 0) return &limits[i];
    return NULL;
}

static json_t *networks_lines(const struct api_key_row *key)
{
    struct buf text CLEANUP(buf_done) = {0};
    json_t *list = key ? json_loads(key->allowed_networks, 0, NULL) : NULL, *one;
    size_t index;
    json_array_foreach(list, index, one)
        buf_printf(&text, "%s%s", index ? "\n" : "", json_string_value(one));
    json_decref(list);
    return json_stringn(text.data && !text.failed ? text.data : "", text.failed ? 0 : text.length);
}

void portal_grants_put(json_t *context, const struct tier *tier, const struct api_key_row *key,
                       const struct web_form *form)
{
    struct rate_limit own[RATE_LIMITS_MAX];
    unsigned count = own_limits(key, own);
    json_t *rows = json_array();
    json_t *errors = form ? web_form_errors(form) : NULL;
    portal_put(context, "networks",
               form ? json_string(web_form_text(form, "networks")) : networks_lines(key));
    for (unsigned i = 0; rows && i < tier->rate_limit_count; i++) {
        const struct rate_limit *limit = &tier->rate_limits[i];
        const struct rate_limit *mine = limit_named(own, count, limit->name);
        char name[FIELD_NAME_SIZE], value[16] = "";
        limit_field(name, limit);
        if (mine) snprintf(value, sizeof value, "%u", mine->limit);
        json_t *row = json_pack("{s:s, s:s, s:s, s:i, s:O*}", "field", name, "name", limit->name,
                                "value", form ? web_form_text(form, name) : value, "seconds",
                                (int)(mine ? mine->window_s : limit->window_s), "fault",
                                json_object_get(errors, name));
        portal_put_number(row, "most", limit->limit);
        if (json_array_append_new(rows, row)) break;
    }
    json_decref(errors);
    portal_put(context, "limit_rows", rows);
}

/* Lines as the list that field_networks takes. */
static void networks_read(struct web_form *form, struct key_settings *settings)
{
    const char *at = web_form_text(form, "networks");
    json_t *list = json_array();
    while (list && *at) {
        size_t length = strcspn(at, ", \t\n");
        if (length && json_array_append_new(list, json_stringn(at, length))) break;
        at += length;
        at += strspn(at, ", \t\n");
    }
    json_t *sent = json_incref(json_object_get(form->body.root, "networks"));
    if (json_object_set_new(form->body.root, "networks", list) == 0)
        field_networks(&form->body.fields, "networks", &settings->allowed_networks);
    if (json_object_set_new(form->body.root, "networks", sent ? sent : json_string("")))
        settings->allowed_networks = NULL;
}

bool portal_grants_read(struct web_form *form, const struct tier *tier,
                        const struct api_key_row *key, struct key_settings *settings)
{
    struct rate_limit own[RATE_LIMITS_MAX];
    unsigned count = own_limits(key, own);
    bool changed = false;
    networks_read(form, settings);
    for (unsigned i = 0; i < count; i++)
        if (!limit_named(tier->rate_limits, tier->rate_limit_count, own[i].name))
            settings->rate_limits[settings->rate_limit_count++] = own[i];
    for (unsigned i = 0; i < tier->rate_limit_count; i++) {
        const struct rate_limit *limit = &tier->rate_limits[i];
        const struct rate_limit *mine = limit_named(own, count, limit->name);
        struct rate_limit wanted = mine ? *mine : *limit;
        /* Kept among the names that the form knows. */
        const char *name = arena_printf(form->body.fields.arena, "limit_%s", limit->name);
        uint64_t value = 0;
        if (!name) return false; /* no memory: then the field is refused as unknown */
        enum field field = web_form_u64(form, name, 1, UINT32_MAX, &value);
        changed |= field == FIELD_SET ? !mine || mine->limit != value : mine != NULL;
        if (field != FIELD_SET || settings->rate_limit_count == RATE_LIMITS_MAX) continue;
        wanted.limit = (uint32_t)value;
        settings->rate_limits[settings->rate_limit_count++] = wanted;
    }
    return changed;
}
