/* Inserts and upserts of many rows in few statements: rows are gathered and sent 32 at a time, what
 * is left by powers of two, so that each connection prepares six statements only. DB thread.
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

enum { UPSERT_ROWS = 32, UPSERT_WIDTH_MAX = 18, UPSERT_SIZES = 6 };

struct upsert {
    struct db *db;
    const char *sql[UPSERT_SIZES]; /* of 1, 2, 4 … 32 rows */
    size_t width;                  /* values a row */
    size_t rows;
    struct db_value values[UPSERT_ROWS * UPSERT_WIDTH_MAX];
};

#define TIMES_2(row)  row ", " row
#define TIMES_4(row)  TIMES_2(row) ", " TIMES_2(row)
#define TIMES_8(row)  TIMES_4(row) ", " TIMES_4(row)
#define TIMES_16(row) TIMES_8(row) ", " TIMES_8(row)
#define TIMES_32(row) TIMES_16(row) ", " TIMES_16(row)
#define UPSERT_SQL(into, row, end)                                                                 \
    .sql = {into " VALUES " row end,           into " VALUES " TIMES_2(row) end,                   \
            into " VALUES " TIMES_4(row) end,  into " VALUES " TIMES_8(row) end,                   \
            into " VALUES " TIMES_16(row) end, into " VALUES " TIMES_32(row) end}
#define UPSERT(into, row, update) UPSERT_SQL(into, row, " ON DUPLICATE KEY UPDATE " update)
/* A row that is there is ERR_EXISTS. */
#define INSERT(into, row) UPSERT_SQL(into, row, "")

/* `values`: one row, `width` of them; what they point to must live until the flush. */
MUST_USE enum err upsert_add(struct upsert *upsert, const struct db_value *values);
/* Sends what has gathered. */
MUST_USE enum err upsert_flush(struct upsert *upsert);

#endif
