/* The promise that an answered call is never lost stands on two settings of the server, and its
 * coming back from a crash on a third. Called once, at the start, on the main thread. */
#include "store/durability.h"

#include "io/db.h"

#include <inttypes.h>
#include <stdio.h>

static enum err deny(char *wrong, const char *name, int64_t value, const char *mend)
{
    snprintf(wrong, DURABILITY_ERROR_SIZE,
             "the database server may lose commits when it crashes: its %s is %" PRId64
             "; set it to %s",
             name, value, mend);
    return ERR_DENIED;
}

enum err durability_check(struct db *db, char wrong[DURABILITY_ERROR_SIZE])
{
    static const char sql[] = "SELECT @@global.innodb_flush_log_at_trx_commit, @@global.log_bin, "
                              "@@global.sync_binlog";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_NONE, &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    int64_t flush = db_get_i64(&rows, 0), binlog = db_get_i64(&rows, 1);
    int64_t sync = db_get_i64(&rows, 2);
    db_finish(&rows);
    /* 3 syncs at each commit too, and once more. */
    if (flush != 1 && flush != 3) return deny(wrong, "innodb_flush_log_at_trx_commit", flush, "1");
    /* With a binary log a commit whose record there is lost is rolled back by the recovery. */
    if (binlog && sync != 1) return deny(wrong, "sync_binlog", sync, "1, or log_bin off");
    return ERR_OK;
}

enum err durability_redo_is_buffered(struct db *db, bool *buffered)
{
    static const char sql[] = "SELECT COUNT(*) FROM information_schema.global_variables WHERE "
                              "variable_name = 'INNODB_LOG_FILE_BUFFERING' AND "
                              "variable_value = 'OFF'";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_NONE, &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    *buffered = db_get_i64(&rows, 0) == 0;
    db_finish(&rows);
    return ERR_OK;
}
