/* Composes mails. Called when a mail is put into the outbox, so that what is stored there is what
 * is sent: ciphertext, where the recipient has a key. On worker and DB threads. What always holds:
 * the plaintext stands in a buffer that is wiped, and nothing reaches `out` before it is encrypted.
 */
#include "service/mail_compose.h"

static enum mail_wrapping wrapping_of(const struct mail_key *key)
{
    if (key->kind == MAIL_KEY_OPENPGP) return MAIL_WRAPPING_OPENPGP;
    return key->cipher == MAIL_CIPHER_GCM ? MAIL_WRAPPING_SMIME_AUTHENTICATED : MAIL_WRAPPING_SMIME;
}

enum err mail_compose(struct mail_sealer *sealer, const struct mail_message *message,
                      const struct mail_key *key, int64_t now_s, struct buf *out,
                      struct mail_compose_fault *fault)
{
    *fault = (struct mail_compose_fault){0};
    if (!key) return mail_message_write(message, out, &fault->message);
    CLEANUP(buf_done) struct buf inner = {.limit = MAIL_SEAL_PLAIN_MAX, .wipe = true};
    CLEANUP(buf_done) struct buf sealed = {.limit = MAIL_MESSAGE_MAX};
    enum err error = mail_message_write_inner(message, &inner, &fault->message);
    if (error == ERR_OK)
        error = mail_seal(sealer, key, now_s, buf_span(&inner), &sealed, &fault->key);
    if (error != ERR_OK) return error;
    return mail_message_wrap(message, wrapping_of(key), buf_span(&sealed), out, &fault->message);
}
