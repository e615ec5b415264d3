/* Secret text in guarded, locked memory that is wiped when freed. One thread at a time. */
#ifndef KEYMETER_BASE_SECRET_H
#define KEYMETER_BASE_SECRET_H

#include "base/compiler.h"
#include "base/span.h"

struct secret {
    char *text; /* zeroed at first, always NUL-terminated within capacity */
    size_t length;
    size_t capacity; /* bytes with the NUL */
};

enum { SECRET_SHOWN = 10, SECRET_SHOWN_SIZE = 14 };

/* `size` bytes with the NUL, size > 0. NULL on no memory. */
MUST_USE struct secret *secret_new(size_t size);
/* A copy of the text; NULL on no memory. */
MUST_USE struct secret *secret_copy(struct span text);
void secret_free(struct secret **secret); /* wipes; accepts NULL */

static inline struct span secret_span(const struct secret *secret)
{
    return (struct span){secret->text, secret->length};
}

/* What may be shown of a secret: its first 10 characters and "...". Texts of at most 20 characters
 * show fewer (half of them), so that a short one is never shown whole. Bytes that are not printable
 * ASCII become '?'. */
void secret_show(const char *text, size_t length, char out[SECRET_SHOWN_SIZE]);

#endif
