/* What a handler asks of a request: headers by name and decoded query parameters. Called by the
 * handlers, on the loop. Spans point into the request's head or its arena and die with it. */
#include "base/codec.h"
#include "io/http.h"

#include <string.h>

struct span http_header(const struct http_request *request, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (header->name.length == length && strncasecmp(header->name.data, name, length) == 0)
            return header->value;
    }
    return (struct span){NULL, 0};
}

size_t http_header_count(const struct http_request *request, const char *name)
{
    size_t length = strlen(name), count = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (header->name.length == length && strncasecmp(header->name.data, name, length) == 0)
            count++;
    }
    return count;
}

/* application/x-www-form-urlencoded: %XX and '+' for a space. Text without either is not copied. */
static enum err decode(struct http_request *request, struct span text, struct span *out)
{
    *out = text;
    if (text.length == 0) return ERR_OK;
    if (memchr(text.data, '\0', text.length)) return ERR_INVALID;
    if (!memchr(text.data, '%', text.length) && !memchr(text.data, '+', text.length)) return ERR_OK;
    char *copy = arena_alloc(&request->arena, text.length);
    if (!copy) return ERR_NO_MEMORY;
    size_t length = 0;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == '%') {
            if (text.length - i < 3) return ERR_INVALID;
            int high = hex_value(text.data[i + 1]), low = hex_value(text.data[i + 2]);
            if (high < 0 || low < 0 || (high | low) == 0) return ERR_INVALID;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        copy[length++] = c;
    }
    *out = (struct span){copy, length};
    return ERR_OK;
}

/* Takes the next `name=value` off `rest`, decoded; empty parts ("a=1&&b=2") are passed over. False
 * at the end. */
static bool next_parameter(struct http_request *request, struct span *rest, struct span *name,
                           struct span *value, enum err *error)
{
    *error = ERR_OK;
    while (rest->length > 0) {
        const char *end = memchr(rest->data, '&', rest->length);
        struct span part = {rest->data, end ? (size_t)(end - rest->data) : rest->length};
        size_t used = part.length + (end ? 1 : 0);
        *rest = (struct span){rest->data + used, rest->length - used};
        if (part.length == 0) continue;
        const char *equals = memchr(part.data, '=', part.length);
        size_t length = equals ? (size_t)(equals - part.data) : part.length;
        struct span raw = equals ? (struct span){equals + 1, part.length - length - 1} : SPAN("");
        *error = decode(request, (struct span){part.data, length}, name);
        if (*error == ERR_OK) *error = decode(request, raw, value);
        return true;
    }
    return false;
}

enum err http_query(struct http_request *request, const char *name, struct span *value)
{
    struct span rest = request->query, found, text;
    enum err error;
    *value = (struct span){NULL, 0};
    while (next_parameter(request, &rest, &found, &text, &error)) {
        if (error != ERR_OK) return error;
        if (!span_is(found, name)) continue;
        if (value->data) return ERR_INVALID;
        *value = text;
    }
    return ERR_OK;
}

enum err http_form_each(struct http_request *request, struct span text,
                        enum err (*each)(struct span name, struct span value, void *context),
                        void *context)
{
    struct span rest = text, name, value;
    enum err error;
    while (next_parameter(request, &rest, &name, &value, &error)) {
        if (error == ERR_OK) error = each(name, value, context);
        if (error != ERR_OK) return error;
    }
    return ERR_OK;
}

enum err http_query_each(struct http_request *request,
                         enum err (*each)(struct span name, struct span value, void *context),
                         void *context)
{
    return http_form_each(request, request->query, each, context);
}
