/* A mail's names, subject and bodies. What must hold: it is refused by a field's name, or its
 * headers are those it was built with and no more, in lines of printable ASCII of at most 998
 * characters, and its boundary stands where it was put and nowhere else. Input: the name, the
 * subject, the text and the HTML form, each ended by a byte 0xFF. */
#include "core/mail_message.h"
#include "fuzz.h"

#include <string.h>

enum { END = 0xFF, HEADERS = 9 };

static struct span next(const uint8_t **data, size_t *size)
{
    const uint8_t *end = *size ? memchr(*data, END, *size) : NULL;
    size_t length = end ? (size_t)(end - *data) : *size;
    struct span field = span_of(*data, length);
    *data += length + (end != NULL);
    *size -= length + (end != NULL);
    return field;
}

static unsigned count(struct span text, const char *word)
{
    unsigned found = 0;
    for (const char *at; (at = memmem(text.data, text.length, word, strlen(word))); found++)
        text = span_of(at + 1, text.length - (size_t)(at + 1 - text.data));
    return found;
}

/* Lines, and how many fields the header has. */
static unsigned check_lines(struct span mail)
{
    unsigned fields = 0;
    bool header = true;
    while (mail.length) {
        const char *end = memmem(mail.data, mail.length, "\r\n", 2);
        FUZZ_CHECK(end);
        size_t length = (size_t)(end - mail.data);
        FUZZ_CHECK(length <= 998 && (!length || mail.data[0] != '.'));
        for (size_t i = 0; i < length; i++)
            FUZZ_CHECK((mail.data[i] >= ' ' && mail.data[i] <= '~') || mail.data[i] == '\t');
        if (!length) header = false;
        if (header && mail.data[0] != ' ') fields++;
        mail = span_of(end + 2, mail.length - length - 2);
    }
    return fields;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mail_fault fault = {0};
    struct buf out = {0};
    struct mail_message message = {
        .from = {SPAN("Acme"), SPAN("keys@acme.example")},
        .to = {.address = SPAN("j@example.com")},
        .reply_to = {SPAN(""), SPAN("support@acme.example")},
        .outer_subject = SPAN("About your API key"),
        .message_id = SPAN("ntf_1@acme.example"),
        .date_s = 1800000000,
        .boundary = SPAN("0123456789abcdef"),
    };
    message.to.name = next(&data, &size);
    message.subject = next(&data, &size);
    message.text = next(&data, &size);
    message.html = next(&data, &size);
    if (mail_message_write(&message, &out, &fault) == ERR_OK) {
        FUZZ_CHECK(check_lines(buf_span(&out)) == HEADERS);
        unsigned parts = message.html.length ? 2 : 1;
        FUZZ_CHECK(count(buf_span(&out), "\r\n--=_a0123456789abcdef") == parts + 1);
    } else {
        FUZZ_CHECK(fault.field && fault.reason && !out.length);
    }
    buf_done(&out);
    return 0;
}
