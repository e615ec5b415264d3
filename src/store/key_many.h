/* Changes of many keys in one statement each, however many they are. DB thread; inside a
 * transaction that holds the keys' locks. */
#ifndef KEYMETER_STORE_KEY_MANY_H
#define KEYMETER_STORE_KEY_MANY_H

#include "base/compiler.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct db;

struct key_step {
    uint64_t key_id;
    uint32_t version;               /* key_many_update: what it is to be; key_many_end: see there */
    int64_t rotates_at, updated_at; /* wall ms; rotates_at 0: not by itself */
};
/* Writes rotates_at, secret_version and updated_at alone. */
MUST_USE enum err key_many_update(struct db *db, const struct key_step *steps, size_t count);
/* Removes the secrets (and hashes) of versions below `version`, ends the links, and drops the
 * reminders. */
MUST_USE enum err key_many_end(struct db *db, const struct key_step *steps, size_t count,
                               int64_t now_ms);

#endif
