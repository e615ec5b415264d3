/* The texts of SMTP (RFC 5321): reading replies, writing a message's bytes as the body of DATA, and
 * what may be told of a server's line. Pure, any thread. */
#ifndef KEYMETER_IO_SMTP_TEXT_H
#define KEYMETER_IO_SMTP_TEXT_H

#include "base/compiler.h"
#include "base/span.h"

#include <stdbool.h>

/* A line of the server's is at most 512 bytes (4.5.3.1.5); servers write longer ones. */
enum { SMTP_LINE_MAX = 2048, SMTP_REPLY_LINES_MAX = 128 };

/* One reply, of one or several lines. Zeroed is ready for the first byte. */
struct smtp_reply {
    unsigned code; /* 200…599 */
    unsigned lines;
    size_t length; /* of the line so far; the last line when whole, without its end */
    char line[SMTP_LINE_MAX];
};

enum smtp_reading {
    SMTP_READING_MORE,  /* the reply is not whole yet; all bytes are used */
    SMTP_READING_WHOLE, /* code and line are the reply's; smtp_reply_clear before the next */
    SMTP_READING_WRONG, /* not a reply: a line too long, too many lines, no code, codes that differ
                         */
};
enum smtp_reading smtp_reply_read(struct smtp_reply *reply, struct span bytes, size_t *used);
void smtp_reply_clear(struct smtp_reply *reply);

/* What of a text of the server's or of libcurl's may be logged and stored: printable ASCII on one
 * line, and of each run of more than 20 letters, digits, and -_#+/=% (a key, a token, a claim link)
 * only the first 10 characters and "..."; of an address, which relays like to repeat, nothing: a
 * customer's stands sealed, and so nowhere else. */
void smtp_reason(char *out, size_t size, struct span text);

/* A message on its way through DATA: its bytes with the dots at the beginning of lines doubled
 * (4.5.2), then the end of data. */
struct smtp_body {
    struct span message; /* by smtp_message_wrong: lines end with CRLF */
    size_t at;
    bool mid_line;
    bool ended; /* the end of data was given */
};
/* The next bytes, at most `size` (at least 16); 0 after the end. */
size_t smtp_body_next(struct smtp_body *body, char *out, size_t size);

/* NULL, or why it cannot go through SMTP unchanged: empty, a NUL, a CR or LF that is not part of a
 * CRLF, a line over 998 bytes. */
MUST_USE const char *smtp_message_wrong(struct span message, bool *has_8bit);

#endif
