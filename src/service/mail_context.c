/* Contexts of mails: their values, their check, their examples. Called by whoever sends mail, by
 * `mail preview` and by tests. */
#include "service/mail_context.h"

#include "base/codec.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

json_t *mail_time(int64_t wall_ms)
{
    int64_t seconds = wall_ms / 1000, days = seconds / 86400, year;
    if (seconds < days * 86400) days--;
    unsigned of_day = (unsigned)(seconds - days * 86400), month, day;
    char iso[TIME_TEXT_SIZE], date[48], text[80], clock[8];
    date_from_days(days, &year, &month, &day);
    time_format(iso, wall_ms);
    snprintf(clock, sizeof clock, "%02u:%02u", of_day / 3600 % 24, of_day / 60 % 60);
    snprintf(date, sizeof date, "%u %s %lld", day, months[(month - 1) % 12], (long long)year);
    snprintf(text, sizeof text, "%s at %s UTC", date, clock);
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:i}", "text", text, "date", date, "time",
                     clock, "iso", iso, "year", (json_int_t)year, "month", (int)month, "day",
                     (int)day);
}

json_t *mail_duration(int64_t seconds)
{
    static const struct {
        int64_t seconds, least;
        const char *name;
    } units[] = {{86400, 2, "day"}, {3600, 1, "hour"}, {60, 1, "minute"}, {1, 0, "second"}};
    size_t unit = 0;
    if (seconds < 0) seconds = 0;
    while (seconds % units[unit].seconds || seconds / units[unit].seconds < units[unit].least)
        unit++;
    int64_t count = seconds / units[unit].seconds;
    char text[48];
    snprintf(text, sizeof text, "%lld %s%s", (long long)count, units[unit].name,
             count == 1 ? "" : "s");
    return json_pack("{s:s, s:I, s:I}", "text", text, "days",
                     (json_int_t)((seconds + 86399) / 86400), "hours",
                     (json_int_t)((seconds + 3599) / 3600));
}

json_t *mail_number(uint64_t number)
{
    char digits[24], text[32];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    size_t used = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) text[used++] = ',';
        text[used++] = digits[i];
    }
    return json_stringn(text, used);
}

/* ---- checking ---- */

static enum err members_check(const char *where, const struct template_variable *const *tables,
                              size_t table_count, const json_t *object, char *error);

static enum err refuse(char *error, const char *where, const char *name, const char *what)
{
    snprintf(error, TEMPLATE_ERROR_SIZE, "%.100s: \"%.60s\" %s", where, name, what);
    return ERR_INVALID;
}

static enum err value_check(const char *where, const struct template_variable *variable,
                            const json_t *value, char *error)
{
    char inside[160];
    snprintf(inside, sizeof inside, "%.100s, %.50s", where, variable->name);
    enum err result = ERR_OK;
    if (!value || json_is_null(value))
        return variable->optional ? ERR_OK : refuse(error, where, variable->name, "is missing");
    switch (variable->type) {
    case TEMPLATE_TEXT:
        if (json_is_string(value) || json_is_number(value)) return ERR_OK;
        return refuse(error, where, variable->name, "is neither a text nor a number");
    case TEMPLATE_FLAG:
        if (json_is_boolean(value)) return ERR_OK;
        return refuse(error, where, variable->name, "is neither true nor false");
    case TEMPLATE_GROUP:
        return members_check(inside, &variable->members, 1, value, error);
    case TEMPLATE_LIST:
        if (!json_is_array(value)) return refuse(error, where, variable->name, "is not a list");
        for (size_t i = 0; i < json_array_size(value) && variable->members && !result; i++)
            result = members_check(inside, &variable->members, 1, json_array_get(value, i), error);
        return result;
    }
    return ERR_OK;
}

static enum err members_check(const char *where, const struct template_variable *const *tables,
                              size_t table_count, const json_t *object, char *error)
{
    size_t known = 0;
    enum err result = ERR_OK;
    for (size_t i = 0; i < table_count; i++)
        for (const struct template_variable *at = tables[i]; at->name && !result; at++) {
            const json_t *value = json_object_get(object, at->name);
            if (value) known++;
            result = value_check(where, at, value, error);
        }
    if (result || known == json_object_size(object)) return result;
    snprintf(error, TEMPLATE_ERROR_SIZE, "%.100s: a name that is not declared for it", where);
    return ERR_INVALID;
}

enum err mail_context_check(enum mail_kind kind, const json_t *context,
                            char error[TEMPLATE_ERROR_SIZE])
{
    const struct template_variable *tables[] = {mail_kind_variables(kind), mail_common_variables};
    error[0] = '\0';
    if (json_object_get(context, "secret") && json_object_get(context, "claim_url"))
        return refuse(error, mail_kind_name(kind), "secret",
                      "and \"claim_url\" exclude each other");
    return members_check(mail_kind_name(kind), tables, COUNT_OF(tables), context, error);
}

void mail_context_free(json_t **context)
{
    static const char *const names[] = {"secret", "claim_url"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        json_t *text = json_object_get(*context, names[i]);
        if (json_is_string(text) && (*context)->refcount == 1 && text->refcount == 1)
            sodium_memzero((char *)(uintptr_t)json_string_value(text), json_string_length(text));
    }
    json_decref(*context);
    *context = NULL;
}

/* ---- examples ---- */

static json_t *example_of(const struct template_variable *variable, enum mail_shape shape);

/* Adds examples of a table; false on no memory. */
static bool examples_add(json_t *object, const struct template_variable *variables,
                         enum mail_shape shape)
{
    for (; variables->name; variables++) {
        bool is_flag = variables->type == TEMPLATE_FLAG;
        bool is_secret = strcmp(variables->name, "secret") == 0;
        bool is_claim = strncmp(variables->name, "claim_", 6) == 0;
        bool left_out = shape == MAIL_SHORTEST || (is_secret && shape != MAIL_WITH_SECRET) ||
                        (is_claim && shape != MAIL_WITH_CLAIM);
        if (variables->optional && (left_out || !variables->example) && !is_flag) continue;
        if (json_object_set_new(object, variables->name, example_of(variables, shape)))
            return false;
    }
    return true;
}

static json_t *example_of(const struct template_variable *variable, enum mail_shape shape)
{
    int64_t wall_ms;
    uint64_t seconds;
    struct span example = span_text(variable->example);
    if (variable->type == TEMPLATE_FLAG) return json_boolean(span_is(example, "yes"));
    if (variable->type == TEMPLATE_TEXT) return json_stringn(example.data, example.length);
    if (variable->members == mail_time_members)
        return time_parse(example, &wall_ms) ? mail_time(wall_ms) : NULL;
    if (variable->members == mail_duration_members)
        return u64_parse(example, UINT32_MAX, &seconds) ? mail_duration((int64_t)seconds) : NULL;
    json_t *list = json_array(), *item = json_object();
    bool good = list && item && examples_add(item, variable->members, shape) &&
                json_array_append(list, item) == 0 && json_array_append(list, item) == 0;
    json_decref(item);
    if (good) return list;
    json_decref(list);
    return NULL;
}

json_t *mail_example(enum mail_kind kind, enum mail_shape shape)
{
    json_t *context = json_object();
    if (context && examples_add(context, mail_common_variables, shape) &&
        examples_add(context, mail_kind_variables(kind), shape))
        return context;
    json_decref(context);
    return NULL;
}
