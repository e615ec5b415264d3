/* A fuzz target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput. libFuzzer calls it (preset
 * fuzz, tests/fuzz/run), or replay.c does, with each file of corpus/NAME (ctest). What must hold
 * for every input is said with FUZZ_CHECK. */
#ifndef KEYMETER_TESTS_FUZZ_H
#define KEYMETER_TESTS_FUZZ_H

#include "base/compiler.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* How an input is cut into pieces: by its first byte. 0: not at all. */
struct cutter {
    uint32_t state, longest;
};

static inline struct cutter cutter_of(uint8_t seed)
{
    static const uint16_t longest[] = {UINT16_MAX, 1, 2, 3, 5, 16, 64, 300};
    return (struct cutter){seed * 2654435761U + 1, longest[seed % 8]};
}

/* The next piece's length, 1…left. */
static inline size_t cutter_next(struct cutter *cutter, size_t left)
{
    if (cutter->longest == UINT16_MAX) return left;
    cutter->state ^= cutter->state << 13;
    cutter->state ^= cutter->state >> 17;
    cutter->state ^= cutter->state << 5;
    size_t length = cutter->state % cutter->longest + 1;
    return length < left ? length : left;
}

#endif
