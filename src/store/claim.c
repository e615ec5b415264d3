/* The claim table. Called by the operations that make, use and end links, on the committer's
 * thread, and by the look before a reveal on a reader's. What always holds: a link is used at most
 * once, and the first that is used ends all others to the same secret. */
#include "store/claim.h"

#include "io/db.h"
#include "store/upsert.h"

#include <string.h>

enum err claim_insert(struct db *db, const struct claim_row *rows, size_t count)
{
    struct upsert links = {
        .db = db,
        .width = 5,
        INSERT("INSERT INTO claim (hash, key_id, generation, issued_at, expires_at)",
               "(?,?,?,?,?)")};
    enum err error = ERR_OK;
    for (const struct claim_row *row = rows; !error && row < rows + count; row++)
        error = upsert_add(
            &links, (struct db_value[]){db_bytes(row->hash, sizeof row->hash), db_u64(row->key_id),
                                        db_u64(row->generation), db_i64(row->issued_at),
                                        row->expires_at ? db_i64(row->expires_at) : db_null()});
    return error ? error : upsert_flush(&links);
}

enum err claim_find(struct db *db, const unsigned char hash[32], struct claim_row *row)
{
    static const char sql[] =
        "SELECT c.key_id, c.generation, c.issued_at, c.expires_at, c.used_at, c.ended_at,"
        " k.customer_id FROM claim c JOIN api_key k ON k.id = c.key_id WHERE c.hash = ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_bytes(hash, 32)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    *row = (struct claim_row){
        .key_id = db_get_u64(&rows, 0),
        .generation = (uint32_t)db_get_u64(&rows, 1),
        .issued_at = db_get_i64(&rows, 2),
        .expires_at = db_get_i64(&rows, 3),
        .used_at = db_get_i64(&rows, 4),
        .ended_at = db_get_i64(&rows, 5),
        .customer_id = db_get_u64(&rows, 6),
    };
    memcpy(row->hash, hash, sizeof row->hash);
    db_finish(&rows);
    return ERR_OK;
}

enum err claim_use(struct db *db, const unsigned char hash[32], int64_t now_ms)
{
    static const char sql[] = "UPDATE claim SET used_at = ?, ended_at = ? WHERE hash = ?"
                              " AND ended_at IS NULL AND (expires_at IS NULL OR expires_at > ?)";
    uint64_t changed = 0;
    enum err error = db_execute(
        db, sql, DB_VALUES(db_i64(now_ms), db_i64(now_ms), db_bytes(hash, 32), db_i64(now_ms)),
        &changed);
    if (error) return error;
    return changed == 1 ? ERR_OK : ERR_NOT_FOUND;
}

enum err claim_end(struct db *db, uint64_t key_id, int64_t now_ms)
{
    static const char sql[] = "UPDATE claim SET ended_at = ? WHERE key_id = ? AND ended_at IS NULL";
    return db_execute(db, sql, DB_VALUES(db_i64(now_ms), db_u64(key_id)), NULL);
}

enum err claim_count(struct db *db, uint64_t key_id, uint32_t generation, uint32_t *made,
                     bool *live, int64_t *first_at)
{
    static const char sql[] = "SELECT COUNT(*), CAST(COALESCE(SUM(ended_at IS NULL), 0) AS SIGNED),"
                              " MIN(issued_at)"
                              " FROM claim WHERE key_id = ? AND generation = ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(key_id), db_u64(generation)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    *made = (uint32_t)db_get_u64(&rows, 0);
    *live = db_get_i64(&rows, 1) > 0;
    *first_at = db_get_i64(&rows, 2);
    db_finish(&rows);
    return ERR_OK;
}

enum err claim_waiting_since(struct db *db, uint64_t key_id, uint32_t generation, int64_t *since)
{
    static const char sql[] = "SELECT MIN(issued_at) FROM claim WHERE key_id = ?"
                              " AND generation = ? AND ended_at IS NULL";
    struct db_rows rows;
    *since = 0;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(key_id), db_u64(generation)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    if (!db_is_null(&rows, 0)) *since = db_get_i64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}
