/* A mail from its parts to bytes: built, encrypted to the recipient's key where there is one,
 * wrapped. Blocking (see crypto/mail_seal.h): a worker's or a DB thread's. */
#ifndef KEYMETER_SERVICE_MAIL_COMPOSE_H
#define KEYMETER_SERVICE_MAIL_COMPOSE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "core/mail_message.h"
#include "crypto/mail_seal.h"

/* Why it could not be made: one of the two, or none of them when memory or a library failed. */
struct mail_compose_fault {
    struct mail_fault message; /* field NULL: not the message's */
    enum mail_key_fault key;   /* MAIL_KEY_GOOD: not the key's */
};

/* Appends the mail, ASCII with CRLF, ready for io/mail_transport (dots are not doubled). `key`
 * NULL: in clear, and then it must hold no secret. With a key, only encrypted: when that fails
 * nothing is appended, and the caller sends a claim link instead. ERR_INVALID with *fault,
 * ERR_NO_MEMORY, ERR_CRYPTO. */
MUST_USE enum err mail_compose(struct mail_sealer *sealer, const struct mail_message *message,
                               const struct mail_key *key, int64_t now_s, struct buf *out,
                               struct mail_compose_fault *fault);

/* Its two halves, for a mail that waits in the outbox. What waits is a byte that names the form,
 * and the ciphertext; address and name are in neither. ERR_INVALID without a fault: not such a
 * body. */
MUST_USE enum err mail_compose_seal(struct mail_sealer *sealer, const struct mail_message *message,
                                    const struct mail_key *key, int64_t now_s, struct buf *body,
                                    struct mail_compose_fault *fault);
MUST_USE enum err mail_compose_wrap(const struct mail_message *message, struct span body,
                                    struct buf *out, struct mail_compose_fault *fault);

#endif
