/* Passwords of people, as argon2id (RFC 9106) by libsodium: 64 MiB and two passes, about 70 ms. Off
 * the loop; any thread. */
#ifndef KEYMETER_CRYPTO_PASSWORD_H
#define KEYMETER_CRYPTO_PASSWORD_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>

enum { PASSWORD_HASH_SIZE = 128 /* with the NUL */, PASSWORD_MIN = 12, PASSWORD_MAX = 256 };

/* A new salted hash. ERR_NO_MEMORY. */
MUST_USE enum err password_hash(struct span password, char out[PASSWORD_HASH_SIZE]);
/* `hash` NULL: nobody's, which takes as long and is false. */
MUST_USE bool password_fits(const char *hash, struct span password);

#endif
