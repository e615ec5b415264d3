/* Bump allocation in blocks of 4 KiB or the size asked for, freed all at once. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 4096, ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(ALIGNMENT) char data[];
};

void arena_done(struct arena *arena)
{
    struct arena_block *block = arena->blocks;
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->blocks = NULL;
    arena->total = 0;
}

void arena_reset(struct arena *arena)
{
    struct arena_block *block = arena->blocks;
    while (block && block->next) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->blocks = block;
    if (!block) return;
    if (block->size != BLOCK_SIZE) {
        arena_done(arena);
        return;
    }
    memset(block->data, 0, block->used); /* arena_alloc promises zeroes */
    block->used = 0;
    arena->total = BLOCK_SIZE;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t limit = arena->limit ? arena->limit : ARENA_LIMIT_DEFAULT;
    if (size > limit) return NULL;
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct arena_block *block = arena->blocks;
    if (!block || block->size - block->used < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        if (arena->total + room > limit + BLOCK_SIZE) return NULL;
        block = calloc(1, sizeof *block + room);
        if (!block) return NULL;
        block->size = room;
        block->next = arena->blocks;
        arena->blocks = block;
        arena->total += room;
    }
    void *result = block->data + block->used;
    block->used += size;
    return result;
}

char *arena_copy(struct arena *arena, struct span text)
{
    char *copy = arena_alloc(arena, text.length + 1);
    if (copy && text.length) memcpy(copy, text.data, text.length);
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}
