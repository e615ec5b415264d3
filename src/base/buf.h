/* A growable byte buffer with a cap. Writing past the cap or out of memory sets `failed` and drops
 * the write, so callers append freely and check once at the end. One thread at a time. */
#ifndef KEYMETER_BASE_BUF_H
#define KEYMETER_BASE_BUF_H

#include "base/compiler.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data;
    size_t length, capacity;
    size_t limit; /* bytes; 0: 1 MiB. Set before anything is added: capacity stays within it */
    bool failed;
    bool wipe; /* it may hold a secret: memory is wiped before it is given back */
};

/* A zeroed struct buf is a valid empty one. */
void buf_done(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory */
/* Room for `size` more bytes at data + length, or NULL (failed is set). */
char *buf_reserve(struct buf *buf, size_t size);
void buf_add_span(struct buf *buf, struct span text);
void buf_add_u64(struct buf *buf, uint64_t value); /* decimal */
void buf_add_i64(struct buf *buf, int64_t value);  /* decimal */
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* The text as a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
void buf_add_json_string(struct buf *buf, struct span text);

/* Inline, because answers are put together from many short pieces: where there is room, a piece
 * whose length the compiler knows costs a few moves. */
static inline void buf_add(struct buf *buf, const void *data, size_t length)
{
    if (!length) return;
    char *room = !buf->failed && buf->capacity - buf->length >= length ? buf->data + buf->length
                                                                       : buf_reserve(buf, length);
    if (!room) return;
    memcpy(room, data, length);
    buf->length += length;
}

static inline void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

static inline void buf_add_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

static inline struct span buf_span(const struct buf *buf)
{
    return (struct span){buf->data, buf->length};
}

#endif
