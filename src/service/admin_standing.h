/* What an admin was let in by, looked for again in the transaction of what they asked for: between
 * the two they may have been signed out, disabled or given another role. */
#ifndef KEYMETER_SERVICE_ADMIN_STANDING_H
#define KEYMETER_SERVICE_ADMIN_STANDING_H

#include "base/compiler.h"
#include "base/err.h"
#include "core/admin_role.h"

#include <stdint.h>

struct db;
struct operation;

/* http_request.standing points to one, which lives as the request. */
struct admin_standing {
    uint64_t admin_id, session_id;
    enum admin_role role;
};

/* operation.admit, with the standing as its context. DB thread. */
MUST_USE enum err admin_standing_admit(struct db *db, struct operation *operation);

#endif
