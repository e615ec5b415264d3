/* Setting a customer's keys for encrypted mail: what a call gives, checked on a reader's thread,
 * and what becomes of those on file. */
#ifndef KEYMETER_SERVICE_ENCRYPTION_H
#define KEYMETER_SERVICE_ENCRYPTION_H

#include "service/problem.h"
#include "store/customer_keys.h"

#include <stdbool.h>

struct customer_row;
struct notice;
struct operation;
struct service;

struct encryption {
    struct {
        bool given;
        const char *text; /* given and NULL: none any more */
        /* checked: */
        char fingerprint[MAIL_KEY_FINGERPRINT_SIZE];
        int64_t ends_at;
    } of[MAIL_KEY_KINDS]; /* by enum mail_key_kind */
    bool cipher_given, smime_cbc;
};
/* "openpgp_key", "smime_certificate". */
const char *encryption_field(enum mail_key_kind kind);
bool encryption_given(const struct encryption *encryption);

/* Whether mail can be encrypted to what is given. ERR_DENIED with 422 that names the field and the
 * mend. Reader's thread. */
MUST_USE enum err encryption_check(struct service *service, struct encryption *encryption,
                                   struct problem *problem);
/* Puts what is given over `keys`; changed[kind]: it is another one than before, or (S/MIME) what
 * is encrypted to it is to have another form. */
void encryption_apply(const struct encryption *encryption, struct customer_keys *keys,
                      bool changed[MAIL_KEY_KINDS]);

#endif
