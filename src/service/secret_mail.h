/* Mails that carry a new secret: what each says of its key, and how the secret is put into one that
 * only its recipient can read (service->sealer). */
#ifndef KEYMETER_SERVICE_SECRET_MAIL_H
#define KEYMETER_SERVICE_SECRET_MAIL_H

#include "service/secret_sealer.h"

struct api_key_row;
struct notice;
struct service;
struct tier;
struct tier_row;

/* The contexts, as service/notice.h has them; `start` is the former secret's. */
void secret_mail_rotated(struct notice *notice, const struct api_key_row *key, const char *start,
                         const struct tier *tier);
/* Of a key that has just been made; start "": its secret has not. */
void secret_mail_issued(struct notice *notice, const struct api_key_row *key, const char *start,
                        const struct tier_row *tier);

/* What service->sealer is, where mail goes out. */
struct secret_mail {
    struct secret_sealer sealer;
    struct service *service;
};
void secret_mail_init(struct secret_mail *mail, struct service *service);

#endif
