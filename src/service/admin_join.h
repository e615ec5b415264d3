/* Becoming an admin: by a one-time link that another one, or `keymeterd admin invite`, made. There
 * is no default password. The same kind of link sets a lost password anew. */
#ifndef KEYMETER_SERVICE_ADMIN_JOIN_H
#define KEYMETER_SERVICE_ADMIN_JOIN_H

#include "service/admin_sign_in.h"

struct keyring;

#define ADMIN_INVITE_LABEL "adm_invite"
#define ADMIN_INVITE_PATH  "admin/join/"
#define ADMIN_INVITE_MS    (INT64_C(2) * 86400 * 1000)

/* Fills id, hash and times; *link is the text behind ADMIN_INVITE_PATH. ERR_NO_MEMORY. */
MUST_USE enum err admin_invite_make(const struct keyring *keyring, int64_t now_ms,
                                    struct admin_invite_row *row, struct secret **link);

/* An admin makes a link. */
struct admin_invite {
    struct operation operation;
    enum admin_role role;
    uint64_t admin_id; /* whose password it sets anew; 0: a new admin's */
    void (*done)(struct admin_invite *invite, enum err error);
    struct secret *link; /* result */
    struct arena arena;
};
MUST_USE enum err admin_invite_submit(struct admin_invite *invite);
void admin_invite_done(struct admin_invite *invite);

/* Somebody uses one: an admin is made, or a password set, and a session begun. 404 when the link
 * leads nowhere, 409 when the address has an admin. */
struct admin_join {
    struct operation operation;
    unsigned char hash[32];   /* of the link */
    const char *email, *name; /* of a new admin; checked */
    struct secret *password;  /* the operation's from here on */
    struct admin_session_start start;
    void (*done)(struct admin_join *join, enum err error);
    /* its own: */
    struct db_job job;
    char password_hash[PASSWORD_HASH_SIZE];
    struct arena arena;
};
MUST_USE enum err admin_join_submit(struct admin_join *join);
void admin_join_done(struct admin_join *join);

#endif
