/* Reading by many ids (store/ids.h). Called by pages of rotations on the committer's thread. One
 * statement a connection whatever the number of ids: the list has one length. */
#include "store/ids.h"

enum { IDS_MAX = 32 };

static enum err chunk_query(struct db *db, const char *sql, const uint64_t *ids, size_t count,
                            ids_row_fn add, void *context)
{
    struct db_value values[IDS_MAX];
    struct db_rows rows;
    for (size_t i = 0; i < IDS_MAX; i++)
        values[i] = db_u64(ids[i < count ? i : count - 1]);
    enum err error = db_query(db, sql, values, IDS_MAX, &rows);
    while (!error && db_next(&rows))
        error = add(&rows, context);
    db_finish(&rows);
    return error;
}

enum err ids_query(struct db *db, const char *sql, const uint64_t *ids, size_t count,
                   ids_row_fn add, void *context)
{
    enum err error = ERR_OK;
    for (size_t at = 0; !error && at < count; at += IDS_MAX)
        error = chunk_query(db, sql, ids + at, count - at < IDS_MAX ? count - at : IDS_MAX, add,
                            context);
    return error;
}
