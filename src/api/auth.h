/* Who calls: the service token of `Authorization: Bearer kmt_…`, checked before a handler runs.
 * Loop thread. */
#ifndef KEYMETER_API_AUTH_H
#define KEYMETER_API_AUTH_H

#include "io/http.h"
#include "service/problem.h"
#include "store/token.h"

#include <stdbool.h>

/* Lives in the request's arena. */
struct caller {
    uint64_t token_id;       /* 0: the route needs no token */
    unsigned char hash[32];  /* the token's lookup hash */
    unsigned scopes;         /* bit mask of enum scope */
    const char *permissions; /* comma-joined: keys it makes or edits stay within; NULL: any */
};

/* The caller that the routing table let in. Never NULL inside a handler. For operations: token_id
 * is checked again in the transaction (operation.token_id; readers: token_is_live first). */
const struct caller *caller_of(const struct http_request *request);
/* True when the caller has one of the scopes (a mask of enum scope; 0: none is needed) or admin. */
bool caller_has(const struct caller *caller, unsigned any_of);

/* Checks the token, which may need a look into the database, then that it has one of the scopes,
 * then calls the handler, or answers 401 `unauthenticated` or 403 `scope_required`. */
MUST_USE struct verdict auth_run(struct http_request *request, unsigned any_of,
                                 http_handler *handler);
/* Tells the log of a token that was let in, and has been revoked since. */
void auth_token_revoked(const struct http_request *request);
/* Runs the handler without a token. */
MUST_USE struct verdict auth_none(struct http_request *request, http_handler *handler);

#endif
