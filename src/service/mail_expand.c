/* Expanding stored contexts. Called where mails are made, on worker and DB threads. What always
 * holds: nothing is added here that the row did not say. */
#include "service/mail_expand.h"

#include "base/json.h"
#include "service/mail_context.h"

static enum err members_expand(const struct template_variable *variables, json_t *object);

/* Takes `value`'s place; NULL: no memory. */
static json_t *group_of(const struct template_variable *variable, const json_t *value)
{
    json_int_t number = json_integer_value(value);
    return variable->members == mail_duration_members ? mail_duration(number) : mail_time(number);
}

static enum err value_expand(const struct template_variable *variable, json_t *object,
                             json_t *value)
{
    enum err error = ERR_OK;
    json_t *instead = NULL;
    switch (variable->type) {
    case TEMPLATE_TEXT:
        if (!json_is_integer(value)) return ERR_OK;
        if (json_integer_value(value) < 0) return ERR_INVALID;
        instead = mail_number((uint64_t)json_integer_value(value));
        break;
    case TEMPLATE_GROUP:
        if (!json_is_integer(value)) return ERR_INVALID;
        instead = group_of(variable, value);
        break;
    case TEMPLATE_LIST:
        for (size_t i = 0; variable->members && i < json_array_size(value) && !error; i++)
            error = members_expand(variable->members, json_array_get(value, i));
        return error;
    case TEMPLATE_FLAG:
        return ERR_OK;
    }
    return json_object_set_new(object, variable->name, instead) ? ERR_NO_MEMORY : ERR_OK;
}

static enum err members_expand(const struct template_variable *variables, json_t *object)
{
    enum err error = ERR_OK;
    for (; variables->name && !error; variables++) {
        json_t *value = json_object_get(object, variables->name);
        if (value) error = value_expand(variables, object, value);
    }
    return error;
}

enum err mail_expand(enum mail_kind kind, struct span stored, json_t **out)
{
    char wrong[JSON_ERROR_SIZE];
    enum err error = json_parse_strict(stored, out, wrong);
    if (!error && !json_is_object(*out)) error = ERR_INVALID;
    if (!error) error = members_expand(mail_kind_variables(kind), *out);
    if (error && *out) mail_context_free(out);
    return error;
}
