/* Inserts and upserts of many rows in few statements: rows are gathered and sent 32 at a time, what
 * is left by eights and ones, so that each connection prepares three statements only. DB thread.
 *
 *     struct upsert upsert = {.db = db, .width = 2, UPSERT("INSERT INTO t (id, n)", "(?, ?)",
 *                                                          "n = n + VALUES(n)")};
 *     for (...) upsert_add(&upsert, (struct db_value[]){db_u64(id), db_i64(n)});
 *     upsert_flush(&upsert);
 *
 * Rows reach the table in the order in which they were added. */
#ifndef KEYMETER_STORE_UPSERT_H
#define KEYMETER_STORE_UPSERT_H

#include "io/db.h"

enum { UPSERT_ROWS = 32, UPSERT_WIDTH_MAX = 14 };

struct upsert {
    struct db *db;
    const char *by_32, *by_8, *by_1;
    size_t width; /* values a row */
    size_t rows;
    struct db_value values[UPSERT_ROWS * UPSERT_WIDTH_MAX];
};

#define TIMES_8(row)  row ", " row ", " row ", " row ", " row ", " row ", " row ", " row
#define TIMES_32(row) TIMES_8(row) ", " TIMES_8(row) ", " TIMES_8(row) ", " TIMES_8(row)
#define UPSERT(into, row, update)                                                                  \
    .by_32 = into " VALUES " TIMES_32(row) " ON DUPLICATE KEY UPDATE " update,                     \
    .by_8 = into " VALUES " TIMES_8(row) " ON DUPLICATE KEY UPDATE " update,                       \
    .by_1 = into " VALUES " row " ON DUPLICATE KEY UPDATE " update
/* A row that is there is ERR_EXISTS. */
#define INSERT(into, row)                                                                          \
    .by_32 = into " VALUES " TIMES_32(row), .by_8 = into " VALUES " TIMES_8(row),                  \
    .by_1 = into " VALUES " row

/* `values`: one row, `width` of them; what they point to must live until the flush. */
MUST_USE enum err upsert_add(struct upsert *upsert, const struct db_value *values);
/* Sends what has gathered. */
MUST_USE enum err upsert_flush(struct upsert *upsert);

#endif
