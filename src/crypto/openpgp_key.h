/* An OpenPGP key, read and judged by librnp. Only openpgp.c uses this. */
#ifndef KEYMETER_CRYPTO_OPENPGP_KEY_H
#define KEYMETER_CRYPTO_OPENPGP_KEY_H

#include "base/compiler.h"
#include "base/err.h"
#include "crypto/mail_key.h"

#include <rnp/rnp.h>

/* Zeroed: none. Each key has a keyring of its own, so that no two keys are ever merged. */
struct openpgp_key {
    rnp_ffi_t ffi;
    rnp_key_handle_t primary, recipient; /* the latter: the key or subkey to encrypt to */
    int64_t not_after_s;                 /* 0: no end */
};

/* `text` armoured or binary, judged at `now_s`, 0 < now_s < 2^32 - 1. On success info->algorithm
 * and info->not_after_s are set. ERR_INVALID with *fault; ERR_NO_MEMORY, ERR_CRYPTO. The key is to
 * be closed in any case. */
MUST_USE enum err openpgp_key_open(struct openpgp_key *key, struct span text, int64_t now_s,
                                   struct mail_key_info *info, enum mail_key_fault *fault);
void openpgp_key_close(struct openpgp_key *key); /* zeroes; accepts a zeroed one */

/* Fingerprint and addresses of the user ids that are valid. */
void openpgp_key_describe(const struct openpgp_key *key, struct mail_key_info *info);

enum err openpgp_error(rnp_result_t result);

#endif
