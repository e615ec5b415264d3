/* Whether the API key in use is one of the account, and of the mode, that the known payments are
 * of. With a key of another account every payment is "missing", and everybody's entitlement would
 * end; so a missing one is believed only after a known one was found by the same key. Loop thread.
 */
#ifndef KEYMETER_SERVICE_STRIPE_ACCOUNT_H
#define KEYMETER_SERVICE_STRIPE_ACCOUNT_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct secret;

struct stripe_account {
    unsigned char mark[16]; /* of the key in use: another one is seen to be another */
    uint64_t number;        /* of the key in use: 1, 2, …; 0: none yet */
    uint64_t known;         /* the number of the key that found a known payment */
};

/* The number of that key, which is the one in use from here on. A former key that comes back has a
 * new number: it has to find a payment again. */
MUST_USE uint64_t stripe_account_use(struct stripe_account *account, const struct secret *key);
/* A known payment was found by the key of that number. */
void stripe_account_found(struct stripe_account *account, uint64_t number);
/* Whether what the key of that number does not find is gone. */
MUST_USE bool stripe_account_is_known(const struct stripe_account *account, uint64_t number);

#endif
