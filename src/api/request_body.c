/* Reading a JSON body field by field. Called by the handlers, on the loop thread. What always
 * holds: every text that is handed out is a copy in the request's arena, bounded by the reader's
 * limits, and all errors of a body are told at once, each with its location. */
#include "api/request.h"

#include "base/codec.h"
#include "base/json.h"
#include "base/mailbox.h"
#include "base/plain_text.h"
#include "core/network.h"
#include "core/rate_limit.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOCATION_SIZE = 96, NETWORKS_MAX = 64, METADATA_BYTES_MAX = 16384 };

/* ---- opening and closing ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* application/json, with no parameter but charset=utf-8. */
static bool is_json_type(struct span type)
{
    const char *end = memchr(type.data, ';', type.length);
    struct span media = {type.data, end ? (size_t)(end - type.data) : type.length};
    while (media.length && is_blank(media.data[media.length - 1]))
        media.length--;
    if (!span_is_nocase(media, "application/json")) return false;
    if (!end) return true;
    struct span rest = {end + 1, type.length - (size_t)(end + 1 - type.data)};
    while (rest.length && is_blank(rest.data[0])) {
        rest.data++;
        rest.length--;
    }
    return rest.length == 0 || span_is_nocase(rest, "charset=utf-8") ||
           span_is_nocase(rest, "charset=\"utf-8\"");
}

static bool body_refuse(struct body *body, int status, const char *code, const char *detail)
{
    enum err denied = problem_set(&body->problem, status, code, "%s", detail);
    (void)denied;
    return false;
}

static bool body_read(struct body *body, struct http_request *request)
{
    struct span coding = http_header(request, "content-encoding");
    if (http_header_count(request, "content-type") != 1 ||
        !is_json_type(http_header(request, "content-type")))
        return body_refuse(body, 415, "unsupported_media_type",
                           "The body must be sent with one Content-Type: application/json.");
    if (coding.data && !span_is_nocase(coding, "identity"))
        return body_refuse(body, 415, "unsupported_media_type",
                           "The body must be sent without a Content-Encoding.");
    char error[JSON_ERROR_SIZE] = "";
    enum err parsed = json_parse_strict(request->body, &body->root, error);
    if (parsed == ERR_INVALID) return body_refuse(body, 400, "malformed_json", error);
    if (parsed != ERR_OK) {
        problem_for_error(parsed, &body->problem);
        return false;
    }
    return true;
}

static bool body_begin(struct body *body, struct http_request *request)
{
    if (!json_is_object(body->root)) {
        problem_add_field(&body->problem, "body", "must be a JSON object");
        return false;
    }
    body->fields = (struct fields){
        .object = body->root, .at = "body", .problem = &body->problem, .arena = &request->arena};
    return true;
}

bool body_open(struct body *body, struct http_request *request)
{
    *body = (struct body){0};
    return body_read(body, request) && body_begin(body, request);
}

bool body_open_optional(struct body *body, struct http_request *request)
{
    if (request->body.length) return body_open(body, request);
    *body = (struct body){.root = json_object()};
    if (!body->root) {
        problem_for_error(ERR_NO_MEMORY, &body->problem);
        return false;
    }
    return body_begin(body, request);
}

bool body_finish(struct body *body)
{
    fields_finish(&body->fields);
    return body->problem.code == NULL;
}

void body_done(struct body *body)
{
    json_decref(body->root);
    body->root = NULL;
}

/* ---- what the readers share ---- */

static void location_of(const struct fields *fields, const char *name, char out[LOCATION_SIZE])
{
    snprintf(out, LOCATION_SIZE, "%s.%.30s", fields->at, name);
}

void field_wrong(struct fields *fields, const char *name, const char *format, ...)
{
    char location[LOCATION_SIZE], message[160];
    location_of(fields, name, location);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    problem_add_field(fields->problem, location, "%s", message);
}

void field_ignore(struct fields *fields, const char *name)
{
    if (fields->known_count < FIELDS_MAX) fields->known[fields->known_count++] = name;
}

/* The member; *out tells what a reader may return at once. */
static json_t *field_take(struct fields *fields, const char *name, enum field *out)
{
    field_ignore(fields, name);
    json_t *value = json_object_get(fields->object, name);
    *out = !value ? FIELD_ABSENT : json_is_null(value) ? FIELD_NULL : FIELD_SET;
    return value;
}

static enum field no_room(struct fields *fields, const char *name)
{
    field_wrong(fields, name, "is too large to be kept");
    return FIELD_WRONG;
}

static bool is_known(const struct fields *fields, const char *name)
{
    for (unsigned i = 0; i < fields->known_count; i++)
        if (!strcmp(fields->known[i], name)) return true;
    return false;
}

void fields_finish(struct fields *fields)
{
    const char *name;
    json_t *value;
    json_object_foreach(fields->object, name, value) if (!is_known(fields, name))
        field_wrong(fields, name, "is not a field of this call");
}

bool field_required(struct fields *fields, const char *name, enum field result)
{
    if (result == FIELD_ABSENT || result == FIELD_NULL) field_wrong(fields, name, "is required");
    return result == FIELD_SET;
}

bool field_not_null(struct fields *fields, const char *name, enum field result)
{
    if (result == FIELD_NULL) field_wrong(fields, name, "must not be null");
    return result == FIELD_SET || result == FIELD_ABSENT;
}

/* ---- texts ---- */

#define CHARACTER_WRONG                                                                            \
    "has a character that is a control or invisible: take out U+%04X, character %zu"

static bool is_word(struct span text, size_t min, size_t max)
{
    if (text.length < min || text.length > max) return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c <= ' ' || c > '~' || c == ',' || c == '"' || c == '\\') return false;
    }
    return !is_key_text(text);
}

static struct span json_text(const json_t *value)
{
    return span_of(json_string_value(value), json_string_length(value));
}

static enum field text_out(struct fields *fields, const char *name, const json_t *value,
                           const char **out)
{
    const char *copy = arena_copy(fields->arena, json_text(value));
    if (!copy) return no_room(fields, name);
    *out = copy;
    return FIELD_SET;
}

static enum field text_take(struct fields *fields, const char *name, size_t min, size_t max,
                            bool lines, const char **out)
{
    enum field state;
    json_t *value = field_take(fields, name, &state);
    if (state != FIELD_SET) return state;
    if (!json_is_string(value)) {
        field_wrong(fields, name, "must be a string");
        return FIELD_WRONG;
    }
    if (is_key_text(json_text(value))) {
        field_wrong(fields, name, "must not be a key or token");
        return FIELD_WRONG;
    }
    struct plain_text seen = plain_text_check(json_text(value), lines);
    if (!seen.wrong_at && seen.length >= min && seen.length <= max)
        return text_out(fields, name, value, out);
    if (seen.wrong_at)
        field_wrong(fields, name, CHARACTER_WRONG, (unsigned)seen.wrong, seen.wrong_at);
    else
        field_wrong(fields, name, "must have %zu to %zu characters", min, max);
    return FIELD_WRONG;
}

enum field field_text(struct fields *fields, const char *name, size_t min, size_t max,
                      const char **out)
{
    return text_take(fields, name, min, max, false, out);
}

enum field field_lines(struct fields *fields, const char *name, size_t min, size_t max,
                       const char **out)
{
    return text_take(fields, name, min, max, true, out);
}

enum field field_key(struct fields *fields, const char *name, size_t max, const char **out)
{
    enum field state;
    json_t *value = field_take(fields, name, &state);
    if (state != FIELD_SET) return state;
    if (json_is_string(value) && json_string_length(value) <= max)
        return text_out(fields, name, value, out);
    field_wrong(fields, name, "must be a string of at most %zu bytes", max);
    return FIELD_WRONG;
}

enum field field_word(struct fields *fields, const char *name, size_t min, size_t max,
                      const char **out)
{
    enum field state;
    json_t *value = field_take(fields, name, &state);
    if (state != FIELD_SET) return state;
    if (json_is_string(value) && is_word(json_text(value), min, max))
        return text_out(fields, name, value, out);
    field_wrong(fields, name,
                "must be a string of %zu to %zu printable ASCII characters without spaces, "
                "commas, quotes and backslashes, and no key or token",
                min, max);
    return FIELD_WRONG;
}

enum field field_email(struct fields *fields, const char *name, const char **out)
{
    enum field state;
    json_t *value = field_take(fields, name, &state);
    if (state != FIELD_SET) return state;
    if (json_is_string(value) && mailbox_address_is_good(json_text(value)))
        return text_out(fields, name, value, out);
    field_wrong(fields, name,
                "must be an e-mail address like name@example.com, at most %d "
                "ASCII characters",
                MAILBOX_ADDRESS_SIZE - 1);
    return FIELD_WRONG;
}

enum field field_choice(struct fields *fields, const char *name, const char *const *words,
                        unsigned *out)
{
    enum field state;
    json_t *value = field_take(fields, name, &state);
    if (state != FIELD_SET) return state;
    char list[100] = "";
    for (unsigned i = 0; words[i]; i++) {
        if (json_is_string(value) && span_is(json_text(value), words[i])) {
            *out = i;
            return FIELD_SET;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
    }
    field_wrong(fields, name, "must be one of: %s", list);
    return FIELD_WRONG;
}

/* ---- numbers, booleans, times ---- */

enum field field_u64(struct fields *fields, const char *name, uint64_t min, uint64_t max,
                     uint64_t *out)
{
    enum field state;
    json_t *value = field_take(fields, name, &state);
    if (state != FIELD_SET) return state;
    json_int_t number = json_integer_value(value);
    if (json_is_integer(value) && number >= 0 && (uint64_t)number >= min &&
        (uint64_t)number <= max) {
        *out = (uint64_t)number;
        return FIELD_SET;
    }
    field_wrong(fields, name, "must be a whole number from %llu to %llu", (unsigned long long)min,
                (unsigned long long)max);
    return FIELD_WRONG;
}

enum field field_bool(struct fields *fields, const char *name, bool *out)
{
    enum field state;
    json_t *value = field_take(fields, name, &state);
    if (state != FIELD_SET) return state;
    if (json_is_boolean(value)) {
        *out = json_is_true(value);
        return FIELD_SET;
    }
    field_wrong(fields, name, "must be true or false");
    return FIELD_WRONG;
}

enum field field_time(struct fields *fields, const char *name, int64_t *wall_ms)
{
    enum field state;
    json_t *value = field_take(fields, name, &state);
    if (state != FIELD_SET) return state;
    int64_t parsed;
    if (json_is_string(value) && time_parse(json_text(value), &parsed)) {
        *wall_ms = parsed;
        return FIELD_SET;
    }
    field_wrong(fields, name, "must be a time like 2027-01-31T12:00:00Z (RFC 3339)");
    return FIELD_WRONG;
}

/* ---- arrays and objects ---- */

/* The member when it is an array of at most `max`; NULL when *out says all. */
static json_t *array_take(struct fields *fields, const char *name, size_t max, enum field *out)
{
    json_t *value = field_take(fields, name, out);
    if (*out != FIELD_SET) return NULL;
    if (json_is_array(value) && json_array_size(value) <= max) return value;
    field_wrong(fields, name, "must be an array of at most %zu", max);
    *out = FIELD_WRONG;
    return NULL;
}

/* "name[3]", for the location of an element. */
static const char *element_name(char out[64], const char *name, size_t at)
{
    snprintf(out, 64, "%.20s[%zu]", name, at);
    return out;
}

static bool has_text(const json_t *array, size_t end, struct span text)
{
    for (size_t i = 0; i < end; i++)
        if (span_equal(json_text(json_array_get(array, i)), text)) return true;
    return false;
}

enum field field_names(struct fields *fields, const char *name, size_t max, size_t length,
                       const char **joined)
{
    enum field state;
    json_t *array = array_take(fields, name, max, &state);
    if (!array) return state;
    struct buf text CLEANUP(buf_done) = {0};
    char element[64];
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *value = json_array_get(array, i);
        if (!json_is_string(value) || !is_word(json_text(value), 1, length)) {
            field_wrong(fields, element_name(element, name, i),
                        "must be a string of 1 to %zu printable ASCII characters without "
                        "spaces, commas, quotes and backslashes",
                        length);
            return FIELD_WRONG;
        }
        if (has_text(array, i, json_text(value))) {
            field_wrong(fields, element_name(element, name, i), "stands twice");
            return FIELD_WRONG;
        }
        if (i) buf_add_char(&text, ',');
        buf_add_span(&text, json_text(value));
    }
    const char *copy = text.failed ? NULL : arena_copy(fields->arena, buf_span(&text));
    if (!copy) return no_room(fields, name);
    *joined = copy;
    return FIELD_SET;
}

/* Makes `inner` read the object `value`; "" when it is none. */
static bool fields_enter(struct fields *fields, const char *name, json_t *value,
                         struct fields *inner)
{
    *inner = (struct fields){.object = value, .problem = fields->problem, .arena = fields->arena};
    char location[LOCATION_SIZE];
    location_of(fields, name, location);
    snprintf(inner->at, sizeof inner->at, "%.63s", location);
    if (json_is_object(value)) return true;
    field_wrong(fields, name, "must be an object");
    return false;
}

enum field field_object(struct fields *fields, const char *name, struct fields *inner)
{
    enum field state;
    json_t *value = field_take(fields, name, &state);
    if (state != FIELD_SET) return state;
    return fields_enter(fields, name, value, inner) ? FIELD_SET : FIELD_WRONG;
}

static bool rate_limit_read(struct fields *fields, struct rate_limit *out)
{
    const char *name = NULL;
    uint64_t limit = 0, window = 0;
    bool good =
        field_required(fields, "name", field_word(fields, "name", 1, RATE_NAME_SIZE - 1, &name));
    if (good && !rate_name_valid(span_text(name))) {
        field_wrong(fields, "name", "must be of a-z, 0-9, _ and -");
        good = false;
    }
    good &= field_required(fields, "limit", field_u64(fields, "limit", 1, RATE_LIMIT_MAX, &limit));
    good &= field_required(fields, "window_seconds",
                           field_u64(fields, "window_seconds", 1, RATE_WINDOW_MAX_S, &window));
    fields_finish(fields);
    if (!good) return false;
    *out = (struct rate_limit){.limit = (uint32_t)limit, .window_s = (uint32_t)window};
    snprintf(out->name, sizeof out->name, "%s", name);
    return true;
}

enum field field_rate_limits(struct fields *fields, const char *name, struct rate_limit *out,
                             unsigned *count)
{
    enum field state;
    json_t *array = array_take(fields, name, RATE_LIMITS_MAX, &state);
    if (!array) return state;
    char element[64];
    struct rate_limit limits[RATE_LIMITS_MAX];
    unsigned n = (unsigned)json_array_size(array);
    for (unsigned i = 0; i < n; i++) {
        struct fields inner;
        element_name(element, name, i);
        if (!fields_enter(fields, element, json_array_get(array, i), &inner)) return FIELD_WRONG;
        if (!rate_limit_read(&inner, &limits[i])) return FIELD_WRONG;
        for (unsigned k = 0; k < i; k++)
            if (!strcmp(limits[k].name, limits[i].name)) {
                field_wrong(&inner, "name", "stands twice");
                return FIELD_WRONG;
            }
    }
    for (unsigned i = 0; i < n; i++)
        out[i] = limits[i];
    *count = n;
    return FIELD_SET;
}

enum field field_networks(struct fields *fields, const char *name, const char **json)
{
    enum field state;
    json_t *array = array_take(fields, name, NETWORKS_MAX, &state);
    if (!array) return state;
    struct buf text CLEANUP(buf_done) = {0};
    char element[64], error[NETWORK_ERROR_SIZE], shown[NETWORK_TEXT_SIZE];
    json_open(&text, NULL, '[');
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *value = json_array_get(array, i);
        struct network network;
        snprintf(error, sizeof error, "must be a string like 192.0.2.0/24");
        if (!json_is_string(value) || network_parse(json_text(value), &network, error) != ERR_OK) {
            field_wrong(fields, element_name(element, name, i), "%s", error);
            return FIELD_WRONG;
        }
        network_format(&network, shown);
        json_put_string(&text, NULL, shown);
    }
    json_close(&text, ']');
    const char *copy = text.failed ? NULL : arena_copy(fields->arena, buf_span(&text));
    if (!copy) return no_room(fields, name);
    *json = copy;
    return FIELD_SET;
}

/* What is wrong with a member of the metadata, or NULL. */
static const char *metadata_wrong(const char *member, json_t *value)
{
    struct plain_text name = plain_text_check(span_text(member), false);
    if (name.wrong_at || name.length < 1 || name.length > METADATA_NAME_MAX)
        return "names must have 1 to 40 characters, none of them a control or invisible";
    if (json_is_object(value) || json_is_array(value))
        return "values must be strings, numbers, booleans or null";
    if (!json_is_string(value)) return NULL;
    struct plain_text text = plain_text_check(json_text(value), true);
    if (text.wrong_at || text.length > METADATA_TEXT_MAX)
        return "values must have at most 500 characters, none of them a control or invisible";
    return NULL;
}

enum field field_metadata(struct fields *fields, const char *name, const char **json)
{
    enum field state;
    json_t *object = field_take(fields, name, &state), *value;
    if (state != FIELD_SET) return state;
    if (!json_is_object(object) || json_object_size(object) > METADATA_MEMBERS_MAX) {
        field_wrong(fields, name, "must be an object of at most %d members", METADATA_MEMBERS_MAX);
        return FIELD_WRONG;
    }
    const char *member;
    json_object_foreach(object, member, value)
    {
        const char *wrong = metadata_wrong(member, value);
        if (!wrong) continue;
        field_wrong(fields, name, "%s", wrong);
        return FIELD_WRONG;
    }
    char *text = json_dumps(object, JSON_COMPACT);
    if (text && strlen(text) > METADATA_BYTES_MAX) {
        free(text);
        field_wrong(fields, name, "must be at most %d bytes as JSON", METADATA_BYTES_MAX);
        return FIELD_WRONG;
    }
    const char *copy = text ? arena_copy(fields->arena, span_text(text)) : NULL;
    free(text);
    if (!copy) return no_room(fields, name);
    *json = copy;
    return FIELD_SET;
}
