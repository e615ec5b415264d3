/* How text stands in a mail: folded headers, encoded-words, quoted-printable, base64, dates.
 * Everything here appends ASCII with CRLF, in lines of at most 78 characters where the text has a
 * place to break and never more than 998 (RFC 5322, section 2.1.1). Pure, any thread. */
#ifndef KEYMETER_CORE_MAIL_TEXT_H
#define KEYMETER_CORE_MAIL_TEXT_H

#include "base/buf.h"
#include "base/span.h"

#include <stdint.h>

/* One header field. `column` is how long its present line is. */
struct mail_header {
    struct buf *out;
    size_t column;
    bool folds; /* not before the first token: a first line without any is misread by some */
};

/* "Name:"; then tokens, each behind a space or, when the line would grow longer than 78, a fold. */
void mail_header_begin(struct mail_header *header, struct buf *out, const char *name);
void mail_header_token(struct mail_header *header, struct span token);
void mail_header_end(struct mail_header *header);
/* A whole field of one token. */
void mail_header_put(struct buf *out, const char *name, struct span value);

/* The tokens of unstructured text (a subject): words as they are, or encoded-words (RFC 2047) when
 * there is anything beyond plain ASCII words in it. `text` is valid UTF-8 without controls. */
void mail_header_text(struct mail_header *header, struct span text);
/* The same of a phrase (a display name): quoted, or encoded-words. */
void mail_header_phrase(struct mail_header *header, struct span text);
/* "<address>" as a token. */
void mail_header_address(struct mail_header *header, struct span address);
/* "Date:" in UTC; years 1970…9999. */
void mail_header_date(struct buf *out, const char *name, int64_t seconds);

/* A body's bytes. Line feeds, with a carriage return or without, become CRLF; another carriage
 * return is encoded. A line never begins with a dot or "From ". Text that is not empty ends with
 * CRLF. */
void mail_text_quoted(struct buf *out, struct span text);
void mail_text_base64(struct buf *out, struct span data);
/* Base64 is the shorter one of the two. */
bool mail_text_wants_base64(struct span text);

#endif
