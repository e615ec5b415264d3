/* Key text: made by issue and rotation, parsed for every call on the loop before anything else.
 * Parsing looks at each byte of at most API_KEY_TEXT_SIZE once, allocates nothing and reads nothing
 * past the span. */
#include "core/api_key.h"

#include "base/codec.h"

#include <sodium.h>
#include <zlib.h>

enum { TAIL = 1 + API_KEY_BODY + API_KEY_CHECK, LABEL_BYTE = 1, BASE62_BYTE = 2 };

static const unsigned char classes[256] = {
    ['0' ... '9'] = LABEL_BYTE | BASE62_BYTE,
    ['a' ... 'z'] = LABEL_BYTE | BASE62_BYTE,
    ['A' ... 'Z'] = BASE62_BYTE,
    ['_'] = LABEL_BYTE,
};

static bool all_of_class(struct span text, unsigned wanted)
{
    unsigned common = wanted;
    for (size_t i = 0; i < text.length; i++)
        common &= classes[(unsigned char)text.data[i]];
    return common != 0;
}

static void check_digits(const char *text, size_t length, char out[API_KEY_CHECK])
{
    uLong sum = crc32(crc32(0, NULL, 0), (const unsigned char *)text, (uInt)length);
    base62_encode_u32(out, API_KEY_CHECK, (uint32_t)sum);
}

size_t api_key_make(const char *label, char out[API_KEY_TEXT_SIZE])
{
    unsigned char random[32];
    size_t at = strnlen(label, API_LABEL_MAX);
    memcpy(out, label, at);
    out[at++] = '_';
    randombytes_buf(random, sizeof random);
    base62_encode(out + at, API_KEY_BODY, random, sizeof random);
    sodium_memzero(random, sizeof random);
    at += API_KEY_BODY;
    check_digits(out, at, out + at);
    at += API_KEY_CHECK;
    out[at] = '\0';
    return at;
}

bool api_key_parse(struct span text, struct api_key_parts *parts)
{
    if (text.length < API_LABEL_MIN + TAIL || text.length > API_LABEL_MAX + TAIL) return false;
    size_t label_length = text.length - TAIL;
    struct span label = {text.data, label_length};
    struct span body = {text.data + label_length + 1, API_KEY_BODY};
    struct span check = {body.data + API_KEY_BODY, API_KEY_CHECK};
    if (text.data[label_length] != '_' || !all_of_class(label, LABEL_BYTE) ||
        !all_of_class(body, BASE62_BYTE))
        return false;
    char expected[API_KEY_CHECK];
    check_digits(text.data, text.length - API_KEY_CHECK, expected);
    if (memcmp(expected, check.data, API_KEY_CHECK) != 0) return false;
    *parts = (struct api_key_parts){label, body, check, span_is(label, API_LABEL_TOKEN)};
    return true;
}

void api_key_start(struct span text, char out[API_KEY_START_SIZE])
{
    size_t length = text.length < API_KEY_START_SIZE - 1 ? text.length : API_KEY_START_SIZE - 1;
    if (length) memcpy(out, text.data, length);
    out[length] = '\0';
}

bool api_label_valid(struct span label)
{
    return label.length >= API_LABEL_MIN && label.length <= API_LABEL_MAX &&
           all_of_class(label, LABEL_BYTE) && !span_is(label, API_LABEL_TOKEN);
}
