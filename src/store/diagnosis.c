/* Called by the API from a job of the readers. What always holds: it reads small or indexed tables
 * only, and locks nothing. */
#include "store/diagnosis.h"

#include "io/db.h"

#include <stdio.h>

static enum err counts_read(struct db *db, struct diagnosis *out)
{
    static const char sql[] = "SELECT (SELECT COUNT(*) FROM outbox WHERE state = 'dead'),"
                              " (SELECT COUNT(*) FROM alert WHERE open = 1)";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_NONE, &rows);
    if (error || !db_next(&rows)) return error ? error : ERR_DB;
    out->mails_dead = db_get_u64(&rows, 0);
    out->alerts_open = db_get_u64(&rows, 1);
    db_finish(&rows);
    return ERR_OK;
}

enum err diagnosis_read(struct db *db, struct diagnosis *out)
{
    static const char sql[] =
        "SELECT m.name, h.sent_at FROM node n JOIN node_name m ON m.id = n.id"
        " JOIN node_heartbeat h ON h.node = n.id AND h.incarnation = n.incarnation"
        " WHERE n.fenced = 0 ORDER BY m.name LIMIT ?";
    struct db_rows rows;
    *out = (struct diagnosis){0};
    enum err error = counts_read(db, out);
    if (!error) error = db_query(db, sql, DB_VALUES(db_u64(DIAGNOSIS_NODES_MAX)), &rows);
    if (error) return error;
    while (out->node_count < DIAGNOSIS_NODES_MAX && db_next(&rows)) {
        struct diagnosis_node *node = &out->nodes[out->node_count++];
        struct span name = db_get_span(&rows, 0);
        snprintf(node->name, sizeof node->name, "%.*s", (int)name.length, name.data);
        node->heard_ms = db_get_i64(&rows, 1);
    }
    db_finish(&rows);
    return ERR_OK;
}
