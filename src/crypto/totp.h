/* One-time codes of six digits (RFC 6238: HMAC-SHA-1, 30 s), by liboath. Any thread. */
#ifndef KEYMETER_CRYPTO_TOTP_H
#define KEYMETER_CRYPTO_TOTP_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOTP_SECRET_BYTES = 20, TOTP_SECRET_TEXT_SIZE = 33, TOTP_DIGITS = 6, TOTP_STEP_S = 30 };

/* Once, before any other. */
MUST_USE enum err totp_start(void);
/* A new secret in base32, as authenticator apps take it; 32 characters. */
void totp_make(char out[TOTP_SECRET_TEXT_SIZE]);
MUST_USE bool totp_is_secret(struct span text);
/* What apps scan: otpauth://totp/ISSUER:ACCOUNT?secret=…&issuer=…, with a NUL behind it. */
struct buf;
void totp_uri(struct buf *out, const char *secret, const char *issuer, const char *account);
/* Whether the code is one of the step before, this one or the next, and newer than *step, which is
 * then its step. */
MUST_USE bool totp_fits(struct span secret, struct span code, int64_t now_ms, int64_t *step);

#endif
