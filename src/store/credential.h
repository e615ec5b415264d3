/* Which master key and pepper this database's rows were made with: their ids and a check value of
 * each, never the keys. DB thread, or the main thread at start. */
#ifndef KEYMETER_STORE_CREDENTIAL_H
#define KEYMETER_STORE_CREDENTIAL_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

struct db;
struct keyring;

/* On an empty schema records the keyring's ids and check values; on any other verifies them.
 * ERR_DENIED: the database was made with other keys, or the id is known and the key behind it is
 * not the same; `error` says which and what to do. One transaction of its own. */
MUST_USE enum err credential_check(struct db *db, const struct keyring *keyring, int64_t now_ms,
                                   char error[256]);

#endif
