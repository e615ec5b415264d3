/* Which characters a text for people may hold. Called for each text of a request's body by api/, on
 * the loop thread. What always holds: only valid UTF-8 comes here (the JSON reader has seen to it),
 * and a text that passes shows in a list, a log and a terminal as what it is. */
#include "base/plain_text.h"

enum { JOINER_FIRST = 0x200C, JOINER_LAST = 0x200D, ASCII_LAST = 0x7F };

static bool is_refused(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x0000, 0x001F},   {0x007F, 0x009F}, /* C0, DEL, C1 */
        {0x00AD, 0x00AD},                     /* soft hyphen */
        {0x061C, 0x061C},   {0x200E, 0x200F}, /* direction */
        {0x202A, 0x202E},   {0x2066, 0x2069}, /* embeddings, overrides, isolates */
        {0x180E, 0x180E},   {0x200B, 0x200B}, /* no width */
        {0x2028, 0x2029},                     /* line and paragraph separator */
        {0x2060, 0x2065},   {0x206A, 0x206F}, /* invisible operators, deprecated format marks */
        {0xFEFF, 0xFEFF},   {0xFFF9, 0xFFFB}, /* byte order mark, annotations */
        {0xE0000, 0xE007F},                   /* tags */
    };
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last) return true;
    return false;
}

/* The character at *at, which moves on. */
static uint32_t next(struct span text, size_t *at)
{
    unsigned char lead = (unsigned char)text.data[(*at)++];
    if (lead < 0x80) return lead;
    unsigned more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    uint32_t c = lead & (0x3Fu >> more);
    for (; more && *at < text.length; more--)
        c = c << 6 | ((unsigned char)text.data[(*at)++] & 0x3F);
    return c;
}

static bool joins(struct span text, uint32_t before, size_t after)
{
    if (before <= ASCII_LAST || after >= text.length) return false;
    uint32_t c = next(text, &after);
    return c > ASCII_LAST && (c < JOINER_FIRST || c > JOINER_LAST);
}

struct plain_text plain_text_check(struct span text, bool lines)
{
    struct plain_text result = {0};
    uint32_t before = 0;
    for (size_t at = 0; at < text.length;) {
        uint32_t c = next(text, &at);
        bool joiner = c >= JOINER_FIRST && c <= JOINER_LAST;
        bool wrong = joiner ? !joins(text, before, at) : is_refused(c);
        result.length++;
        before = c;
        if (!wrong || result.wrong_at || (lines && (c == '\n' || c == '\t'))) continue;
        result.wrong = c;
        result.wrong_at = result.length;
    }
    return result;
}

bool text_is_utf8(struct span text)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (size_t at = 0; at < text.length;) {
        unsigned char lead = (unsigned char)text.data[at];
        unsigned more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
        if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || text.length - at <= more) return false;
        for (unsigned i = 1; i <= more; i++)
            if (((unsigned char)text.data[at + i] & 0xC0) != 0x80) return false;
        uint32_t c = next(text, &at);
        if (c < least[more] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return false;
    }
    return true;
}
