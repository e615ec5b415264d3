/* Statements over many rows (store/upsert.h). Called by the fold, by takes and by pages of
 * rotations, on a DB thread, inside their transactions. */
#include "store/upsert.h"

#include <string.h>

enum err upsert_flush(struct upsert *upsert)
{
    size_t sent = 0;
    while (sent < upsert->rows) {
        size_t left = upsert->rows - sent;
        size_t now = left >= UPSERT_ROWS ? UPSERT_ROWS : left >= 8 ? 8 : 1;
        const char *sql = now == UPSERT_ROWS ? upsert->by_32
                          : now == 8         ? upsert->by_8
                                             : upsert->by_1;
        enum err error = db_execute(upsert->db, sql, upsert->values + sent * upsert->width,
                                    now * upsert->width, NULL);
        if (error) return error;
        sent += now;
    }
    upsert->rows = 0;
    return ERR_OK;
}

enum err upsert_add(struct upsert *upsert, const struct db_value *values)
{
    memcpy(upsert->values + upsert->rows * upsert->width, values, upsert->width * sizeof *values);
    return ++upsert->rows == UPSERT_ROWS ? upsert_flush(upsert) : ERR_OK;
}
