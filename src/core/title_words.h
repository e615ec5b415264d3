/* The words of a title, as a search sees them. Pure, any thread. The same rule stands in
 * schema/0004_search.sql, for the titles that were there before. */
#ifndef KEYMETER_CORE_TITLE_WORDS_H
#define KEYMETER_CORE_TITLE_WORDS_H

#include "base/compiler.h"
#include "base/span.h"

#include <stdbool.h>

enum {
    TITLE_WORD_CHARACTERS = 32, /* a longer word is known by its first 32 */
    TITLE_BEGINNINGS_MAX = 256, /* there are no more than characters, and a title has 200 */
};

/* The next word of *rest, cut to TITLE_WORD_CHARACTERS, and *rest behind it. A word is what stands
 * between spaces, ASCII signs, general punctuation and the like; letters, digits, marks and symbols
 * of every script belong to words. `rest` is valid UTF-8. False: there is none. */
MUST_USE bool title_word_next(struct span *rest, struct span *word);
/* All beginnings of all words, a character to the whole word each; some may stand twice. At most
 * TITLE_BEGINNINGS_MAX. */
size_t title_beginnings(struct span title, struct span out[TITLE_BEGINNINGS_MAX]);

#endif
