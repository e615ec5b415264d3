/* Reads the clocks of the database's server and of the other nodes. Called by the rotation's own
 * job on its DB thread. What always holds: the values are compared, never written. */
#include "store/database_clock.h"

#include "io/db.h"

enum err other_clocks_read(struct db *db, unsigned node, struct other_clocks *out)
{
    static const char sql[] =
        "SELECT CAST(@@timestamp * 1000 AS SIGNED), COALESCE((SELECT MAX(h.sent_at)"
        " FROM node_heartbeat h JOIN node n ON n.id = h.node AND n.incarnation = h.incarnation"
        " WHERE n.fenced = 0 AND n.id <> ?), 0)";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(node)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    *out = (struct other_clocks){db_get_i64(&rows, 0), db_get_i64(&rows, 1)};
    db_finish(&rows);
    return ERR_OK;
}
