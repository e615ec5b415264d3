/* The text forms of mail. Called by core/mail_message.c. What always holds: only printable ASCII,
 * CRLF and the fold's space come out, whatever comes in, so no text can begin a header or end a
 * body. */
#include "core/mail_text.h"

#include "base/codec.h"

#include <sodium.h>

enum {
    LINE_WANTED = 78,
    LINE_QUOTED = 76, /* RFC 2045, section 6.7: without the CRLF */
    ROW_BASE64 = 57,  /* bytes a line of 76 */
    WORD_BYTES = 39,  /* in an encoded-word, which is 64 characters then (RFC 2047: at most 75) */
    WORD_PLAIN_MAX = 60,
    PHRASE_MAX = 64, /* with quotes */
};

/* ---- headers ---- */

void mail_header_begin(struct mail_header *header, struct buf *out, const char *name)
{
    *header = (struct mail_header){out, strlen(name) + 1, false};
    buf_add_text(out, name);
    buf_add_char(out, ':');
}

void mail_header_token(struct mail_header *header, struct span token)
{
    bool fold = header->folds && header->column + 1 + token.length > LINE_WANTED;
    header->folds = true;
    buf_add_text(header->out, fold ? "\r\n " : " ");
    buf_add_span(header->out, token);
    header->column = (fold ? 1 : header->column + 1) + token.length;
}

void mail_header_end(struct mail_header *header)
{
    buf_add_text(header->out, "\r\n");
}

void mail_header_put(struct buf *out, const char *name, struct span value)
{
    struct mail_header header;
    mail_header_begin(&header, out, name);
    mail_header_token(&header, value);
    mail_header_end(&header);
}

static bool is_printable(struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] < ' ' || text.data[i] > '~') return false;
    return true;
}

/* Words of moderate length with single spaces, and nothing that a reader would decode. */
static bool is_plain(struct span text)
{
    size_t word = 0;
    if (!is_printable(text) || memmem(text.data, text.length, "=?", 2)) return false;
    for (size_t i = 0; i < text.length; i++) {
        word = text.data[i] == ' ' ? 0 : word + 1;
        bool alone =
            text.data[i] == ' ' && (i == 0 || i + 1 == text.length || text.data[i - 1] == ' ');
        if (word > WORD_PLAIN_MAX || alone) return false;
    }
    return true;
}

/* Whole characters only: a decoder may look at each encoded-word alone. */
static void encoded_words(struct mail_header *header, struct span text)
{
    static const char head[] = "=?UTF-8?B?", tail[] = "?=";
    char word[80];
    for (size_t at = 0; at < text.length;) {
        size_t length = text.length - at < WORD_BYTES ? text.length - at : WORD_BYTES;
        while (length > 1 && at + length < text.length &&
               ((unsigned char)text.data[at + length] & 0xC0) == 0x80)
            length--;
        memcpy(word, head, sizeof head - 1);
        char *base64 = word + sizeof head - 1;
        size_t room = sizeof word - (sizeof head - 1) - sizeof tail;
        sodium_bin2base64(base64, room, (const unsigned char *)text.data + at, length,
                          sodium_base64_VARIANT_ORIGINAL);
        memcpy(base64 + strlen(base64), tail, sizeof tail);
        mail_header_token(header, span_text(word));
        at += length;
    }
}

void mail_header_text(struct mail_header *header, struct span text)
{
    if (!is_plain(text)) {
        encoded_words(header, text);
        return;
    }
    for (size_t at = 0; at < text.length;) {
        const char *space = memchr(text.data + at, ' ', text.length - at);
        size_t length = space ? (size_t)(space - text.data) - at : text.length - at;
        mail_header_token(header, span_of(text.data + at, length));
        at += length + (space != NULL);
    }
}

void mail_header_phrase(struct mail_header *header, struct span text)
{
    char quoted[PHRASE_MAX];
    size_t length = 0, at = 0;
    quoted[length++] = '"';
    for (; at < text.length && length + 3 <= PHRASE_MAX; at++) {
        if (text.data[at] == '"' || text.data[at] == '\\') quoted[length++] = '\\';
        quoted[length++] = text.data[at];
    }
    quoted[length++] = '"';
    if (at == text.length && is_plain(text))
        mail_header_token(header, span_of(quoted, length));
    else
        encoded_words(header, text);
}

void mail_header_address(struct mail_header *header, struct span address)
{
    char token[LINE_WANTED * 4];
    size_t length = address.length < sizeof token - 2 ? address.length : sizeof token - 2;
    token[0] = '<';
    memcpy(token + 1, address.data, length);
    token[length + 1] = '>';
    mail_header_token(header, span_of(token, length + 2));
}

void mail_header_date(struct buf *out, const char *name, int64_t seconds)
{
    static const char days[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t day = seconds / 86400, year;
    unsigned month, date, second = (unsigned)(seconds % 86400);
    date_from_days(day, &year, &month, &date);
    buf_printf(out, "%s: %.3s, %u %.3s %lld %02u:%02u:%02u +0000\r\n", name, days + day % 7 * 3,
               date, months + (month - 1) * 3, (long long)year, second / 3600, second / 60 % 60,
               second % 60);
}

/* ---- bodies ---- */

/* Length of a line end at `at`, 0: none. */
static size_t line_end(struct span text, size_t at)
{
    if (text.data[at] == '\n') return 1;
    return text.data[at] == '\r' && at + 1 < text.length && text.data[at + 1] == '\n' ? 2 : 0;
}

/* At the line's end a space would be lost; at its beginning a dot is SMTP's, and "From " mbox's. */
static bool quoted_stays(struct span text, size_t at, size_t column)
{
    unsigned char c = (unsigned char)text.data[at];
    bool last = at + 1 == text.length || line_end(text, at + 1);
    if (c == ' ' || c == '\t') return !last;
    if (column == 0 && c == '.') return false;
    if (column == 0 && c == 'F' && span_starts(span_of(text.data + at, text.length - at), "From "))
        return false;
    return c > ' ' && c <= '~' && c != '=';
}

void mail_text_quoted(struct buf *out, struct span text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t column = 0, end;
    for (size_t at = 0; at < text.length; at++) {
        end = line_end(text, at);
        if (end) {
            buf_add_text(out, "\r\n");
            column = 0;
            at += end - 1;
            continue;
        }
        size_t length = quoted_stays(text, at, column) ? 1 : 3;
        if (column + length >= LINE_QUOTED) { /* room for the '=' of a soft break */
            buf_add_text(out, "=\r\n");
            column = 0;
            length = quoted_stays(text, at, 0) ? 1 : 3;
        }
        unsigned char c = (unsigned char)text.data[at];
        char escaped[] = {'=', hex[c >> 4], hex[c & 15]};
        buf_add(out, length == 1 ? &text.data[at] : escaped, length);
        column += length;
    }
    if (column) buf_add_text(out, "\r\n");
}

void mail_text_base64(struct buf *out, struct span data)
{
    char line[(ROW_BASE64 / 3) * 4 + 3];
    for (size_t at = 0; at < data.length; at += ROW_BASE64) {
        size_t length = data.length - at < ROW_BASE64 ? data.length - at : ROW_BASE64;
        sodium_bin2base64(line, sizeof line, (const unsigned char *)data.data + at, length,
                          sodium_base64_VARIANT_ORIGINAL);
        buf_add_text(out, line);
        buf_add_text(out, "\r\n");
    }
    sodium_memzero(line, sizeof line);
}

bool mail_text_wants_base64(struct span text)
{
    size_t beyond = 0;
    for (size_t i = 0; i < text.length; i++)
        beyond += (unsigned char)text.data[i] >= 0x80;
    return beyond > text.length / 6;
}
