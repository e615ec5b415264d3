/* Reading the rows of many ids in few statements, 32 ids a time. DB thread.
 *
 *     static enum err row_add(const struct db_rows *rows, void *context);
 *     ids_query(db, "SELECT … WHERE id IN " THESE_IDS, ids, count, row_add, &context);
 */
#ifndef KEYMETER_STORE_IDS_H
#define KEYMETER_STORE_IDS_H

#include "base/compiler.h"
#include "io/db.h"
#include "store/upsert.h"

#define THESE_IDS "(" TIMES_32("?") ")"

typedef enum err (*ids_row_fn)(const struct db_rows *rows, void *context);

/* `sql` takes 32 ids and nothing else; a short list is filled up with its last one. Each row goes
 * to `add`, whose error ends it. */
MUST_USE enum err ids_query(struct db *db, const char *sql, const uint64_t *ids, size_t count,
                            ids_row_fn add, void *context);

#endif
