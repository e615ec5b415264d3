/* A mail as bytes (RFC 5322, RFC 2045): one recipient, a text and its HTML form, in clear or around
 * something sealed. Pure, any thread; no clock, no randomness, no encryption: those are the
 * caller's.
 *
 * In clear:   mail_message_write.
 * Encrypted:  mail_message_write_inner makes the part that is to be encrypted; crypto/mail_seal
 *             encrypts it; mail_message_wrap puts the outer headers around. service/mail_compose
 * does the three. */
#ifndef KEYMETER_CORE_MAIL_MESSAGE_H
#define KEYMETER_CORE_MAIL_MESSAGE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

enum {
    MAIL_NAME_MAX = 1024, /* bytes */
    MAIL_SUBJECT_MAX = 512,
    MAIL_BODY_MAX = 128 * 1024,         /* each of text and html */
    MAIL_MESSAGE_MAX = 2 * 1024 * 1024, /* of what is written: a limit for `out` */
    MAIL_BOUNDARY_MIN = 16,
    MAIL_BOUNDARY_MAX = 48,
};

struct mail_party {
    struct span name; /* UTF-8; empty: none */
    struct span address;
};

struct mail_message {
    struct mail_party from, to;
    struct mail_party reply_to; /* address empty: none */
    struct span subject;        /* UTF-8, as the recipient is to see it */
    struct span outer_subject;  /* stands in clear when the mail is encrypted: it tells nothing */
    struct span message_id;     /* as an address, name@domain; the same however often it is sent */
    int64_t date_s;             /* UTC seconds, > 0 */
    struct span boundary;       /* letters and digits, random, new for each mail */
    struct span text;           /* UTF-8 */
    struct span html;           /* UTF-8; empty: none */
};

/* What cannot be put into a mail: the field ("to.name") and why. Both are literals. */
struct mail_fault {
    const char *field, *reason;
};

/* ERR_INVALID with *fault: a name or subject that is not UTF-8, is too long, or holds a control, a
 * line end or an invisible character; an address or id that mailbox_address_is_good does not take;
 * a text that is empty, too long, not UTF-8, or holds a NUL. The calls below check too. */
MUST_USE enum err mail_message_check(const struct mail_message *message, struct mail_fault *fault);

/* Append the whole message in clear, ASCII with CRLF. ERR_INVALID, ERR_NO_MEMORY; `out` is then as
 * long as it was. */
MUST_USE enum err mail_message_write(const struct mail_message *message, struct buf *out,
                                     struct mail_fault *fault);
/* Appends the part to encrypt: text and HTML, with the headers as the recipient is to see them
 * within (RFC 9788, hp="cipher"). It holds the secret: let `out` wipe. */
MUST_USE enum err mail_message_write_inner(const struct mail_message *message, struct buf *out,
                                           struct mail_fault *fault);

enum mail_wrapping {
    MAIL_WRAPPING_OPENPGP,            /* PGP/MIME (RFC 3156) around an armoured message */
    MAIL_WRAPPING_SMIME,              /* application/pkcs7-mime, enveloped-data (RFC 8551) */
    MAIL_WRAPPING_SMIME_AUTHENTICATED /* the same, authEnveloped-data */
};
/* Appends the whole message around `sealed`: an armoured OpenPGP message, or DER. Its subject is
 * `outer_subject`. */
MUST_USE enum err mail_message_wrap(const struct mail_message *message, enum mail_wrapping wrapping,
                                    struct span sealed, struct buf *out, struct mail_fault *fault);

#endif
