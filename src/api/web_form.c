/* Forms of pages. Called by the handlers of pages, on the loop thread. What always holds: nothing
 * of a form is looked at before it was sent from our own site, with the token of the session whose
 * cookie came along. */
#include "api/web_form.h"

#include "api/web_session.h"
#include "base/codec.h"
#include "base/plain_text.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 64 };

/* What http_form_each fills. */
struct filling {
    struct web_form *form;
    struct arena *arena;
};

static enum err list_add(json_t *object, const char *name, json_t *value)
{
    json_t *list = json_object_get(object, name);
    if (!list) {
        list = json_array();
        if (json_object_set_new(object, name, list)) {
            json_decref(value);
            return ERR_NO_MEMORY;
        }
    }
    if (json_is_array(list)) return json_array_append_new(list, value) ? ERR_NO_MEMORY : ERR_OK;
    json_decref(value);
    return ERR_INVALID;
}

/* Browsers end the lines of a textarea with "\r\n". */
static json_t *value_make(struct arena *arena, struct span value)
{
    char *text = arena_alloc(arena, value.length + 1);
    size_t length = 0;
    if (!text) return NULL;
    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] != '\r' || i + 1 == value.length || value.data[i + 1] != '\n')
            text[length++] = value.data[i];
    return json_stringn(text, length);
}

static enum err pair_take(struct span name, struct span value, void *context)
{
    struct filling *filling = context;
    json_t *object = filling->form->body.root;
    char text[NAME_SIZE];
    if (!name.length || name.length >= sizeof text || !text_is_utf8(name) || !text_is_utf8(value))
        return ERR_INVALID;
    bool list = name.length > 2 && memcmp(name.data + name.length - 2, "[]", 2) == 0;
    snprintf(text, sizeof text, "%.*s", (int)(name.length - (list ? 2 : 0)), name.data);
    if (!value.length) {
        if (list) return ERR_OK;
        return json_object_set_new(filling->form->empty, text, json_true()) ? ERR_NO_MEMORY
                                                                            : ERR_OK;
    }
    json_t *made = value_make(filling->arena, value);
    if (!made) return ERR_NO_MEMORY;
    if (list) return list_add(object, text, made);
    if (!json_object_get(object, text))
        return json_object_set_new(object, text, made) ? ERR_NO_MEMORY : ERR_OK;
    json_decref(made);
    return ERR_INVALID;
}

static bool refuse(struct web_form *form, int status, const char *code, const char *detail)
{
    enum err denied = problem_set(&form->body.problem, status, code, "%s", detail);
    (void)denied;
    return false;
}

static bool csrf_is(const struct web_form *form, const char *csrf)
{
    const char *sent = json_string_value(json_object_get(form->body.root, "csrf"));
    size_t length = strlen(csrf);
    return sent && strlen(sent) == length && sodium_memcmp(sent, csrf, length) == 0;
}

static bool is_form_type(struct http_request *request)
{
    struct span type = http_header(request, "content-type");
    if (!type.data || http_header_count(request, "content-type") != 1) return false;
    const char *end = memchr(type.data, ';', type.length);
    if (end) type.length = (size_t)(end - type.data);
    return span_is_nocase(type, "application/x-www-form-urlencoded");
}

bool web_form_open(struct web_form *form, struct http_request *request, const char *csrf)
{
    struct body *body = &form->body;
    struct filling filling = {.form = form, .arena = &request->arena};
    *form = (struct web_form){.empty = json_object()};
    body->root = json_object();
    if (web_same_site(request, &body->problem) != ERR_OK) return false;
    if (!is_form_type(request))
        return refuse(form, 415, "unsupported_media_type",
                      "The body must be sent as application/x-www-form-urlencoded.");
    enum err error = body->root && form->empty
                         ? http_form_each(request, request->body, pair_take, &filling)
                         : ERR_NO_MEMORY;
    if (error == ERR_INVALID)
        return refuse(form, 400, "malformed_form", "The form cannot be read; open it again.");
    if (error) {
        problem_for_error(error, &body->problem);
        return false;
    }
    if (csrf && !csrf_is(form, csrf))
        return refuse(form, 403, "form_expired",
                      "The form is from another sign-in; nothing was done. Open the page again.");
    body->fields = (struct fields){
        .object = body->root, .at = "form", .problem = &body->problem, .arena = &request->arena};
    field_ignore(&body->fields, "csrf");
    return true;
}

bool web_form_is_empty(const struct web_form *form, const char *name)
{
    return json_object_get(form->empty, name) != NULL;
}

const char *web_form_text(const struct web_form *form, const char *name)
{
    const char *text = json_string_value(json_object_get(form->body.root, name));
    return text ? text : "";
}

enum field web_form_u64(struct web_form *form, const char *name, uint64_t min, uint64_t max,
                        uint64_t *out)
{
    struct fields *fields = &form->body.fields;
    uint64_t value;
    field_ignore(fields, name);
    const char *text = web_form_text(form, name);
    if (!*text) return FIELD_ABSENT;
    if (u64_parse(span_text(text), max, &value) && value >= min) {
        *out = value;
        return FIELD_SET;
    }
    field_wrong(fields, name, "must be a whole number from %llu to %llu", (unsigned long long)min,
                (unsigned long long)max);
    return FIELD_WRONG;
}

bool web_form_box(struct web_form *form, const char *name)
{
    field_ignore(&form->body.fields, name);
    return *web_form_text(form, name) != '\0';
}

bool web_form_finish(struct web_form *form)
{
    return body_finish(&form->body);
}

void web_form_done(struct web_form *form)
{
    body_done(&form->body);
    json_decref(form->empty);
    form->empty = NULL;
}

json_t *web_form_errors(const struct web_form *form)
{
    const struct problem *problem = &form->body.problem;
    json_t *errors = json_object();
    for (unsigned i = 0; errors && i < problem->field_count; i++) {
        const char *location = problem->fields[i].location;
        const char *dot = strchr(location, '.');
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "%.*s", dot ? (int)strcspn(dot + 1, ".[") : 4,
                 dot ? dot + 1 : "form");
        if (json_object_set_new(errors, name, json_string(problem->fields[i].message))) break;
    }
    if (errors && problem->code && !problem->field_count &&
        json_object_set_new(errors, "form", json_string(problem->detail)))
        json_object_clear(errors);
    return errors;
}
