/* What people at the dashboard may do, by their role. Pure, any thread.
 *
 * auditor  reads
 * support  reads; rotates and regenerates keys with delivery to the customer, so that it never sees
 *          a secret; sends notices again
 * admin    all of that, and keys, customers, tiers, tokens
 * owner    all of that, and who is an admin */
#ifndef KEYMETER_CORE_ADMIN_ROLE_H
#define KEYMETER_CORE_ADMIN_ROLE_H

#include "base/compiler.h"
#include "base/span.h"

#include <stdbool.h>

enum admin_role { ADMIN_AUDITOR, ADMIN_SUPPORT, ADMIN_ADMIN, ADMIN_OWNER };
enum { ADMIN_ROLES = 4 };

enum admin_right {
    RIGHT_READ,    /* every page but the admins' */
    RIGHT_HELP,    /* what support does for a customer */
    RIGHT_MANAGE,  /* keys, customers, tiers, tokens, alerts */
    RIGHT_APPOINT, /* admins */
};

const char *admin_role_name(enum admin_role role);
/* False: there is no such role. */
MUST_USE bool admin_role_parse(struct span text, enum admin_role *role);
MUST_USE bool admin_role_may(enum admin_role role, enum admin_right right);

#endif
