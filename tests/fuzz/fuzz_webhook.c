/* Signatures of webhooks. What must hold: what one body is signed with, another is not, nor at
 * another time, nor under no secret at all. The corpus has good signatures to begin with.
 * Input: the secrets, NUL, the header, NUL, the body. */
#include "fuzz.h"
#include "service/webhook.h"

#include <sodium.h>
#include <string.h>

enum { NOW_S = 1700000000 };

static struct span part_take(struct span *rest)
{
    const char *end = rest->length ? memchr(rest->data, 0, rest->length) : NULL;
    size_t length = end ? (size_t)(end - rest->data) : rest->length;
    struct span part = span_of(rest->data, length);
    size_t past = end ? length + 1 : length;
    *rest = span_of(rest->data + past, rest->length - past);
    return part;
}

static enum err check(bool standard, struct span secrets, struct span header, struct span body,
                      int64_t now_s)
{
    if (!standard) return webhook_check_stripe(secrets, header, body, now_s);
    return webhook_check_standard(secrets, SPAN("msg_1"), SPAN("1700000000"), header, body, now_s);
}

static void look(bool standard, struct span secrets, struct span header, struct span body)
{
    enum err error = check(standard, secrets, header, body, NOW_S);
    FUZZ_CHECK(error == ERR_OK || error == ERR_DENIED);
    FUZZ_CHECK(check(standard, SPAN(""), header, body, NOW_S) == ERR_DENIED);
    FUZZ_CHECK(check(standard, SPAN("\n \r\n"), header, body, NOW_S) == ERR_DENIED);
    if (error) return;
    FUZZ_CHECK(check(standard, secrets, header, body, NOW_S + 601) == ERR_DENIED);
    FUZZ_CHECK(check(standard, secrets, header, body, NOW_S - 601) == ERR_DENIED);
    char *other = malloc(body.length + 1);
    FUZZ_CHECK(other != NULL);
    if (body.length) memcpy(other, body.data, body.length);
    other[body.length] = 'x';
    FUZZ_CHECK(check(standard, secrets, header, span_of(other, body.length + 1), NOW_S) ==
               ERR_DENIED);
    if (body.length) other[body.length / 2] ^= 1;
    FUZZ_CHECK(!body.length ||
               check(standard, secrets, header, span_of(other, body.length), NOW_S) == ERR_DENIED);
    free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of(data, size);
    if (sodium_init() < 0) abort();
    struct span secrets = part_take(&rest), header = part_take(&rest);
    look(false, secrets, header, rest);
    look(true, secrets, header, rest);
    return 0;
}
