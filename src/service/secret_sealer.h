/* How a new secret is put into a mail that only its recipient can read: what encrypts is given to
 * the rotation by whoever has it (service->sealer). */
#ifndef KEYMETER_SERVICE_SECRET_SEALER_H
#define KEYMETER_SERVICE_SECRET_SEALER_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

struct api_key_row;
struct db;

struct sealed_secret {
    uint64_t customer_id, key_id;
    const char *kind;   /* of the mail: "rotated" */
    struct span secret; /* in guarded memory */
    int64_t now_ms;
    /* out: */
    int64_t customer_at; /* customer.updated_at of the encryption key that was used */
    uint64_t mail_id;    /* the mail's, whose body it is; 0: any */
};

struct secret_sealer {
    /* The rotation's own DB thread, no transaction: appends the finished body, MIME and all, with
     * the secret encrypted to the customer. ERR_NOT_FOUND: the customer has no key for it, or none
     * that can be encrypted to: a claim link takes its place, as it does after any other error.
     * Never anything in the clear. */
    enum err (*seal)(const struct secret_sealer *sealer, struct db *db, struct sealed_secret *what,
                     struct buf *body);
};

#endif
