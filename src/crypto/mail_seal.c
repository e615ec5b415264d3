/* The front of encryption to a recipient: bounds, then openpgp.c or smime.c. Called by service/ on
 * worker threads, one sealer each. What always holds: a call that fails leaves `out` as it was, so
 * nothing half-made and no plaintext can go on from here. */
#include "crypto/mail_seal.h"

#include "crypto/openpgp.h"
#include "crypto/smime.h"

#include <stdlib.h>

struct mail_sealer {
    struct openpgp *openpgp;
    struct smime *smime;
};

enum err mail_sealer_new(struct mail_sealer **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return ERR_NO_MEMORY;
    enum err error = openpgp_new(&(*out)->openpgp);
    if (error == ERR_OK) error = smime_new(&(*out)->smime);
    if (error != ERR_OK) mail_sealer_free(out);
    return error;
}

void mail_sealer_free(struct mail_sealer **sealer)
{
    if (!*sealer) return;
    openpgp_free(&(*sealer)->openpgp);
    smime_free(&(*sealer)->smime);
    free(*sealer);
    *sealer = NULL;
}

static enum mail_key_fault size_fault(const struct mail_key *key)
{
    if (!key->text.length) return MAIL_KEY_EMPTY;
    return key->text.length > MAIL_KEY_TEXT_MAX ? MAIL_KEY_TOO_LARGE : MAIL_KEY_GOOD;
}

/* Only a refusal has a fault, and every refusal has one. */
static enum err settle(enum err error, enum mail_key_fault *fault)
{
    if (error != ERR_OK && error != ERR_INVALID) *fault = MAIL_KEY_GOOD;
    return error == ERR_OK && *fault != MAIL_KEY_GOOD ? ERR_INVALID : error;
}

enum err mail_key_check(struct mail_sealer *sealer, const struct mail_key *key, int64_t now_s,
                        struct mail_key_info *info, enum mail_key_fault *fault)
{
    *info = (struct mail_key_info){.kind = key->kind};
    *fault = size_fault(key);
    if (*fault != MAIL_KEY_GOOD) return ERR_INVALID;
    enum err error = key->kind == MAIL_KEY_OPENPGP
                         ? openpgp_check(key->text, now_s, info, fault)
                         : smime_check(sealer->smime, key->text, now_s, info, fault);
    error = settle(error, fault);
    if (error != ERR_OK) *info = (struct mail_key_info){.kind = key->kind};
    return error;
}

enum err mail_seal(struct mail_sealer *sealer, const struct mail_key *key, int64_t now_s,
                   struct span plain, struct buf *out, enum mail_key_fault *fault)
{
    size_t before = out->length;
    *fault = size_fault(key);
    if (*fault != MAIL_KEY_GOOD) return ERR_INVALID;
    if (!plain.length || plain.length > MAIL_SEAL_PLAIN_MAX || out->failed) return ERR_CRYPTO;
    enum err error =
        key->kind == MAIL_KEY_OPENPGP
            ? openpgp_seal(sealer->openpgp, key->text, now_s, plain, out, fault)
            : smime_seal(sealer->smime, key->text, now_s, key->cipher, plain, out, fault);
    error = settle(error, fault);
    if (error == ERR_OK && out->failed) error = ERR_NO_MEMORY;
    if (error != ERR_OK) out->length = before;
    return error;
}
