/* Codes of authenticator apps. Called at a sign-in and when a second factor is set up, on a DB
 * thread. What always holds: a step is never accepted twice, nor one before it. */
#include "crypto/totp.h"

#include "base/buf.h"

#include <liboath/oath.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

enum err totp_start(void)
{
    return oath_init() == OATH_OK ? ERR_OK : ERR_CRYPTO;
}

/* 20 bytes are 32 characters without padding. */
void totp_make(char out[TOTP_SECRET_TEXT_SIZE])
{
    unsigned char bytes[TOTP_SECRET_TEXT_SIZE - 1];
    randombytes_buf(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        out[i] = alphabet[bytes[i] % 32];
    out[sizeof bytes] = '\0';
    sodium_memzero(bytes, sizeof bytes);
}

bool totp_is_secret(struct span text)
{
    if (text.length != TOTP_SECRET_TEXT_SIZE - 1) return false;
    for (size_t i = 0; i < text.length; i++)
        if (!text.data[i] || !strchr(alphabet, text.data[i])) return false;
    return true;
}

static bool is_code(struct span code)
{
    for (size_t i = 0; i < code.length; i++)
        if (code.data[i] < '0' || code.data[i] > '9') return false;
    return code.length == TOTP_DIGITS;
}

bool totp_fits(struct span secret, struct span code, int64_t now_ms, int64_t *step)
{
    char text[TOTP_SECRET_TEXT_SIZE], digits[TOTP_DIGITS + 1], *bytes = NULL;
    size_t length = 0;
    bool fits = false;
    if (!totp_is_secret(secret) || !is_code(code)) return false;
    memcpy(text, secret.data, secret.length);
    text[secret.length] = '\0';
    if (oath_base32_decode(text, secret.length, &bytes, &length) == OATH_OK) {
        int64_t now = now_ms / 1000 / TOTP_STEP_S;
        for (int64_t at = now - 1; at <= now + 1; at++) {
            if (oath_hotp_generate(bytes, length, (uint64_t)at, TOTP_DIGITS, false,
                                   OATH_HOTP_DYNAMIC_TRUNCATION, digits) != OATH_OK)
                continue;
            if (sodium_memcmp(digits, code.data, TOTP_DIGITS) != 0 || at <= *step) continue;
            *step = at;
            fits = true;
            break;
        }
        sodium_memzero(bytes, length);
        free(bytes);
    }
    sodium_memzero(text, sizeof text);
    sodium_memzero(digits, sizeof digits);
    return fits;
}

static void uri_put(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     strchr("-._~", c);
        if (plain)
            buf_add_char(out, *text);
        else
            buf_printf(out, "%%%02X", c);
    }
}

void totp_uri(struct buf *out, const char *secret, const char *issuer, const char *account)
{
    buf_add_text(out, "otpauth://totp/");
    uri_put(out, issuer);
    buf_add_char(out, ':');
    uri_put(out, account);
    buf_printf(out, "?secret=%s&issuer=", secret);
    uri_put(out, issuer);
    buf_add_char(out, '\0');
}
