/* Admins and the invitations that make them. DB thread; changes inside an explicit transaction. */
#ifndef KEYMETER_STORE_ADMIN_H
#define KEYMETER_STORE_ADMIN_H

#include "base/arena.h"
#include "base/err.h"
#include "core/admin_role.h"
#include "crypto/password.h"

#include <stdint.h>

struct db;

enum { ADMIN_EMAIL_MAX = 254, ADMIN_NAME_MAX = 100, ADMIN_TOTP_SEALED_MAX = 128 };

struct admin_row {
    uint64_t id;
    const char *email, *name; /* in the arena; the address in lower case */
    enum admin_role role;
    char password[PASSWORD_HASH_SIZE];
    unsigned char totp_sealed[ADMIN_TOTP_SEALED_MAX];
    size_t totp_length; /* 0: no second factor */
    int64_t totp_step;
    int64_t disabled_at, signed_in_at; /* 0: not */
    int64_t created_at, updated_at;
};

/* ERR_EXISTS: the address has an admin. */
MUST_USE enum err admin_insert(struct db *db, const struct admin_row *row);
/* ERR_NOT_FOUND. */
MUST_USE enum err admin_find(struct db *db, uint64_t id, struct arena *arena,
                             struct admin_row *row);
MUST_USE enum err admin_find_email(struct db *db, struct span email, struct arena *arena,
                                   struct admin_row *row);
MUST_USE enum err admin_lock(struct db *db, uint64_t id, struct arena *arena,
                             struct admin_row *row);
/* All but id and the times of making. */
MUST_USE enum err admin_update(struct db *db, const struct admin_row *row);
/* Owners that can sign in; locks all owners. */
MUST_USE enum err admin_owners(struct db *db, uint64_t *count);
enum { ADMINS_LISTED = 500 };
/* Oldest first. */
MUST_USE enum err admin_list(struct db *db, struct arena *arena, struct admin_row **rows,
                             size_t *count);

struct admin_invite_row {
    uint64_t id;
    unsigned char hash[32];
    enum admin_role role;
    uint64_t admin_id; /* whose password it sets anew; 0: it makes an admin */
    char created_by[64];
    int64_t created_at, expires_at, used_at;
};

/* Also forgets those that ended long ago. */
MUST_USE enum err admin_invite_insert(struct db *db, const struct admin_invite_row *row);
/* One that can be used at that time; ERR_NOT_FOUND. */
MUST_USE enum err admin_invite_find(struct db *db, const unsigned char hash[32], int64_t now_ms,
                                    struct admin_invite_row *row);
/* ERR_NOT_FOUND: it was used before, or has ended. */
MUST_USE enum err admin_invite_use(struct db *db, uint64_t id, int64_t now_ms);
/* Those that an actor made ("adm_…"), or that set the password of an admin anew, open nothing from
 * now on. */
MUST_USE enum err admin_invite_end_by(struct db *db, const char *created_by, int64_t now_ms);
MUST_USE enum err admin_invite_end_for(struct db *db, uint64_t admin_id, int64_t now_ms);
/* Those that can be used, newest first. */
MUST_USE enum err admin_invite_list(struct db *db, int64_t now_ms, struct arena *arena,
                                    struct admin_invite_row **rows, size_t *count);

#endif
