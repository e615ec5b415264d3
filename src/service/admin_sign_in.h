/* Signing in to the dashboard: address and password, then the code of an authenticator app where
 * the admin has one. A session begins with a text of its own each time, so that none that somebody
 * else has seen or set becomes good. Wrong tries are audited; the caller throttles them. */
#ifndef KEYMETER_SERVICE_ADMIN_SIGN_IN_H
#define KEYMETER_SERVICE_ADMIN_SIGN_IN_H

#include "base/secret.h"
#include "service/operation.h"
#include "store/admin_session.h"

/* What a new session is made of. */
struct admin_session_start {
    const char *agent;      /* the browser's name, as it gives it; NULL: none */
    struct secret *session; /* the cookie's text, fresh; the operation's from here on */
    bool waiting;           /* result: it waits for the code */
};

struct admin_sign_in {
    struct operation operation; /* the caller sets service, request, address */
    const char *email;          /* as typed; lives as the request */
    struct secret *password;    /* the operation's from here on */
    struct admin_session_start start;
    void (*done)(struct admin_sign_in *sign_in, enum err error);
    bool wrong; /* with ERR_OK: it was no such address or password */
    /* its own: */
    struct db_job job;
    struct arena arena;
    struct admin_row admin;
    bool fits;
};
/* ERR_FULL, ERR_CLOSED: done will not be called. After either, admin_sign_in_done. Loop thread. */
MUST_USE enum err admin_sign_in_submit(struct admin_sign_in *sign_in);
void admin_sign_in_done(struct admin_sign_in *sign_in);

/* The second step, in a session that waits. */
struct admin_code {
    struct operation operation;
    uint64_t admin_id, session_id; /* session_id: the one that waits; it ends */
    const char *code;
    struct admin_session_start start;
    void (*done)(struct admin_code *code, enum err error);
    bool wrong;
    struct arena arena;
};
MUST_USE enum err admin_code_submit(struct admin_code *code);
void admin_code_done(struct admin_code *code);

/* ---- for operations that let somebody in, on the committer's thread ---- */
/* A new session of the admin. */
MUST_USE enum err admin_session_begin(struct db *db, const struct operation *operation,
                                      const struct admin_row *admin,
                                      const struct admin_session_start *start);
/* The second factor's secret, to be wiped. ERR_NOT_FOUND: none. */
MUST_USE enum err admin_totp_open(const struct operation *operation, const struct admin_row *admin,
                                  struct buf *secret);

#endif
