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

enum { SECRET_SHOWN = 10 }; /* characters that may be shown of one */

/* `size` bytes with the NUL, size > 0. NULL on no memory. */
MUST_USE struct secret *secret_new(size_t size);
/* A copy of the text; NULL on no memory. */
MUST_USE struct secret *secret_copy(struct span text);
void secret_free(struct secret **secret); /* wipes; accepts NULL */

static inline struct span secret_span(const struct secret *secret)
{
    return (struct span){secret->text, secret->length};
}

#endif
