/* SMTP's texts. Called by smtp_slot.c, mail_transport.c and maildir.c. What always holds: nothing a
 * server sends makes a reply grow past its bounds, and nothing in a message can end its own DATA.
 */
#include "io/smtp_text.h"

#include "base/secret.h"

enum { LINE_MAX = 998, RUN_MAX = 20 };

/* ---- replies ---- */

void smtp_reply_clear(struct smtp_reply *reply)
{
    reply->code = reply->lines = 0;
    reply->length = 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Judges one line without its end. A line of the code alone is taken, as all clients do. */
static enum smtp_reading line_judge(struct smtp_reply *reply)
{
    const char *line = reply->line;
    size_t length = reply->length;
    if (length < 3 || !is_digit(line[0]) || !is_digit(line[1]) || !is_digit(line[2]))
        return SMTP_READING_WRONG;
    unsigned code = (unsigned)(line[0] - '0') * 100 + (unsigned)(line[1] - '0') * 10 +
                    (unsigned)(line[2] - '0');
    if (code < 200 || code > 599 || (reply->lines && code != reply->code))
        return SMTP_READING_WRONG;
    reply->code = code;
    if (++reply->lines > SMTP_REPLY_LINES_MAX) return SMTP_READING_WRONG;
    if (length == 3 || line[3] == ' ') return SMTP_READING_WHOLE;
    return line[3] == '-' ? SMTP_READING_MORE : SMTP_READING_WRONG;
}

enum smtp_reading smtp_reply_read(struct smtp_reply *reply, struct span bytes, size_t *used)
{
    for (*used = 0; *used < bytes.length;) {
        char c = bytes.data[(*used)++];
        if (c != '\n') {
            if (reply->length == sizeof reply->line) return SMTP_READING_WRONG;
            reply->line[reply->length++] = c;
            continue;
        }
        if (reply->length && reply->line[reply->length - 1] == '\r') reply->length--;
        enum smtp_reading reading = line_judge(reply);
        if (reading != SMTP_READING_MORE) return reading;
        reply->length = 0;
    }
    return SMTP_READING_MORE;
}

/* ---- what may be told ---- */

static bool is_of_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
           (c && strchr("-_#+/=%", c));
}

static void put(char *out, size_t size, size_t *length, struct span text)
{
    for (size_t i = 0; i < text.length && *length + 1 < size; i++)
        out[(*length)++] = text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?';
}

static bool is_of_address(char c)
{
    return (unsigned char)c > ' ' && c != 0x7F && !strchr("<>()[],;:\"", c);
}

/* How long the address is that begins here; 0: none does. */
static size_t address_length(struct span text, size_t at)
{
    size_t end = at;
    if (at && is_of_address(text.data[at - 1])) return 0;
    while (end < text.length && is_of_address(text.data[end]))
        end++;
    return memchr(text.data + at, '@', end - at) ? end - at : 0;
}

void smtp_reason(char *out, size_t size, struct span text)
{
    size_t length = 0;
    for (size_t at = 0; at < text.length;) {
        size_t run = 0, address = address_length(text, at);
        if (address) {
            put(out, size, &length, SPAN("(address)"));
            at += address;
            continue;
        }
        while (at + run < text.length && is_of_token(text.data[at + run]))
            run++;
        if (run > RUN_MAX) {
            put(out, size, &length, span_of(text.data + at, SECRET_SHOWN));
            put(out, size, &length, SPAN("..."));
        } else {
            put(out, size, &length, span_of(text.data + at, run ? run : 1));
        }
        at += run ? run : 1;
    }
    out[length] = '\0';
}

/* ---- messages ---- */

const char *smtp_message_wrong(struct span message, bool *has_8bit)
{
    const char *data = message.data;
    size_t line = 0; /* where it begins */
    *has_8bit = false;
    if (!message.length) return "the message is empty";
    for (size_t i = 0; i < message.length; i++) {
        if (data[i] == '\0') return "the message has a NUL";
        if (data[i] == '\r' && (i + 1 == message.length || data[i + 1] != '\n'))
            return "the message has a CR without a LF";
        if (data[i] == '\n' && (i == 0 || data[i - 1] != '\r'))
            return "the message has a LF without a CR";
        if (data[i] == '\n')
            line = i + 1;
        else if (data[i] != '\r' && i - line >= LINE_MAX)
            return "the message has a line over 998 bytes";
        if ((unsigned char)data[i] > 0x7F) *has_8bit = true;
    }
    return NULL;
}

/* Copies up to the end of the line or of the room. */
static size_t line_copy(struct smtp_body *body, char *out, size_t size)
{
    const char *from = body->message.data + body->at;
    size_t left = body->message.length - body->at, length = 0;
    if (!body->mid_line && from[0] == '.') out[length++] = '.';
    size_t part = left < size - length ? left : size - length;
    const char *end = memchr(from, '\n', part);
    if (end) part = (size_t)(end - from) + 1;
    memcpy(out + length, from, part);
    body->at += part;
    body->mid_line = !end;
    return length + part;
}

size_t smtp_body_next(struct smtp_body *body, char *out, size_t size)
{
    enum { ROOM = 6 }; /* for a doubled dot with one byte behind it, or for the end */
    size_t length = 0;
    while (body->at < body->message.length && size - length >= ROOM)
        length += line_copy(body, out + length, size - length);
    if (body->ended || body->at < body->message.length || size - length < ROOM) return length;
    struct span end = body->mid_line ? SPAN("\r\n.\r\n") : SPAN(".\r\n");
    memcpy(out + length, end.data, end.length);
    body->ended = true;
    return length + end.length;
}
