/* Cutting titles into words. Called by store/key_word.c for what is written and by api/ for what is
 * asked, so both sides agree. What always holds: a word is a piece of the text given, whole
 * characters, at most 32 of them; case is left to the column's collation. */
#include "core/title_words.h"

#include <stdint.h>

static const struct {
    uint32_t first, last;
} separators[] = {
    {0x0000, 0x002F}, {0x003A, 0x0040}, {0x005B, 0x0060}, {0x007B, 0x00A9}, {0x00AB, 0x00B4},
    {0x00B6, 0x00B9}, {0x00BB, 0x00BF}, {0x00D7, 0x00D7}, {0x00F7, 0x00F7}, {0x1680, 0x1680},
    {0x2000, 0x200B}, {0x200E, 0x206F}, {0x2E00, 0x2E7F}, {0x3000, 0x3004}, {0x3008, 0x3020},
    {0x3030, 0x3030}, {0xFE10, 0xFE1F}, {0xFE30, 0xFE6F}, {0xFF00, 0xFF0F}, {0xFF1A, 0xFF20},
    {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65},
};

static bool separates(uint32_t c)
{
    for (size_t i = 0; i < COUNT_OF(separators) && separators[i].first <= c; i++)
        if (c <= separators[i].last) return true;
    return false;
}

/* The character at `at` and how many bytes it has; a cut-off one ends with the text. */
static uint32_t character(struct span text, size_t at, size_t *length)
{
    unsigned char lead = (unsigned char)text.data[at];
    size_t size = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint32_t c = size == 1 ? lead : lead & (0x7Fu >> size);
    *length = size <= text.length - at ? size : text.length - at;
    for (size_t i = 1; i < *length; i++)
        c = c << 6 | ((unsigned char)text.data[at + i] & 0x3F);
    return c;
}

bool title_word_next(struct span *rest, struct span *word)
{
    size_t at = 0, length, characters = 0;
    while (at < rest->length && separates(character(*rest, at, &length)))
        at += length;
    size_t first = at, end = at;
    while (at < rest->length && !separates(character(*rest, at, &length))) {
        at += length;
        if (++characters <= TITLE_WORD_CHARACTERS) end = at;
    }
    *word = span_of(rest->data + first, end - first);
    *rest = span_of(rest->data + at, rest->length - at);
    return word->length > 0;
}

size_t title_beginnings(struct span title, struct span out[TITLE_BEGINNINGS_MAX])
{
    size_t count = 0, length;
    struct span word;
    while (title_word_next(&title, &word)) {
        for (size_t at = 0; at < word.length && count < TITLE_BEGINNINGS_MAX; at += length) {
            (void)character(word, at, &length);
            out[count++] = span_of(word.data, at + length);
        }
    }
    return count;
}
