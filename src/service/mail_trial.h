/* Looking at mails before anybody gets them: a kind's text with sample values, and a mail that
 * tries the relay. Loop thread. */
#ifndef KEYMETER_SERVICE_MAIL_TRIAL_H
#define KEYMETER_SERVICE_MAIL_TRIAL_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "io/mail_transport.h"
#include "service/mail_context.h"
#include "service/mail_template.h"

struct service;

/* The kind as it would go out, with what the settings say of the house and samples of all else;
 * give *out to mail_text_done in any case. `language` as mail_render has it. */
MUST_USE enum err mail_trial_render(const struct service *service, enum mail_kind kind,
                                    enum mail_shape shape, const char *language,
                                    struct mail_text *out);

/* A mail to one address that says what it is; not through the outbox, and tried once. Its caller's
 * until done. */
struct mail_trial {
    const char *to;
    void (*done)(struct mail_trial *trial); /* trial->delivery has the results */
    struct mail_delivery delivery;
    struct buf message;
};
/* ERR_OK: done runs exactly once, never inside. ERR_NOT_FOUND: this daemon sends no mail;
 * ERR_INVALID: the address cannot be sent to, delivery.reason says why; else as mail_submit. */
MUST_USE enum err mail_trial_send(struct service *service, struct mail_trial *trial);

#endif
