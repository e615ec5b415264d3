/* What changes of an admin: role, whether it may sign in, password, second factor, sessions. The
 * caller has made sure that whoever asks may do it. */
#ifndef KEYMETER_SERVICE_ADMIN_CHANGE_H
#define KEYMETER_SERVICE_ADMIN_CHANGE_H

#include "base/secret.h"
#include "service/operation.h"
#include "store/admin_session.h"

enum admin_change_kind {
    ADMIN_SET_ROLE,
    ADMIN_DISABLE, /* ends its sessions too */
    ADMIN_ENABLE,
    ADMIN_SET_PASSWORD, /* one's own, with the old one; ends the other sessions */
    ADMIN_TOTP_ON,      /* one's own: totp_secret and a code of it */
    ADMIN_TOTP_OFF,     /* one's own, with the password */
    ADMIN_SIGN_OUT,     /* one session, `session_id` */
    ADMIN_SIGN_OUT_ALL, /* all but `session_id` */
    ADMIN_WITHDRAW,     /* an invitation: `invite_id` */
};

struct admin_change {
    struct operation operation; /* the caller sets service, request, actor */
    enum admin_change_kind kind;
    uint64_t admin_id; /* whose; of ADMIN_WITHDRAW none */
    uint64_t session_id, invite_id;
    enum admin_role role;
    struct secret *password, *new_password; /* the operation's from here on */
    const char *totp_secret, *code;
    void (*done)(struct admin_change *change, enum err error);
    bool wrong; /* with ERR_OK: the password or the code was wrong, nothing changed */
    /* its own: */
    struct db_job job;
    char former[PASSWORD_HASH_SIZE], hash[PASSWORD_HASH_SIZE];
    struct arena arena;
};

/* 409 last_owner when nobody could appoint admins any more. */
MUST_USE enum err admin_change_submit(struct admin_change *change);
void admin_change_done(struct admin_change *change);

#endif
