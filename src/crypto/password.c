/* Argon2id. Called by the jobs of the pool for passwords, never on the loop. What always holds: a
 * password of nobody costs the same time as somebody's, so that none can be told from the other. */
#include "crypto/password.h"

#include <sodium.h>

_Static_assert(PASSWORD_HASH_SIZE == crypto_pwhash_STRBYTES, "the size is libsodium's");

enum err password_hash(struct span password, char out[PASSWORD_HASH_SIZE])
{
    if (crypto_pwhash_str_alg(out, password.data, password.length,
                              crypto_pwhash_OPSLIMIT_INTERACTIVE,
                              crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13))
        return ERR_NO_MEMORY;
    return ERR_OK;
}

bool password_fits(const char *hash, struct span password)
{
    char nobody[PASSWORD_HASH_SIZE];
    if (hash) return crypto_pwhash_str_verify(hash, password.data, password.length) == 0;
    enum err error = password_hash(password, nobody);
    (void)error;
    return false;
}
