/* The growable buffer: doubling, capped, failure remembered. One that wipes never uses realloc,
 * which would leave a copy behind. */
#include "base/buf.h"

#include "base/codec.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEFAULT_LIMIT = 1 << 20, FIRST_CAPACITY = 256 };

void buf_done(struct buf *buf)
{
    if (buf->wipe && buf->data) sodium_memzero(buf->data, buf->capacity);
    free(buf->data);
    *buf = (struct buf){.limit = buf->limit, .wipe = buf->wipe};
}

void buf_clear(struct buf *buf)
{
    if (buf->wipe && buf->data) sodium_memzero(buf->data, buf->capacity);
    buf->length = 0;
    buf->failed = false;
}

static char *buf_grown(struct buf *buf, size_t capacity)
{
    if (!buf->wipe) return realloc(buf->data, capacity);
    char *data = malloc(capacity);
    if (!data || !buf->data) return data;
    memcpy(data, buf->data, buf->length);
    sodium_memzero(buf->data, buf->capacity);
    free(buf->data);
    return data;
}

char *buf_reserve(struct buf *buf, size_t size)
{
    size_t limit = buf->limit ? buf->limit : DEFAULT_LIMIT;
    if (buf->failed || size > limit || buf->length > limit - size) {
        buf->failed = true;
        return NULL;
    }
    if (buf->capacity - buf->length < size) {
        size_t capacity = buf->capacity ? buf->capacity : FIRST_CAPACITY;
        while (capacity < buf->length + size)
            capacity *= 2;
        if (capacity > limit) capacity = limit; /* so that room within it needs no other check */
        char *data = buf_grown(buf, capacity);
        if (!data) {
            buf->failed = true;
            return NULL;
        }
        buf->data = data;
        buf->capacity = capacity;
    }
    return buf->data + buf->length;
}

void buf_add_span(struct buf *buf, struct span text)
{
    buf_add(buf, text.data, text.length);
}

void buf_add_u64(struct buf *buf, uint64_t value)
{
    char digits[U64_DIGITS];
    size_t at = u64_format(digits, value);
    buf_add(buf, digits + at, sizeof digits - at);
}

void buf_add_i64(struct buf *buf, int64_t value)
{
    if (value < 0) {
        buf_add_char(buf, '-');
        buf_add_u64(buf, (uint64_t)0 - (uint64_t)value);
    } else {
        buf_add_u64(buf, (uint64_t)value);
    }
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *room = length < 0 ? NULL : buf_reserve(buf, (size_t)length + 1);
    if (room) {
        vsnprintf(room, (size_t)length + 1, format, again);
        buf->length += (size_t)length;
    }
    va_end(again);
}

/* Length of the well-formed UTF-8 sequence at text (RFC 3629), 0 when malformed. */
static size_t utf8_sequence(const unsigned char *text, size_t left)
{
    unsigned char c = text[0];
    if (c < 0x80) return 1;
    size_t length = c >= 0xC2 && c <= 0xDF   ? 2
                    : (c & 0xF0) == 0xE0     ? 3
                    : c >= 0xF0 && c <= 0xF4 ? 4
                                             : 0;
    if (!length || left < length) return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80) return 0;
    if (c == 0xE0 && text[1] < 0xA0) return 0;
    if (c == 0xED && text[1] > 0x9F) return 0;
    if (c == 0xF0 && text[1] < 0x90) return 0;
    if (c == 0xF4 && text[1] > 0x8F) return 0;
    return length;
}

void buf_add_json_string(struct buf *buf, struct span text)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *at = (const unsigned char *)text.data;
    buf_add_char(buf, '"');
    for (size_t left = text.length; left;) {
        size_t length = utf8_sequence(at, left);
        if (!length) {
            buf_add_text(buf, "\xEF\xBF\xBD");
            length = 1;
        } else if (*at == '"' || *at == '\\') {
            buf_add_char(buf, '\\');
            buf_add_char(buf, (char)*at);
        } else if (*at < 0x20 || *at == 0x7F) {
            char escaped[] = {'\\', 'u', '0', '0', hex[*at >> 4], hex[*at & 15]};
            buf_add(buf, escaped, sizeof escaped);
        } else {
            buf_add(buf, at, length);
        }
        at += length;
        left -= length;
    }
    buf_add_char(buf, '"');
}
