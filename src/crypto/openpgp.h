/* OpenPGP by librnp. Only mail_seal.c calls this: see there for what each call promises. */
#ifndef KEYMETER_CRYPTO_OPENPGP_H
#define KEYMETER_CRYPTO_OPENPGP_H

#include "base/buf.h"
#include "base/err.h"
#include "crypto/mail_key.h"

struct openpgp;

MUST_USE enum err openpgp_new(struct openpgp **out);
void openpgp_free(struct openpgp **openpgp);
/* ERR_INVALID, or *fault set: refused. */
MUST_USE enum err openpgp_check(struct span key, int64_t now_s, struct mail_key_info *info,
                                enum mail_key_fault *fault);
MUST_USE enum err openpgp_seal(struct openpgp *openpgp, struct span key, int64_t now_s,
                               struct span plain, struct buf *out, enum mail_key_fault *fault);

#endif
