/* The second look at who asks by the dashboard. Called by the committer within the operation's
 * transaction, on its thread; the first look is the gate's (api/admin_gate.c). What always holds:
 * nothing is done by a session that was ended, or by a role that was taken away, before the
 * transaction began. */
#include "service/admin_standing.h"

#include "service/operation.h"
#include "store/admin_session.h"

enum err admin_standing_admit(struct db *db, struct operation *operation)
{
    const struct admin_standing *standing = operation->admit_context;
    enum admin_role role;
    enum err error =
        admin_session_role(db, standing->admin_id, standing->session_id, operation->now_ms, &role);
    if (error == ERR_NOT_FOUND)
        return problem_set(&operation->problem, 401, "session_ended",
                           "Your session has ended; nothing was done. Sign in again.");
    if (error || role == standing->role) return error;
    return problem_set(&operation->problem, 403, "role_changed",
                       "Your role was changed meanwhile; nothing was done.");
}
