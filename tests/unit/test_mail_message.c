/* core/mail_message and service/mail_compose: a mail's frame, what is refused by its field's name,
 * and that without encryption there is nothing. Python, gpg and openssl read whole mails in
 * tests/integration/test_mail_seal.py. */
#include "core/mail_message.h"
#include "service/mail_compose.h"

#include "unit.h"

#include <stdlib.h>

static struct mail_message example(void)
{
    return (struct mail_message){
        .from = {SPAN("Acme API"), SPAN("keys@acme.example")},
        .to = {SPAN("J\u00FCrgen"), SPAN("j@example.com")},
        .reply_to = {SPAN(""), SPAN("support@acme.example")},
        .subject = SPAN("Your new API key"),
        .outer_subject = SPAN("About your API key"),
        .message_id = SPAN("ntf_1@acme.example"),
        .date_s = 1800000000,
        .boundary = SPAN("0123456789abcdefXYZ"),
        .text = SPAN("secret: x=y\n"),
        .html = SPAN("<p>secret"),
    };
}

#define FRAME                                                                                      \
    "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"                                                    \
    "Message-ID: <ntf_1@acme.example>\r\n"                                                         \
    "Auto-Submitted: auto-generated\r\n"
#define PARTIES                                                                                    \
    "From: \"Acme API\" <keys@acme.example>\r\n"                                                   \
    "To: =?UTF-8?B?SsO8cmdlbg==?= <j@example.com>\r\n"                                             \
    "Reply-To: <support@acme.example>\r\n"
#define BODY                                                                                       \
    "--=_a0123456789abcdefXYZ\r\n"                                                                 \
    "Content-Type: text/plain; charset=utf-8\r\n"                                                  \
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"                                          \
    "secret: x=3Dy\r\n"                                                                            \
    "\r\n--=_a0123456789abcdefXYZ\r\n"                                                             \
    "Content-Type: text/html; charset=utf-8\r\n"                                                   \
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"                                          \
    "<p>secret\r\n"                                                                                \
    "\r\n--=_a0123456789abcdefXYZ--\r\n"

static void a_mail_in_clear(void **state)
{
    (void)state;
    struct mail_message message = example();
    struct mail_fault fault;
    struct buf out = {0};
    assert_int_equal(mail_message_write(&message, &out, &fault), ERR_OK);
    buf_add_char(&out, '\0');
    assert_string_equal(out.data,
                        PARTIES "Subject: Your new API key\r\n" FRAME "MIME-Version: 1.0\r\n"
                                "Content-Type: multipart/alternative;\r\n"
                                " boundary=\"=_a0123456789abcdefXYZ\"\r\n\r\n" BODY);
    buf_done(&out);
}

static void the_part_that_is_encrypted(void **state)
{
    (void)state;
    struct mail_message message = example();
    struct mail_fault fault;
    struct buf out = {0};
    message.reply_to.address = SPAN("");
    assert_int_equal(mail_message_write_inner(&message, &out, &fault), ERR_OK);
    buf_add_char(&out, '\0');
    assert_string_equal(out.data, "From: \"Acme API\" <keys@acme.example>\r\n"
                                  "To: =?UTF-8?B?SsO8cmdlbg==?= <j@example.com>\r\n"
                                  "Subject: Your new API key\r\n" FRAME
                                  "HP-Outer: From: \"Acme API\" <keys@acme.example>\r\n"
                                  "HP-Outer: To: =?UTF-8?B?SsO8cmdlbg==?= <j@example.com>\r\n"
                                  "HP-Outer: Subject: About your API key\r\n"
                                  "HP-Outer: Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
                                  "HP-Outer: Message-ID: <ntf_1@acme.example>\r\n"
                                  "HP-Outer: Auto-Submitted: auto-generated\r\n"
                                  "Content-Type: multipart/alternative; hp=\"cipher\"; "
                                  "protected-headers=\"v1\";\r\n"
                                  " boundary=\"=_a0123456789abcdefXYZ\"\r\n\r\n" BODY);
    buf_done(&out);
}

static void the_frame_around_what_is_sealed(void **state)
{
    (void)state;
    struct mail_message message = example();
    struct mail_fault fault;
    struct buf out = {0};
    struct span armour =
        SPAN("-----BEGIN PGP MESSAGE-----\r\n\r\nx\r\n-----END PGP MESSAGE-----\r\n");
    /* Text and HTML are not looked at: they may be gone by then. */
    message.text = message.html = message.subject = SPAN("");
    assert_int_equal(mail_message_wrap(&message, MAIL_WRAPPING_OPENPGP, armour, &out, &fault),
                     ERR_OK);
    buf_add_char(&out, '\0');
    assert_string_equal(
        out.data,
        PARTIES "Subject: About your API key\r\n" FRAME "MIME-Version: 1.0\r\n"
                "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\r\n"
                " boundary=\"=_e0123456789abcdefXYZ\"\r\n\r\n"
                "--=_e0123456789abcdefXYZ\r\n"
                "Content-Type: application/pgp-encrypted\r\n"
                "Content-Transfer-Encoding: 7bit\r\n\r\n"
                "Version: 1\r\n\r\n"
                "--=_e0123456789abcdefXYZ\r\n"
                "Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n"
                "Content-Disposition: inline; filename=\"encrypted.asc\"\r\n"
                "Content-Transfer-Encoding: 7bit\r\n\r\n"
                "-----BEGIN PGP MESSAGE-----\r\n\r\nx\r\n-----END PGP MESSAGE-----\r\n"
                "\r\n--=_e0123456789abcdefXYZ--\r\n");
    buf_clear(&out);
    assert_int_equal(
        mail_message_wrap(&message, MAIL_WRAPPING_SMIME, SPAN("\x30\x80"), &out, &fault), ERR_OK);
    buf_add_char(&out, '\0');
    assert_string_equal(out.data,
                        PARTIES "Subject: About your API key\r\n" FRAME "MIME-Version: 1.0\r\n"
                                "Content-Type: application/pkcs7-mime; "
                                "smime-type=enveloped-data;\r\n"
                                " name=\"smime.p7m\"\r\n"
                                "Content-Disposition: attachment; "
                                "filename=\"smime.p7m\"\r\n"
                                "Content-Transfer-Encoding: base64\r\n\r\n"
                                "MIA=\r\n");
    buf_clear(&out);
    static const struct span wrong[] = {
        {"", 0},
        {"secret", 6},
        {"-----BEGIN PGP MESSAGE-----\r\n\xC3\xBC", 31},
        {"-----BEGIN PGP MESSAGE-----\r\n\r\n--=_e0123456789abcdefXYZ", 53}};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        assert_int_equal(mail_message_wrap(&message, MAIL_WRAPPING_OPENPGP, wrong[i], &out, &fault),
                         ERR_INVALID);
        assert_string_equal(fault.field, "sealed");
        assert_int_equal(out.length, 0);
    }
    buf_done(&out);
}

/* ---- what is refused ---- */

/* Whichever way the mail is to be made: ERR_INVALID with that field, and not a byte. */
static void refused(const struct mail_message *message, const char *field)
{
    struct mail_fault fault = {0};
    struct buf out = {0};
    assert_int_equal(mail_message_check(message, &fault), ERR_INVALID);
    assert_string_equal(fault.field, field);
    assert_true(strlen(fault.reason) > 5);
    assert_int_equal(mail_message_write(message, &out, &fault), ERR_INVALID);
    assert_string_equal(fault.field, field);
    assert_int_equal(mail_message_write_inner(message, &out, &fault), ERR_INVALID);
    assert_int_equal(out.length, 0);
    buf_done(&out);
}

static void injections_are_refused_by_the_fields_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t at;
        bool text; /* a header's text; else an address, id or boundary */
    } fields[] = {
        {"from.name", offsetof(struct mail_message, from.name), true},
        {"from.address", offsetof(struct mail_message, from.address), false},
        {"to.name", offsetof(struct mail_message, to.name), true},
        {"to.address", offsetof(struct mail_message, to.address), false},
        {"reply_to.name", offsetof(struct mail_message, reply_to.name), true},
        {"reply_to.address", offsetof(struct mail_message, reply_to.address), false},
        {"subject", offsetof(struct mail_message, subject), true},
        {"outer_subject", offsetof(struct mail_message, outer_subject), true},
        {"message_id", offsetof(struct mail_message, message_id), false},
        {"boundary", offsetof(struct mail_message, boundary), false},
    };
    static const struct span hostile[] = {{"a\r\nBcc: b@c", 11},
                                          {"a\nb", 3},
                                          {"a\rb", 3},
                                          {"a\0b", 3},
                                          {"\0", 1},
                                          {"a\r\n", 3},
                                          {"a\x7F", 2},
                                          {"\x1B[31m", 5},
                                          {"a\xC2\x85 b", 5},
                                          {"a\xE2\x80\xA8", 4},
                                          {"a\xE2\x80\xAE", 4},
                                          {"\xC0\x8A", 2},
                                          {"\xFF", 1},
                                          {"\xED\xA0\x80", 3}};
    static const struct span only_addresses[] = {{"a b@c.example", 13}, {"a@b, c@d", 8}, {"a", 1}};
    static const struct span shown[] = {{"Bcc: b@c", 8}, {"\xF0\x9F\x94\x91 \"x\"", 8}};
    for (size_t f = 0; f < COUNT_OF(fields); f++) {
        struct mail_message message = example();
        struct span *field = (struct span *)(void *)((char *)&message + fields[f].at);
        for (size_t i = 0; i < COUNT_OF(hostile); i++) {
            *field = hostile[i];
            refused(&message, fields[f].name);
        }
        for (size_t i = 0; i < COUNT_OF(only_addresses) && !fields[f].text; i++) {
            *field = only_addresses[i];
            refused(&message, fields[f].name);
        }
        for (size_t i = 0; i < COUNT_OF(shown) && fields[f].text; i++) {
            struct mail_fault fault;
            *field = shown[i];
            assert_int_equal(mail_message_check(&message, &fault), ERR_OK);
        }
    }
}

static void sizes_and_forms_are_refused_by_the_fields_name(void **state)
{
    (void)state;
    static char large[MAIL_BODY_MAX + 1];
    memset(large, 'x', sizeof large);
    struct mail_message message = example();
    message.to.name = span_of(large, MAIL_NAME_MAX + 1);
    refused(&message, "to.name");
    message = example();
    message.subject = span_of(large, MAIL_SUBJECT_MAX + 1);
    refused(&message, "subject");
    message.subject = SPAN("");
    refused(&message, "subject");
    message = example();
    message.outer_subject = SPAN("");
    refused(&message, "outer_subject");
    message = example();
    message.to.address = SPAN("");
    refused(&message, "to.address");
    message = example();
    message.text = span_of(large, sizeof large);
    refused(&message, "text");
    message.text = SPAN("");
    refused(&message, "text");
    message.text = SPAN("a\0b");
    refused(&message, "text");
    message = example();
    message.html = SPAN("\xFF");
    refused(&message, "html");
    message.html = span_of(large, sizeof large);
    refused(&message, "html");
    message = example();
    message.date_s = 0;
    refused(&message, "date");
    message.date_s = INT64_MAX;
    refused(&message, "date");
    message = example();
    message.boundary = SPAN("0123456789abcde");
    refused(&message, "boundary");
}

/* ---- composing ---- */

static void without_encryption_there_is_nothing(void **state)
{
    (void)state;
    struct mail_sealer *sealer;
    struct mail_message message = example();
    struct mail_key key = {.kind = MAIL_KEY_OPENPGP, .text = SPAN("not a key")};
    struct mail_compose_fault fault;
    struct buf out = {0};
    assert_int_equal(mail_sealer_new(&sealer), ERR_OK);
    buf_add_text(&out, "before");
    assert_int_equal(mail_compose(sealer, &message, &key, 1800000000, &out, &fault), ERR_INVALID);
    assert_int_equal(fault.key, MAIL_KEY_MALFORMED);
    assert_null(fault.message.field);
    key.kind = MAIL_KEY_SMIME;
    assert_int_equal(mail_compose(sealer, &message, &key, 1800000000, &out, &fault), ERR_INVALID);
    assert_int_equal(fault.key, MAIL_KEY_MALFORMED);
    key.text = SPAN("");
    assert_int_equal(mail_compose(sealer, &message, &key, 1800000000, &out, &fault), ERR_INVALID);
    assert_int_equal(fault.key, MAIL_KEY_EMPTY);
    message.to.name = SPAN("a\r\nBcc: b@c");
    assert_int_equal(mail_compose(sealer, &message, NULL, 1800000000, &out, &fault), ERR_INVALID);
    assert_string_equal(fault.message.field, "to.name");
    assert_true(span_is(buf_span(&out), "before"));
    mail_sealer_free(&sealer);
    buf_done(&out);
}

static void a_full_buffer_keeps_what_it_had(void **state)
{
    (void)state;
    struct mail_message message = example();
    struct mail_fault fault;
    struct buf out = {.limit = 300};
    buf_add_text(&out, "before");
    assert_int_equal(mail_message_write(&message, &out, &fault), ERR_NO_MEMORY);
    assert_true(span_is(buf_span(&out), "before"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_in_clear),
        cmocka_unit_test(the_part_that_is_encrypted),
        cmocka_unit_test(the_frame_around_what_is_sealed),
        cmocka_unit_test(injections_are_refused_by_the_fields_name),
        cmocka_unit_test(sizes_and_forms_are_refused_by_the_fields_name),
        cmocka_unit_test(without_encryption_there_is_nothing),
        cmocka_unit_test(a_full_buffer_keeps_what_it_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
