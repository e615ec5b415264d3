/* Roles and rights. Called by the pages of the dashboard and by the tools, on any thread. What
 * always holds: each role may all that the one before it may. */
#include "core/admin_role.h"

static const char *const names[ADMIN_ROLES] = {"auditor", "support", "admin", "owner"};

const char *admin_role_name(enum admin_role role)
{
    return names[role];
}

bool admin_role_parse(struct span text, enum admin_role *role)
{
    for (unsigned i = 0; i < ADMIN_ROLES; i++) {
        if (!span_is(text, names[i])) continue;
        *role = (enum admin_role)i;
        return true;
    }
    return false;
}

bool admin_role_may(enum admin_role role, enum admin_right right)
{
    switch (right) {
    case RIGHT_READ:
        return true;
    case RIGHT_HELP:
        return role >= ADMIN_SUPPORT;
    case RIGHT_MANAGE:
        return role >= ADMIN_ADMIN;
    case RIGHT_APPOINT:
        return role >= ADMIN_OWNER;
    }
    return false;
}
