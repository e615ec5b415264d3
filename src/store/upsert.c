/* Inserts and upserts of many rows in few statements (store/upsert.h). Called by the fold, by
 * takes, pages of rotations and new keys, on a DB thread, inside their transactions. */
#include "store/upsert.h"

#include <string.h>

enum err upsert_flush(struct upsert *upsert)
{
    size_t sent = 0;
    for (size_t size = UPSERT_SIZES; size-- > 0;) {
        size_t now = (size_t)1 << size;
        if (!(upsert->rows & now)) continue;
        enum err error =
            db_execute(upsert->db, upsert->sql[size], upsert->values + sent * upsert->width,
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
