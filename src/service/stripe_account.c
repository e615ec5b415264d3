/* Which Stripe account a key is of is not asked: a restricted key may not ask it. */
#include "service/stripe_account.h"

#include "base/secret.h"

#include <sodium.h>
#include <string.h>

uint64_t stripe_account_use(struct stripe_account *account, const struct secret *key)
{
    unsigned char mark[sizeof account->mark];
    crypto_generichash(mark, sizeof mark, (const unsigned char *)key->text, key->length, NULL, 0);
    if (!account->key || memcmp(mark, account->mark, sizeof mark) != 0) account->key++;
    memcpy(account->mark, mark, sizeof mark);
    return account->key;
}

void stripe_account_found(struct stripe_account *account, uint64_t key)
{
    if (account->known_by < key) account->known_by = key;
}

bool stripe_account_is_known(const struct stripe_account *account, uint64_t key)
{
    return key && account->known_by == key;
}
