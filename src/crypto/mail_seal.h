/* Encryption of mail to the recipient's own key: OpenPGP by librnp, S/MIME by OpenSSL's CMS.
 *
 * A sealer is a thread's own set of tools; several threads have several. It keeps the last 64
 * OpenPGP keys that it encrypted to, and nothing else of a mail. Nothing here asks the clock:
 * `now_s` is UTC seconds, > 0, and every validity is judged by it. Blocking work of 0.2 to 10 ms (a
 * large RSA key that is new to the sealer): a worker thread's, not the loop's; it needs 1 MiB of
 * stack. */
#ifndef KEYMETER_CRYPTO_MAIL_SEAL_H
#define KEYMETER_CRYPTO_MAIL_SEAL_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"
#include "crypto/mail_key.h"

struct mail_sealer;

/* How S/MIME content is encrypted; OpenPGP takes no notice. */
enum mail_cipher {
    MAIL_CIPHER_GCM, /* authEnveloped-data, AES-256-GCM (RFC 5083, RFC 5084) */
    MAIL_CIPHER_CBC, /* enveloped-data, AES-256-CBC, for readers that lack the former */
};

struct mail_key {
    enum mail_key_kind kind;
    enum mail_cipher cipher;
    struct span text; /* OpenPGP: armoured or binary; S/MIME: PEM */
};

enum { MAIL_SEAL_PLAIN_MAX = 1024 * 1024 }; /* bytes */

/* ERR_CRYPTO: the library lacks an algorithm, or is a version that must not be used (librnp 0.18.0
 * encrypts under a session key of zeroes, CVE-2025-13470). ERR_NO_MEMORY. */
MUST_USE enum err mail_sealer_new(struct mail_sealer **out);
void mail_sealer_free(struct mail_sealer **sealer); /* accepts NULL */

/* Whether mail can be encrypted to the key at `now_s`, which is tried, and what is known of it.
 * ERR_INVALID with *fault set: refused; *info is then zeroed. ERR_NO_MEMORY, ERR_CRYPTO: not the
 * key's fault. */
MUST_USE enum err mail_key_check(struct mail_sealer *sealer, const struct mail_key *key,
                                 int64_t now_s, struct mail_key_info *info,
                                 enum mail_key_fault *fault);

/* Appends `plain` (not empty) encrypted to the key, after the same checks. OpenPGP: an armoured
 * message with CRLF, AES-256 with MDC, not compressed, no file name and no time (RFC 4880). S/MIME:
 * DER of ContentInfo (RFC 8551). Errors as of mail_key_check; `out` is as it was then, and nothing
 * of `plain` was written anywhere but to the libraries' working memory. */
MUST_USE enum err mail_seal(struct mail_sealer *sealer, const struct mail_key *key, int64_t now_s,
                            struct span plain, struct buf *out, enum mail_key_fault *fault);

#endif
