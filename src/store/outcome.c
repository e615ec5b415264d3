/* Ending a lost connection on the server's side. Called on a DB thread by whoever has to learn an
 * unknown outcome, on a connection of its own and outside a transaction. */
#include "store/outcome.h"

#include "base/clock.h"
#include "io/db.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { POLL_MS = 10 };

/* Whether the server was started after the connection was seen alive. */
static enum err server_is_younger(struct db *db, int64_t age_ms, bool *younger)
{
    static const char sql[] = "SELECT CAST(VARIABLE_VALUE AS UNSIGNED)"
                              " FROM information_schema.GLOBAL_STATUS"
                              " WHERE VARIABLE_NAME = 'UPTIME'";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_NONE, &rows);
    if (error) return error;
    *younger = false;
    if (db_next(&rows)) {
        /* The server counts whole seconds and rounds down. */
        *younger = (int64_t)(db_get_u64(&rows, 0) + 1) * 1000 <= age_ms;
        db_finish(&rows);
    }
    return ERR_OK;
}

static enum err is_listed(struct db *db, uint64_t id, bool *listed)
{
    static const char sql[] = "SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(id)), &rows);
    if (error) return error;
    *listed = db_next(&rows);
    if (*listed) db_finish(&rows);
    return ERR_OK;
}

enum err outcome_end_connection(struct db *db, uint64_t id, int64_t age_ms, unsigned timeout_ms)
{
    if (id == db_connection_id(db)) return ERR_OK;
    bool younger, listed;
    enum err error = server_is_younger(db, age_ms, &younger);
    if (error || younger) return error;
    int64_t deadline_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
    for (;;) {
        error = is_listed(db, id, &listed);
        if (error || !listed) return error;
        char sql[48];
        snprintf(sql, sizeof sql, "KILL %" PRIu64, id);
        /* It may end by itself between the look and the kill: the next look decides. */
        error = db_command(db, sql);
        if (error && db_is_lost(db)) return error;
        if (clock_mono_us() >= deadline_us) return ERR_TIMEOUT;
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}
