/* Strict reading by jansson, and a writer on struct buf. Called by api, service and store, any
 * thread. Nothing is parsed that is deeper than JSON_DEPTH_MAX: depth is counted before jansson
 * sees the text. Error texts never quote the input, which may hold a secret. */
#include "base/json.h"

#include "base/codec.h"

#include <stdio.h>

/* The deepest nesting of brackets outside strings; good enough for malformed text too. */
static unsigned nesting(struct span text)
{
    unsigned depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest) deepest = depth;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return deepest;
}

static const char *complaint(const json_error_t *error)
{
    switch ((int)json_error_code(error)) {
    case json_error_premature_end_of_input:
        return "it ends too early";
    case json_error_end_of_input_expected:
        return "something follows its end";
    case json_error_invalid_utf8:
        return "it is not valid UTF-8";
    case json_error_duplicate_key:
        return "a name stands twice in one object";
    case json_error_numeric_overflow:
        return "a number is too large";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "it has a NUL character";
    case json_error_invalid_syntax:
        return "it is malformed, or not an object or array";
    }
    return "it is malformed";
}

enum err json_parse_strict(struct span text, json_t **out, char error[JSON_ERROR_SIZE])
{
    *out = NULL;
    error[0] = '\0';
    if (text.length && memchr(text.data, '\0', text.length)) {
        snprintf(error, JSON_ERROR_SIZE, "Not acceptable JSON: it has a NUL character.");
        return ERR_INVALID;
    }
    if (nesting(text) > JSON_DEPTH_MAX) {
        snprintf(error, JSON_ERROR_SIZE, "Not acceptable JSON: more than %d levels deep.",
                 JSON_DEPTH_MAX);
        return ERR_INVALID;
    }
    json_error_t reason;
    *out = json_loadb(text.length ? text.data : "", text.length, JSON_REJECT_DUPLICATES, &reason);
    if (*out) return ERR_OK;
    if (json_error_code(&reason) == json_error_out_of_memory) {
        snprintf(error, JSON_ERROR_SIZE, "Out of memory.");
        return ERR_NO_MEMORY;
    }
    snprintf(error, JSON_ERROR_SIZE, "Not acceptable JSON: %s (line %d, column %d).",
             complaint(&reason), reason.line, reason.column);
    return ERR_INVALID;
}

/* A comma when something complete stands before, then the name. */
static void put_name(struct buf *buf, const char *name)
{
    char last = buf->length ? buf->data[buf->length - 1] : '[';
    if (last == '}' || last == ']' || last == '"' || (last >= '0' && last <= '9') ||
        (last >= 'a' && last <= 'z'))
        buf_add_char(buf, ',');
    if (!name) return;
    buf_add_json_string(buf, span_text(name));
    buf_add_char(buf, ':');
}

void json_open(struct buf *buf, const char *name, char bracket)
{
    put_name(buf, name);
    buf_add_char(buf, bracket);
}

void json_close(struct buf *buf, char bracket)
{
    buf_add_char(buf, bracket);
}

void json_put_text(struct buf *buf, const char *name, struct span text)
{
    put_name(buf, name);
    buf_add_json_string(buf, text);
}

void json_put_string(struct buf *buf, const char *name, const char *text)
{
    if (text)
        json_put_text(buf, name, span_text(text));
    else
        json_put_null(buf, name);
}

void json_put_u64(struct buf *buf, const char *name, uint64_t value)
{
    put_name(buf, name);
    buf_add_u64(buf, value);
}

void json_put_i64(struct buf *buf, const char *name, int64_t value)
{
    put_name(buf, name);
    buf_add_i64(buf, value);
}

void json_put_bool(struct buf *buf, const char *name, bool value)
{
    put_name(buf, name);
    buf_add_text(buf, value ? "true" : "false");
}

void json_put_null(struct buf *buf, const char *name)
{
    put_name(buf, name);
    buf_add_text(buf, "null");
}

void json_put_raw(struct buf *buf, const char *name, struct span json)
{
    put_name(buf, name);
    buf_add_span(buf, json);
}

void json_put_time(struct buf *buf, const char *name, int64_t wall_ms)
{
    char text[TIME_TEXT_SIZE];
    if (!wall_ms) {
        json_put_null(buf, name);
        return;
    }
    time_format(text, wall_ms);
    json_put_string(buf, name, text);
}

void json_put_id(struct buf *buf, const char *name, const char *prefix, uint64_t id)
{
    char text[ID_TEXT_SIZE];
    if (!id) {
        json_put_null(buf, name);
        return;
    }
    id_format(text, prefix, id);
    json_put_string(buf, name, text);
}
