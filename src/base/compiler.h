/* Attributes and small macros that every file may use. */
#ifndef KEYMETER_BASE_COMPILER_H
#define KEYMETER_BASE_COMPILER_H

#include <stddef.h>

#define MUST_USE               __attribute__((warn_unused_result))
#define CLEANUP(function)      __attribute__((cleanup(function)))
#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))
#define COUNT_OF(array)        (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
