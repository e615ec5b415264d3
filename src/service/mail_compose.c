/* Composes mails. Called when a mail is put into the outbox or made for sending, on worker and DB
 * threads. What always holds: the plaintext stands in a buffer that is wiped, and nothing reaches
 * `out` before it is encrypted. */
#include "service/mail_compose.h"

/* In the outbox: never change. */
static const char forms[] = {
    [MAIL_WRAPPING_OPENPGP] = 'P',
    [MAIL_WRAPPING_SMIME] = 'C',
    [MAIL_WRAPPING_SMIME_AUTHENTICATED] = 'G',
};

static enum mail_wrapping wrapping_of(const struct mail_key *key)
{
    if (key->kind == MAIL_KEY_OPENPGP) return MAIL_WRAPPING_OPENPGP;
    return key->cipher == MAIL_CIPHER_GCM ? MAIL_WRAPPING_SMIME_AUTHENTICATED : MAIL_WRAPPING_SMIME;
}

enum err mail_compose_seal(struct mail_sealer *sealer, const struct mail_message *message,
                           const struct mail_key *key, int64_t now_s, struct buf *body,
                           struct mail_compose_fault *fault)
{
    *fault = (struct mail_compose_fault){0};
    size_t before = body->length;
    CLEANUP(buf_done) struct buf inner = {.limit = MAIL_SEAL_PLAIN_MAX, .wipe = true};
    enum err error = mail_message_write_inner(message, &inner, &fault->message);
    if (error != ERR_OK) return error;
    buf_add_char(body, forms[wrapping_of(key)]);
    error = mail_seal(sealer, key, now_s, buf_span(&inner), body, &fault->key);
    if (error == ERR_OK && body->failed) error = ERR_NO_MEMORY;
    if (error != ERR_OK) body->length = before;
    return error;
}

enum err mail_compose_wrap(const struct mail_message *message, struct span body, struct buf *out,
                           struct mail_compose_fault *fault)
{
    *fault = (struct mail_compose_fault){0};
    for (unsigned form = 0; form < sizeof forms && body.length; form++)
        if (body.data[0] == forms[form])
            return mail_message_wrap(message, (enum mail_wrapping)form,
                                     span_of(body.data + 1, body.length - 1), out, &fault->message);
    return ERR_INVALID;
}

enum err mail_compose(struct mail_sealer *sealer, const struct mail_message *message,
                      const struct mail_key *key, int64_t now_s, struct buf *out,
                      struct mail_compose_fault *fault)
{
    *fault = (struct mail_compose_fault){0};
    if (!key) return mail_message_write(message, out, &fault->message);
    CLEANUP(buf_done) struct buf sealed = {.limit = MAIL_MESSAGE_MAX};
    enum err error = mail_compose_seal(sealer, message, key, now_s, &sealed, fault);
    return error ? error : mail_compose_wrap(message, buf_span(&sealed), out, fault);
}
