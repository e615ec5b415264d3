/* Sessions of admins at the dashboard, found by the hash of their cookie. DB thread. */
#ifndef KEYMETER_STORE_ADMIN_SESSION_H
#define KEYMETER_STORE_ADMIN_SESSION_H

#include "store/admin.h"

enum { ADMIN_AGENT_MAX = 200 };

struct admin_session_row {
    uint64_t id, admin_id;
    unsigned char hash[32];
    bool waiting; /* for the second factor: good for nothing else */
    char address[46], agent[ADMIN_AGENT_MAX + 1];
    int64_t created_at, seen_at, ends_at;
};

/* Also forgets those that have ended. */
MUST_USE enum err admin_session_insert(struct db *db, const struct admin_session_row *row);
/* Of an admin who is not disabled; ERR_NOT_FOUND: unknown, ended or idle for too long. */
MUST_USE enum err admin_session_find(struct db *db, const unsigned char hash[32], int64_t now_ms,
                                     struct arena *arena, struct admin_session_row *session,
                                     struct admin_row *admin);
/* Locks both against changes until the transaction's end. ERR_NOT_FOUND: the session has ended, or
 * its admin is disabled. */
MUST_USE enum err admin_session_role(struct db *db, uint64_t admin_id, uint64_t id, int64_t now_ms,
                                     enum admin_role *role);
MUST_USE enum err admin_session_touch(struct db *db, uint64_t id, int64_t now_ms);
/* ERR_NOT_FOUND: that admin has no such session. */
MUST_USE enum err admin_session_delete(struct db *db, uint64_t admin_id, uint64_t id);
/* All of the admin but one (0: all). */
MUST_USE enum err admin_session_delete_all(struct db *db, uint64_t admin_id, uint64_t but);
/* Those that are live, newest first. */
MUST_USE enum err admin_session_list(struct db *db, uint64_t admin_id, int64_t now_ms,
                                     struct arena *arena, struct admin_session_row **rows,
                                     size_t *count);

#endif
