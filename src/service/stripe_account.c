/* Which account a key is of. Called by service/stripe.c on the loop thread, for each of its calls.
 * What always holds: only the key in use is known, and only by what it found itself. Stripe itself
 * is not asked whose the key is, as a restricted key may not ask that. */
#include "service/stripe_account.h"

#include "base/secret.h"

#include <sodium.h>
#include <string.h>

uint64_t stripe_account_use(struct stripe_account *account, const struct secret *key)
{
    unsigned char mark[sizeof account->mark];
    crypto_generichash(mark, sizeof mark, (const unsigned char *)key->text, key->length, NULL, 0);
    if (!account->number || memcmp(mark, account->mark, sizeof mark) != 0) account->number++;
    memcpy(account->mark, mark, sizeof mark);
    return account->number;
}

void stripe_account_found(struct stripe_account *account, uint64_t number)
{
    if (number == account->number) account->known = number;
}

bool stripe_account_is_known(const struct stripe_account *account, uint64_t number)
{
    return number && number == account->number && account->known == number;
}
