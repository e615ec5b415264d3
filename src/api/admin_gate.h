/* Who is at the dashboard: the session of the cookie, looked up for each request, so that one that
 * was ended or an admin who was disabled is out at once. Loop thread. */
#ifndef KEYMETER_API_ADMIN_GATE_H
#define KEYMETER_API_ADMIN_GATE_H

#include "api/auth.h"
#include "api/web_session.h"
#include "base/codec.h"
#include "core/admin_role.h"
#include "service/admin_standing.h"

#include <stdbool.h>

#define ADMIN_COOKIE "km_admin"

enum admin_who {
    ADMIN_ANYBODY,
    ADMIN_WAITING, /* the password was right, the code is to come */
    ADMIN_SIGNED_IN,
};
struct admin_access {
    enum admin_who who;
    enum admin_right right; /* of ADMIN_SIGNED_IN */
};

struct admin {
    struct caller caller; /* what its inner calls may; first, see caller_of */
    struct admin_standing standing;
    uint64_t id, session_id;
    enum admin_role role;
    bool has_code; /* a second factor is set up */
    const char *email, *name;
    struct span session; /* the cookie's text */
    char csrf[WEB_CSRF_SIZE];
    char actor[ID_TEXT_SIZE];
};

/* Runs the handler for whom the access lets in; others are led to the sign-in, or told 403. */
MUST_USE struct verdict admin_gate(struct http_request *request, const struct admin_access *access,
                                   http_handler *handler);
/* NULL where nobody has to be signed in. */
const struct admin *admin_of(const struct http_request *request);
bool admin_may(const struct http_request *request, enum admin_right right);
bool admin_cookie_secure(const struct http_request *request);

#endif
