/* S/MIME by OpenSSL's CMS. Only mail_seal.c calls this: see there for what each call promises. */
#ifndef KEYMETER_CRYPTO_SMIME_H
#define KEYMETER_CRYPTO_SMIME_H

#include "base/buf.h"
#include "base/err.h"
#include "crypto/mail_seal.h"

struct smime;

MUST_USE enum err smime_new(struct smime **out);
void smime_free(struct smime **smime);
/* ERR_INVALID, or *fault set: refused. */
MUST_USE enum err smime_check(struct smime *smime, struct span certificate, int64_t now_s,
                              struct mail_key_info *info, enum mail_key_fault *fault);
MUST_USE enum err smime_seal(struct smime *smime, struct span certificate, int64_t now_s,
                             enum mail_cipher cipher, struct span plain, struct buf *out,
                             enum mail_key_fault *fault);

#endif
