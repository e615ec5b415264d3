/* What a text that people read may hold: no character that is invisible, that a terminal obeys or
 * that turns the writing around. Pure, any thread. */
#ifndef KEYMETER_BASE_PLAIN_TEXT_H
#define KEYMETER_BASE_PLAIN_TEXT_H

#include "base/compiler.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct plain_text {
    size_t length;   /* code points */
    uint32_t wrong;  /* the first character that may not stand there, 0 for NUL too: see wrong_at */
    size_t wrong_at; /* its place, from 1; 0: all are good */
};

/* `text` is valid UTF-8. Refused: C0 and C1 controls, line and paragraph separators, marks that set
 * the direction (U+061C, U+200E, U+200F, U+202A-202E, U+2066-2069), characters without a width, tag
 * characters. Joiners (U+200C, U+200D) may stand between two characters beyond ASCII, which
 * Persian, Indic scripts and emoji need. `lines`: \n and \t are allowed. */
struct plain_text plain_text_check(struct span text, bool lines);

/* Shortest forms only, no surrogates, up to U+10FFFF. */
MUST_USE bool text_is_utf8(struct span text);

#endif
