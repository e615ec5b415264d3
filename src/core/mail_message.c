/* Builds mails. Called by service/mail_compose.c on worker threads. What always holds: a field that
 * could begin another header or end the mail is refused by its name, never repaired; and a boundary
 * begins with "=_", which neither quoted-printable, base64 nor OpenPGP's armour can hold, so no
 * text can contain it. */
#include "core/mail_message.h"

#include "base/mailbox.h"
#include "base/plain_text.h"
#include "core/mail_text.h"

#include <stdio.h>

enum { BOUNDARY_SIZE = MAIL_BOUNDARY_MAX + 8 };
#define DATE_MAX_S INT64_C(253402300799) /* the end of 9999 */

#define CRLF "\r\n"

/* ---- what is checked ---- */

static enum err fault_set(struct mail_fault *fault, const char *field, const char *reason)
{
    *fault = (struct mail_fault){field, reason};
    return ERR_INVALID;
}

static const char *header_text_wrong(struct span text, size_t most)
{
    if (text.length > most) return "is too long";
    if (!text_is_utf8(text)) return "is not UTF-8";
    if (plain_text_check(text, false).wrong_at)
        return "holds a line end, a control or an invisible character";
    return NULL;
}

static enum err party_check(const struct mail_party *party, const char *name_field,
                            const char *address_field, struct mail_fault *fault)
{
    const char *wrong = header_text_wrong(party->name, MAIL_NAME_MAX);
    if (wrong) return fault_set(fault, name_field, wrong);
    if (!mailbox_address_is_good(party->address))
        return fault_set(fault, address_field, "is not an address like name@example.com");
    return ERR_OK;
}

static enum err subject_check(struct span subject, const char *field, struct mail_fault *fault)
{
    const char *wrong = subject.length ? header_text_wrong(subject, MAIL_SUBJECT_MAX) : "is empty";
    return wrong ? fault_set(fault, field, wrong) : ERR_OK;
}

static enum err body_check(struct span body, const char *field, struct mail_fault *fault)
{
    if (body.length > MAIL_BODY_MAX) return fault_set(fault, field, "is too long");
    if (!text_is_utf8(body)) return fault_set(fault, field, "is not UTF-8");
    if (body.length && memchr(body.data, '\0', body.length))
        return fault_set(fault, field, "holds a NUL");
    return ERR_OK;
}

static bool is_boundary(struct span text)
{
    if (text.length < MAIL_BOUNDARY_MIN || text.length > MAIL_BOUNDARY_MAX) return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
            return false;
    }
    return true;
}

static enum err content_check(const struct mail_message *message, struct mail_fault *fault)
{
    enum err error = subject_check(message->subject, "subject", fault);
    if (error == ERR_OK && !message->text.length) return fault_set(fault, "text", "is empty");
    if (error == ERR_OK) error = body_check(message->text, "text", fault);
    return error == ERR_OK ? body_check(message->html, "html", fault) : error;
}

/* All that stands in clear around what is sealed. */
static enum err frame_check(const struct mail_message *message, struct mail_fault *fault)
{
    enum err error = party_check(&message->from, "from.name", "from.address", fault);
    if (error == ERR_OK) error = party_check(&message->to, "to.name", "to.address", fault);
    if (error == ERR_OK && message->reply_to.address.length)
        error = party_check(&message->reply_to, "reply_to.name", "reply_to.address", fault);
    if (error == ERR_OK) error = subject_check(message->outer_subject, "outer_subject", fault);
    if (error != ERR_OK) return error;
    if (!mailbox_address_is_good(message->message_id))
        return fault_set(fault, "message_id", "is not an id like name@example.com");
    if (message->date_s <= 0 || message->date_s > DATE_MAX_S)
        return fault_set(fault, "date", "is out of range");
    if (!is_boundary(message->boundary))
        return fault_set(fault, "boundary", "must be 16 to 48 letters and digits");
    return ERR_OK;
}

enum err mail_message_check(const struct mail_message *message, struct mail_fault *fault)
{
    enum err error = frame_check(message, fault);
    return error == ERR_OK ? content_check(message, fault) : error;
}

/* ---- headers ---- */

static void party_put(struct buf *out, const char *name, const struct mail_party *party)
{
    struct mail_header header;
    mail_header_begin(&header, out, name);
    if (party->name.length) mail_header_phrase(&header, party->name);
    mail_header_address(&header, party->address);
    mail_header_end(&header);
}

static void subject_put(struct buf *out, const char *name, struct span subject)
{
    struct mail_header header;
    mail_header_begin(&header, out, name);
    mail_header_text(&header, subject);
    mail_header_end(&header);
}

static void id_put(struct buf *out, const char *name, struct span id)
{
    struct mail_header header;
    mail_header_begin(&header, out, name);
    mail_header_address(&header, id);
    mail_header_end(&header);
}

/* Each name behind `prefix`: "" or "HP-Outer: ". */
static void headers_put(struct buf *out, const char *prefix, const struct mail_message *message,
                        struct span subject)
{
    char name[40];
#define NAME(text) (snprintf(name, sizeof name, "%s%s", prefix, text), name)
    party_put(out, NAME("From"), &message->from);
    party_put(out, NAME("To"), &message->to);
    if (message->reply_to.address.length) party_put(out, NAME("Reply-To"), &message->reply_to);
    subject_put(out, NAME("Subject"), subject);
    mail_header_date(out, NAME("Date"), message->date_s);
    id_put(out, NAME("Message-ID"), message->message_id);
    mail_header_put(out, NAME("Auto-Submitted"), SPAN("auto-generated"));
#undef NAME
}

/* ---- bodies ---- */

/* Base64 of text is of its canonical form, with CRLF (RFC 2045, section 6.8). */
static void canonical_base64(struct buf *out, struct span text)
{
    CLEANUP(buf_done) struct buf canonical = {.wipe = true};
    for (size_t i = 0; i < text.length; i++) {
        bool bare = text.data[i] == '\n' && (i == 0 || text.data[i - 1] != '\r');
        if (bare) buf_add_char(&canonical, '\r');
        buf_add_char(&canonical, text.data[i]);
    }
    mail_text_base64(out, buf_span(&canonical));
    out->failed = out->failed || canonical.failed;
}

static void text_part_put(struct buf *out, const char *type, struct span text)
{
    bool base64 = mail_text_wants_base64(text);
    buf_printf(out, "Content-Type: %s; charset=utf-8" CRLF, type);
    buf_printf(out, "Content-Transfer-Encoding: %s" CRLF CRLF,
               base64 ? "base64" : "quoted-printable");
    if (base64)
        canonical_base64(out, text);
    else
        mail_text_quoted(out, text);
}

/* "=_" and a letter that tells the inner boundary from the outer one. */
static void boundary_form(char out[BOUNDARY_SIZE], char which, struct span random)
{
    snprintf(out, BOUNDARY_SIZE, "=_%c%.*s", which, (int)random.length, random.data);
}

/* Content-Type with `parameters` and both forms of the text. */
static void alternative_put(struct buf *out, const struct mail_message *message,
                            const char *parameters)
{
    char boundary[BOUNDARY_SIZE];
    boundary_form(boundary, 'a', message->boundary);
    buf_printf(out, "Content-Type: multipart/alternative;%s" CRLF " boundary=\"%s\"" CRLF CRLF,
               parameters, boundary);
    buf_printf(out, "--%s" CRLF, boundary);
    text_part_put(out, "text/plain", message->text);
    if (message->html.length) {
        buf_printf(out, CRLF "--%s" CRLF, boundary);
        text_part_put(out, "text/html", message->html);
    }
    buf_printf(out, CRLF "--%s--" CRLF, boundary);
}

static void openpgp_put(struct buf *out, const struct mail_message *message, struct span sealed)
{
    char boundary[BOUNDARY_SIZE];
    boundary_form(boundary, 'e', message->boundary);
    buf_printf(out,
               "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";" CRLF
               " boundary=\"%s\"" CRLF CRLF,
               boundary);
    buf_printf(out,
               "--%s" CRLF "Content-Type: application/pgp-encrypted" CRLF
               "Content-Transfer-Encoding: 7bit" CRLF CRLF "Version: 1" CRLF CRLF,
               boundary);
    buf_printf(out,
               "--%s" CRLF "Content-Type: application/octet-stream; name=\"encrypted.asc\"" CRLF
               "Content-Disposition: inline; filename=\"encrypted.asc\"" CRLF
               "Content-Transfer-Encoding: 7bit" CRLF CRLF,
               boundary);
    buf_add_span(out, sealed);
    buf_printf(out, CRLF "--%s--" CRLF, boundary);
}

static void smime_put(struct buf *out, const char *type, struct span sealed)
{
    buf_printf(out,
               "Content-Type: application/pkcs7-mime; smime-type=%s;" CRLF
               " name=\"smime.p7m\"" CRLF
               "Content-Disposition: attachment; filename=\"smime.p7m\"" CRLF
               "Content-Transfer-Encoding: base64" CRLF CRLF,
               type);
    mail_text_base64(out, sealed);
}

/* ---- the calls ---- */

/* What a failed call has appended is taken away again. */
static enum err finish(struct buf *out, size_t before)
{
    if (!out->failed) return ERR_OK;
    out->length = before;
    return ERR_NO_MEMORY;
}

enum err mail_message_write(const struct mail_message *message, struct buf *out,
                            struct mail_fault *fault)
{
    size_t before = out->length;
    enum err error = mail_message_check(message, fault);
    if (error != ERR_OK) return error;
    headers_put(out, "", message, message->subject);
    buf_add_text(out, "MIME-Version: 1.0" CRLF);
    alternative_put(out, message, "");
    return finish(out, before);
}

enum err mail_message_write_inner(const struct mail_message *message, struct buf *out,
                                  struct mail_fault *fault)
{
    size_t before = out->length;
    enum err error = mail_message_check(message, fault);
    if (error != ERR_OK) return error;
    headers_put(out, "", message, message->subject);
    headers_put(out, "HP-Outer: ", message, message->outer_subject);
    alternative_put(out, message, " hp=\"cipher\"; protected-headers=\"v1\";");
    return finish(out, before);
}

/* Armour is 7bit text without a line that could be a boundary's; anything else is not ours. */
static bool is_armour(struct span sealed)
{
    static const char begin[] = "-----BEGIN PGP MESSAGE-----\r\n";
    if (!span_starts(sealed, begin)) return false;
    for (size_t i = 0; i < sealed.length; i++) {
        char c = sealed.data[i];
        if ((c < ' ' || c > '~') && c != '\r' && c != '\n') return false;
    }
    return !memmem(sealed.data, sealed.length, "--=_", 4);
}

enum err mail_message_wrap(const struct mail_message *message, enum mail_wrapping wrapping,
                           struct span sealed, struct buf *out, struct mail_fault *fault)
{
    size_t before = out->length;
    enum err error = frame_check(message, fault);
    if (error != ERR_OK) return error;
    if (!sealed.length || (wrapping == MAIL_WRAPPING_OPENPGP && !is_armour(sealed)))
        return fault_set(fault, "sealed", "is not an encrypted message");
    headers_put(out, "", message, message->outer_subject);
    buf_add_text(out, "MIME-Version: 1.0" CRLF);
    switch (wrapping) {
    case MAIL_WRAPPING_OPENPGP:
        openpgp_put(out, message, sealed);
        break;
    case MAIL_WRAPPING_SMIME:
        smime_put(out, "enveloped-data", sealed);
        break;
    case MAIL_WRAPPING_SMIME_AUTHENTICATED:
        smime_put(out, "authEnveloped-data", sealed);
        break;
    }
    return finish(out, before);
}
