/* A borrowed run of bytes: not owned, not NUL-terminated. */
#ifndef KEYMETER_BASE_SPAN_H
#define KEYMETER_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *data;
    size_t length;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})

static inline struct span span_of(const void *data, size_t length)
{
    return (struct span){data, length};
}

static inline struct span span_text(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static inline bool span_is(struct span a, const char *text)
{
    return span_equal(a, span_text(text));
}

static inline bool span_is_nocase(struct span a, const char *text)
{
    return a.length == strlen(text) && (a.length == 0 || strncasecmp(a.data, text, a.length) == 0);
}

static inline bool span_starts(struct span a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.length >= n && memcmp(a.data, prefix, n) == 0;
}

#endif
