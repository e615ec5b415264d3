/* Key text. What must hold: what passes has the shape, and no longer passes with any one character
 * changed; the start that lists show is never more than ten characters.
 * Input: a text; or '+' and a text without check digits, which are then put behind it, because no
 * mutation would hit them. */
#include "base/codec.h"
#include "core/api_key.h"
#include "fuzz.h"

#include <string.h>
#include <zlib.h>

enum { TEXT_MAX = 256 };

static void check_parsed(struct span text, const struct api_key_parts *parts)
{
    struct api_key_parts other;
    char changed[TEXT_MAX];
    FUZZ_CHECK(parts->label.data == text.data && parts->check.data == parts->body.data + 43);
    FUZZ_CHECK(parts->body.length == API_KEY_BODY && parts->check.length == API_KEY_CHECK);
    FUZZ_CHECK(text.length == parts->label.length + 1 + API_KEY_BODY + API_KEY_CHECK);
    FUZZ_CHECK(text.length < API_KEY_TEXT_SIZE);
    FUZZ_CHECK(parts->is_token == span_is(parts->label, API_LABEL_TOKEN));
    FUZZ_CHECK(parts->is_token || api_label_valid(parts->label));
    memcpy(changed, text.data, text.length);
    for (size_t i = 0; i < text.length; i++) {
        changed[i] = text.data[i] == 'a' ? 'b' : 'a';
        FUZZ_CHECK(!api_key_parse(span_of(changed, text.length), &other));
        changed[i] = text.data[i];
    }
}

static void check_text(struct span text)
{
    struct api_key_parts parts;
    char start[API_KEY_START_SIZE];
    api_key_start(text, start);
    FUZZ_CHECK(strnlen(start, sizeof start) < sizeof start);
    if (api_label_valid(text)) FUZZ_CHECK(text.length <= API_LABEL_MAX);
    if (api_key_parse(text, &parts)) check_parsed(text, &parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX];
    check_text(span_of(data, size));
    if (size < 1 || data[0] != '+' || size > TEXT_MAX - API_KEY_CHECK) return 0;
    size_t length = size - 1;
    memcpy(text, data + 1, length);
    uint32_t crc =
        (uint32_t)crc32(crc32(0, NULL, 0), (const unsigned char *)text, (unsigned)length);
    base62_encode_u32(text + length, API_KEY_CHECK, crc);
    check_text(span_of(text, length + API_KEY_CHECK));
    return 0;
}
