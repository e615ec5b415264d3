/* core/mail_text: each form as its RFC has it, and nothing but lines of
 * printable ASCII whatever goes in. */
#include "core/mail_text.h"

#include "unit.h"

#include <sodium.h>

static struct buf out;

static const char *written(void)
{
    buf_add_char(&out, '\0');
    assert_false(out.failed);
    return out.data;
}

static const char *quoted(const char *text)
{
    buf_clear(&out);
    mail_text_quoted(&out, span_text(text));
    return written();
}

static const char *subject(const char *text)
{
    struct mail_header header;
    buf_clear(&out);
    mail_header_begin(&header, &out, "Subject");
    mail_header_text(&header, span_text(text));
    mail_header_end(&header);
    return written();
}

static const char *phrase(const char *text)
{
    struct mail_header header;
    buf_clear(&out);
    mail_header_begin(&header, &out, "To");
    mail_header_phrase(&header, span_text(text));
    mail_header_address(&header, SPAN("a@b.example"));
    mail_header_end(&header);
    return written();
}

static void quoted_printable_is_as_rfc_2045_has_it(void **state)
{
    (void)state;
    assert_string_equal(quoted(""), "");
    assert_string_equal(quoted("plain"), "plain\r\n");
    assert_string_equal(quoted("one\ntwo\r\n\nend\n"), "one\r\ntwo\r\n\r\nend\r\n");
    assert_string_equal(quoted("a=b \n\tx\t\nlast "), "a=3Db=20\r\n\tx=09\r\nlast=20\r\n");
    assert_string_equal(quoted("J\u00FCrgen \U0001F511"), "J=C3=BCrgen =F0=9F=94=91\r\n");
    assert_string_equal(quoted("a\rb\x01\x7F"), "a=0Db=01=7F\r\n");
    assert_string_equal(quoted(".\n.x\n..\nx.\n"), "=2E\r\n=2Ex\r\n=2E.\r\nx.\r\n");
    assert_string_equal(quoted("From x\nFrom: y\n From z"), "=46rom x\r\nFrom: y\r\n From z\r\n");
    assert_string_equal(quoted("--=_axyz--"), "--=3D_axyz--\r\n");
}

static void lines_of_bodies_are_short(void **state)
{
    (void)state;
    char text[1200], row[80];
    memset(text, 'x', sizeof text);
    text[1199] = '\0';
    const char *at = quoted(text);
    memset(row, 'x', 75);
    memcpy(row + 75, "=\r\n", 4);
    assert_int_equal(strncmp(at, row, 78), 0);
    /* Whatever falls on a line's end: escapes whole, no space last, no dot and no From first. */
    for (int shift = 0; shift < 80; shift++) {
        memset(text, 'x', sizeof text);
        memcpy(text + shift, "\u00FC. From . \u00FC==..From x", 24);
        at = quoted(text);
        for (const char *end; (end = strstr(at, "\r\n")); at = end + 2) {
            assert_true(end - at <= 76 && end > at);
            assert_true(end[-1] != ' ' && *at != '.' && strncmp(at, "From ", 5) != 0);
            for (const char *c = at; c < end; c++)
                if (*c == '=' && c + 1 < end) assert_true(c + 2 < end);
        }
        assert_string_equal(at, "");
    }
}

static void base64_is_in_rows(void **state)
{
    (void)state;
    char text[58];
    memset(text, 'a', sizeof text);
    buf_clear(&out);
    mail_text_base64(&out, span_of(text, 58));
    assert_string_equal(
        written(), "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"
                   "\r\nYQ==\r\n");
    assert_false(mail_text_wants_base64(SPAN("J\u00FCrgen and others")));
    assert_true(mail_text_wants_base64(SPAN("\u043A\u043B\u044E\u0447 key")));
}

static void subjects(void **state)
{
    (void)state;
    assert_string_equal(subject("Your API key"), "Subject: Your API key\r\n");
    assert_string_equal(subject("\u00FC"), "Subject: =?UTF-8?B?w7w=?=\r\n");
    /* What would be decoded, lost or misread as it stands is encoded. */
    static const char *const encoded[] = {"=?UTF-8?B?QQ==?=", " a", "a ", "a  b", "a\tb",
                                          "a\r\nBcc: x"};
    for (size_t i = 0; i < COUNT_OF(encoded); i++)
        assert_memory_equal(subject(encoded[i]), "Subject: =?UTF-8?B?", 19);
    assert_string_equal(
        subject("0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"),
        "Subject: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789\r\n"
        " 0123456789\r\n");
}

/* Decodes "=?UTF-8?B?…?=" words and compares; each alone must be whole UTF-8. */
static void decodes_to(const char *header, const char *text)
{
    char decoded[2048];
    size_t total = 0, length;
    for (const char *at = header; (at = strstr(at, "=?UTF-8?B?"));) {
        const char *end = strstr(at + 10, "?=");
        assert_non_null(end);
        assert_true(end + 2 - at <= 75);
        assert_int_equal(sodium_base642bin((unsigned char *)decoded + total, sizeof decoded - total,
                                           at + 10, (size_t)(end - at - 10), NULL, &length, NULL,
                                           sodium_base64_VARIANT_ORIGINAL),
                         0);
        assert_true(((unsigned char)decoded[total] & 0xC0) != 0x80);
        total += length;
        at = end;
    }
    assert_int_equal(total, strlen(text));
    assert_memory_equal(decoded, text, total);
    for (const char *at = header, *end; (end = strstr(at, "\r\n")); at = end + 2)
        assert_true(end - at <= 78);
}

static void encoded_words_are_whole_and_short(void **state)
{
    (void)state;
    static const char *const units[] = {"\u00FC", "\u20AC", "\U0001F511", "x\u00FC",
                                        "\u4E2D\u6587 "};
    char text[600];
    for (size_t unit = 0; unit < COUNT_OF(units); unit++) {
        text[0] = '\0';
        size_t length = 0;
        while (length + strlen(units[unit]) < 400) {
            memcpy(text + length, units[unit], strlen(units[unit]) + 1);
            length += strlen(units[unit]);
            decodes_to(subject(text), text);
            decodes_to(phrase(text), text);
        }
    }
    memset(text, 'w', 500); /* a word too long to stand as it is */
    text[500] = '\0';
    decodes_to(subject(text), text);
    decodes_to(phrase(text), text);
}

static void phrases_are_quoted(void **state)
{
    (void)state;
    assert_string_equal(phrase("Acme, Inc. (EU) <x@y>"),
                        "To: \"Acme, Inc. (EU) <x@y>\" <a@b.example>\r\n");
    assert_string_equal(phrase("a \"b\" \\c"), "To: \"a \\\"b\\\" \\\\c\" <a@b.example>\r\n");
    assert_memory_equal(phrase("a\r\nBcc: b@c"), "To: =?UTF-8?B?", 14);
    /* One that grows past a line's share is encoded, whole. */
    char text[90];
    for (size_t length = 1; length < sizeof text; length++) {
        for (size_t i = 0; i < length; i++)
            text[i] = i % 5 == 2 ? ' ' : i % 5 == 4 ? '"' : 'x';
        text[length - 1] = 'e';
        text[length] = '\0';
        const char *header = phrase(text);
        if (strstr(header, "=?"))
            decodes_to(header, text);
        else
            assert_true(strstr(header, "e\"") && strlen(header) < 90);
    }
}

static void dates(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {
        {1, "Date: Thu, 1 Jan 1970 00:00:01 +0000\r\n"},
        {951782400, "Date: Tue, 29 Feb 2000 00:00:00 +0000\r\n"},
        {1800000000, "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"},
        {INT64_C(253402300799), "Date: Fri, 31 Dec 9999 23:59:59 +0000\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        buf_clear(&out);
        mail_header_date(&out, "Date", cases[i].seconds);
        assert_string_equal(written(), cases[i].text);
    }
}

static int drop(void **state)
{
    (void)state;
    buf_done(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoted_printable_is_as_rfc_2045_has_it),
        cmocka_unit_test(lines_of_bodies_are_short),
        cmocka_unit_test(base64_is_in_rows),
        cmocka_unit_test(subjects),
        cmocka_unit_test(encoded_words_are_whole_and_short),
        cmocka_unit_test(phrases_are_quoted),
        cmocka_unit_test(dates),
    };
    return cmocka_run_group_tests(tests, NULL, drop);
}
