/* Memory that dies together: one arena a request or a job. Not shared between threads at once. */
#ifndef KEYMETER_BASE_ARENA_H
#define KEYMETER_BASE_ARENA_H

#include "base/compiler.h"
#include "base/span.h"

#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t total;
    size_t limit; /* bytes; past it arena_alloc returns NULL. 0: ARENA_LIMIT_DEFAULT */
};

#define ARENA_LIMIT_DEFAULT ((size_t)4 << 20)

/* A zeroed struct arena is a valid empty one. */
void arena_done(struct arena *arena);
/* As arena_done, but an ordinary first block is kept for the next use. */
void arena_reset(struct arena *arena);
/* Zeroed memory aligned for any type, or NULL when memory or the limit is used up. */
MUST_USE void *arena_alloc(struct arena *arena, size_t size);
/* NUL-terminated copies; NULL on no memory. */
MUST_USE char *arena_copy(struct arena *arena, struct span text);
MUST_USE char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))

#endif
