/* io/smtp_text: replies in any pieces, what may be told of them, messages with their dots doubled.
 */
#include "io/smtp_text.h"

#include "base/buf.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* Reads the text by pieces of `step` bytes; the last reading, and how much of the text was used. */
static enum smtp_reading read_by(struct smtp_reply *reply, const char *text, size_t step,
                                 size_t *all)
{
    struct span left = span_text(text);
    enum smtp_reading reading = SMTP_READING_MORE;
    *all = 0;
    smtp_reply_clear(reply);
    while (left.length && reading == SMTP_READING_MORE) {
        size_t used, length = left.length < step ? left.length : step;
        reading = smtp_reply_read(reply, span_of(left.data, length), &used);
        *all += used;
        left = span_of(left.data + used, left.length - used);
    }
    return reading;
}

static void replies_are_read_in_any_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum smtp_reading reading;
        unsigned code, lines;
        const char *line;
        size_t left;
    } cases[] = {
        {"250 ok\r\n", SMTP_READING_WHOLE, 250, 1, "250 ok", 0},
        {"250 ok\n", SMTP_READING_WHOLE, 250, 1, "250 ok", 0},
        {"250\r\n", SMTP_READING_WHOLE, 250, 1, "250", 0},
        {"250 \r\n", SMTP_READING_WHOLE, 250, 1, "250 ", 0},
        {"250-a\r\n250-b\r\n250 c\r\n", SMTP_READING_WHOLE, 250, 3, "250 c", 0},
        {"250-\r\n250\r\n", SMTP_READING_WHOLE, 250, 2, "250", 0},
        {"250 ok\r\n421 bye\r\n", SMTP_READING_WHOLE, 250, 1, "250 ok", 9},
        {"250-a\r\n", SMTP_READING_MORE, 250, 1, NULL, 0},
        {"250 ok", SMTP_READING_MORE, 0, 0, NULL, 0},
        {"250-a\r\n251 b\r\n", SMTP_READING_WRONG, 0, 0, NULL, 0},
        {"hello\r\n", SMTP_READING_WRONG, 0, 0, NULL, 0},
        {"\r\n", SMTP_READING_WRONG, 0, 0, NULL, 0},
        {"25\r\n", SMTP_READING_WRONG, 0, 0, NULL, 0},
        {"250ok\r\n", SMTP_READING_WRONG, 0, 0, NULL, 0},
        {"199 no\r\n", SMTP_READING_WRONG, 0, 0, NULL, 0},
        {"600 no\r\n", SMTP_READING_WRONG, 0, 0, NULL, 0},
        {" 250 ok\r\n", SMTP_READING_WRONG, 0, 0, NULL, 0},
    };
    struct smtp_reply reply = {0};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t step = 1; step < 12; step++) {
            size_t all;
            enum smtp_reading reading = read_by(&reply, cases[i].text, step, &all);
            if (reading != cases[i].reading) fail_msg("%s by %zu", cases[i].text, step);
            if (reading != SMTP_READING_WHOLE) continue;
            assert_int_equal(reply.code, cases[i].code);
            assert_int_equal(reply.lines, cases[i].lines);
            assert_true(span_is(span_of(reply.line, reply.length), cases[i].line));
            assert_int_equal(strlen(cases[i].text) - all, cases[i].left);
        }
    }
}

static void replies_are_bounded(void **state)
{
    (void)state;
    struct smtp_reply reply = {0};
    size_t used;
    char line[SMTP_LINE_MAX + 8];
    memset(line, 'x', sizeof line);
    memcpy(line, "250 ", 4);
    assert_int_equal(smtp_reply_read(&reply, span_of(line, SMTP_LINE_MAX), &used),
                     SMTP_READING_MORE);
    assert_int_equal(smtp_reply_read(&reply, SPAN("x"), &used), SMTP_READING_WRONG);
    smtp_reply_clear(&reply);
    enum smtp_reading reading = SMTP_READING_MORE;
    for (unsigned i = 0; i < SMTP_REPLY_LINES_MAX; i++) {
        assert_int_equal(reading, SMTP_READING_MORE);
        reading = smtp_reply_read(&reply, SPAN("250-x\r\n"), &used);
    }
    assert_int_equal(smtp_reply_read(&reply, SPAN("250-x\r\n"), &used), SMTP_READING_WRONG);
}

static void secrets_are_not_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *told;
    } cases[] = {
        {"550 5.1.1 <a@example.com>: unknown", "550 5.1.1 <(address)>: unknown"},
        {"550 a.b+c=d_%e@sub.example.com unknown", "550 (address) unknown"},
        {"451 to=a@example.com;b@example.com, mailto:c@example.com",
         "451 (address);(address), mailto:(address)"},
        {"\"a b\"@example.com j\xc3\xb6rg@example.com @", "\"a b\"(address) (address) (address)"},
        {"250 ok id=4Wq1Xb2gq5z9", "250 ok id=4Wq1Xb2gq5z9"},
        {"a\tb\r\nc\x1b[0m\x7f\xc3\xa9", "a?b??c?[0m???"},
        {"km_live_0123456789012345678901234567890123456789012345678", "km_live_01..."},
        {"see https://x.example/claim#0123456789abcdef now", "see https://x.example/cl... now"},
        {"base64 QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo= end", "base64 QUJDREVGR0... end"},
        {"12345678901234567890", "12345678901234567890"},
        {"123456789012345678901", "1234567890..."},
        {"", ""},
    };
    char told[64];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        smtp_reason(told, sizeof told, span_text(cases[i].text));
        assert_string_equal(told, cases[i].told);
    }
    smtp_reason(told, 6, SPAN("123456789"));
    assert_string_equal(told, "12345");
}

/* What a server makes of it: RFC 5321, 4.5.2. */
static struct buf unstuffed(struct span wire)
{
    struct buf out = {.limit = 1 << 20};
    assert_true(wire.length >= 3 && memcmp(wire.data + wire.length - 3, ".\r\n", 3) == 0);
    for (size_t at = 0; at < wire.length;) {
        const char *end = memchr(wire.data + at, '\n', wire.length - at);
        assert_non_null(end);
        struct span line = span_of(wire.data + at, (size_t)(end - wire.data) + 1 - at);
        at += line.length;
        if (span_is(line, ".\r\n")) {
            assert_int_equal(at, wire.length);
            return out;
        }
        size_t dot = line.data[0] == '.';
        buf_add(&out, line.data + dot, line.length - dot);
    }
    fail_msg("no end of data");
    return out;
}

static void check_body(struct span message, size_t size)
{
    struct smtp_body body = {.message = message};
    struct buf wire = {.limit = 1 << 20};
    char part[64];
    for (size_t length; (length = smtp_body_next(&body, part, size)) > 0;) {
        assert_true(length <= size);
        buf_add(&wire, part, length);
    }
    assert_true(body.ended);
    struct buf back = unstuffed(buf_span(&wire));
    size_t more = span_is(span_of(message.data + message.length - 1, 1), "\n") ? 0 : 2;
    assert_int_equal(back.length, message.length + more);
    assert_memory_equal(back.data, message.data, message.length);
    buf_done(&back);
    buf_done(&wire);
}

static void dots_are_doubled_wherever_the_pieces_end(void **state)
{
    (void)state;
    static const char *const messages[] = {
        "a\r\n",
        ".\r\n",
        "..\r\n",
        "\r\n",
        ".",
        "..",
        "a\r\n.",
        "a\r\n.\r\nb\r\n",
        "\r\n.\r\n.\r\n",
        "a.b\r\n..c\r\n",
        "\r\n\r\n.\r\n\r\n.",
    };
    for (size_t i = 0; i < COUNT_OF(messages); i++)
        for (size_t size = 16; size <= 64; size++)
            check_body(span_text(messages[i]), size);
    char text[300];
    for (unsigned seed = 0; seed < 200; seed++) {
        size_t length = 0;
        unsigned dice = seed * 2654435761U + 1;
        while (length < sizeof text - 3) {
            dice = dice * 1103515245U + 12345;
            unsigned what = dice >> 16 & 3;
            if (what == 0) text[length++] = 'x';
            if (what == 1) text[length++] = '.';
            if (what >= 2) length += (size_t)snprintf(text + length, 3, "\r\n");
        }
        check_body(span_of(text, length), 16 + seed % 48);
    }
}

static void messages_are_judged(void **state)
{
    (void)state;
    bool has_8bit;
    char line[1001];
    memset(line, 'x', sizeof line);
    line[998] = '\r';
    line[999] = '\n';
    assert_null(smtp_message_wrong(span_of(line, 1000), &has_8bit));
    assert_false(has_8bit);
    line[998] = 'x';
    assert_string_equal(smtp_message_wrong(span_of(line, 999), &has_8bit),
                        "the message has a line over 998 bytes");
    assert_null(smtp_message_wrong(SPAN("\xc3\xa9\r\n"), &has_8bit));
    assert_true(has_8bit);
    assert_non_null(smtp_message_wrong(SPAN(""), &has_8bit));
    assert_non_null(smtp_message_wrong(SPAN("\n"), &has_8bit));
    assert_non_null(smtp_message_wrong(SPAN("\r"), &has_8bit));
    assert_non_null(smtp_message_wrong(SPAN("a\r\r\n"), &has_8bit));
    assert_non_null(smtp_message_wrong(SPAN("a\r\n\n"), &has_8bit));
    assert_non_null(smtp_message_wrong(SPAN("a\0\r\n"), &has_8bit));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_read_in_any_pieces),
        cmocka_unit_test(replies_are_bounded),
        cmocka_unit_test(secrets_are_not_told),
        cmocka_unit_test(dots_are_doubled_wherever_the_pieces_end),
        cmocka_unit_test(messages_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
