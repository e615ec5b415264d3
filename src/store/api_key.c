/* The tables api_key, key_secret and key_hash. Called from service/ on a DB thread, inside the
 * transaction that also appends the feed rows. What always holds: a secret's row and its hash come
 * and go together, and exactly one secret of a key has no end; one that was replaced and works
 * until its retirement has SECRET_END_OPEN (core/rotation.h). */
#include "store/api_key.h"

#include "io/db.h"
#include "store/ids.h"
#include "store/upsert.h"

static struct db_value optional_time(int64_t wall_ms)
{
    return wall_ms ? db_i64(wall_ms) : db_null();
}

static struct db_value cap_of(const struct api_key_row *row)
{
    return row->has_monthly_cap ? db_u64(row->monthly_cap) : db_null();
}

static enum err row_take(const struct db_rows *rows, struct arena *arena, struct api_key_row *row)
{
    *row = (struct api_key_row){
        .id = db_get_u64(rows, 19),
        .customer_id = db_get_u64(rows, 0),
        .title = db_get_text(rows, 1, arena),
        .description = db_get_text(rows, 2, arena),
        .environment = db_get_text(rows, 3, arena),
        .label = db_get_text(rows, 4, arena),
        .permissions = db_get_text(rows, 5, arena),
        .rate_limits = db_get_text(rows, 6, arena),
        .allowed_networks = db_get_text(rows, 7, arena),
        .metadata = db_get_text(rows, 8, arena),
        .has_monthly_cap = !db_is_null(rows, 9),
        .monthly_cap = db_get_u64(rows, 9),
        .disabled = db_get_i64(rows, 10) != 0,
        .suspended = db_get_i64(rows, 11) != 0,
        .revoked_at = db_get_i64(rows, 12),
        .expires_at = db_get_i64(rows, 13),
        .rotates_at = db_get_i64(rows, 14),
        .secret_version = (uint32_t)db_get_u64(rows, 15),
        .created_at = db_get_i64(rows, 16),
        .updated_at = db_get_i64(rows, 17),
        .rotation_off = db_get_i64(rows, 18) != 0,
    };
    bool whole = row->title && row->description && row->environment && row->label &&
                 row->permissions && row->rate_limits && row->allowed_networks && row->metadata;
    return whole ? ERR_OK : ERR_NO_MEMORY;
}

static enum err read_by(struct db *db, const char *sql, uint64_t id, struct arena *arena,
                        struct api_key_row *row)
{
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    error = row_take(&rows, arena, row);
    db_finish(&rows);
    return error;
}

#define FIND_SQL                                                                                   \
    "SELECT customer_id, title, description, environment, label, permissions, rate_limits,"        \
    " allowed_networks, metadata, monthly_cap, disabled, suspended, revoked_at, expires_at,"       \
    " rotates_at, secret_version, created_at, updated_at, rotation_off, id FROM api_key WHERE "

enum err api_key_find(struct db *db, uint64_t id, struct arena *arena, struct api_key_row *row)
{
    static const char sql[] = FIND_SQL "id = ?";
    return read_by(db, sql, id, arena, row);
}

enum err api_key_lock(struct db *db, uint64_t id, struct arena *arena, struct api_key_row *row)
{
    static const char sql[] = FIND_SQL "id = ? FOR UPDATE";
    return read_by(db, sql, id, arena, row);
}

struct locked {
    struct arena *arena;
    struct api_key_row *rows;
    size_t *found;
};

static enum err locked_add(const struct db_rows *rows, void *context)
{
    struct locked *locked = context;
    return row_take(rows, locked->arena, &locked->rows[(*locked->found)++]);
}

enum err api_key_try_lock(struct db *db, const uint64_t *ids, size_t count, struct arena *arena,
                          struct api_key_row *rows, size_t *found)
{
    static const char sql[] = FIND_SQL "id IN " THESE_IDS " FOR UPDATE SKIP LOCKED";
    struct locked locked = {arena, rows, found};
    *found = 0;
    return ids_query(db, sql, ids, count, locked_add, &locked);
}

enum err api_key_update(struct db *db, const struct api_key_row *row)
{
    static const char sql[] =
        "UPDATE api_key SET title = ?, description = ?, permissions = ?, rate_limits = ?,"
        " monthly_cap = ?, allowed_networks = ?, metadata = ?, disabled = ?, suspended = ?,"
        " revoked_at = ?, expires_at = ?, rotates_at = ?, secret_version = ?, updated_at = ?,"
        " rotation_off = ? WHERE id = ?";
    return db_execute(
        db, sql,
        DB_VALUES(db_text(row->title), db_text(row->description), db_text(row->permissions),
                  db_text(row->rate_limits), cap_of(row), db_text(row->allowed_networks),
                  db_text(row->metadata), db_i64(row->disabled), db_i64(row->suspended),
                  optional_time(row->revoked_at), optional_time(row->expires_at),
                  optional_time(row->rotates_at), db_u64(row->secret_version),
                  db_i64(row->updated_at), db_i64(row->rotation_off), db_u64(row->id)),
        NULL);
}

enum err api_key_count(struct db *db, uint64_t customer_id, uint32_t at_most, uint32_t *count)
{
    static const char sql[] =
        "SELECT COUNT(*) FROM (SELECT 1 FROM api_key WHERE customer_id = ? AND revoked_at IS NULL"
        " LIMIT ?) some";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(customer_id), db_u64(at_most)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    *count = (uint32_t)db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

struct counts {
    const uint64_t *ids;
    size_t count;
    uint32_t *counts;
};

static enum err counts_add(const struct db_rows *rows, void *context)
{
    const struct counts *to = context;
    for (size_t i = 0; i < to->count; i++)
        if (to->ids[i] == db_get_u64(rows, 0)) to->counts[i] = (uint32_t)db_get_u64(rows, 1);
    return ERR_OK;
}

enum err api_key_count_each(struct db *db, const uint64_t *customer_ids, size_t count,
                            uint32_t *counts)
{
    static const char sql[] = "SELECT customer_id, COUNT(*) FROM api_key FORCE INDEX (living)"
                              " WHERE customer_id IN " THESE_IDS " AND revoked_at IS NULL"
                              " GROUP BY customer_id";
    struct counts to = {customer_ids, count, counts};
    memset(counts, 0, count * sizeof *counts);
    return ids_query(db, sql, customer_ids, count, counts_add, &to);
}

enum err key_secret_insert(struct db *db, const struct key_secret_row *rows, size_t count)
{
    struct upsert secrets = {.db = db,
                             .width = 6,
                             INSERT("INSERT INTO key_secret (id, key_id, version, start,"
                                    " fingerprint, created_at)",
                                    "(?,?,?,?,?,?)")};
    struct upsert hashes = {
        .db = db,
        .width = 4,
        INSERT("INSERT INTO key_hash (hash, algorithm, pepper_id, secret_id)", "(?,?,?,?)")};
    enum err error = ERR_OK;
    for (const struct key_secret_row *row = rows; !error && row < rows + count; row++) {
        error = upsert_add(&secrets,
                           (struct db_value[]){db_u64(row->id), db_u64(row->key_id),
                                               db_u64(row->version), db_text(row->start),
                                               db_text(row->fingerprint), db_i64(row->created_at)});
        if (!error)
            error =
                upsert_add(&hashes, (struct db_value[]){db_bytes(row->hash, sizeof row->hash),
                                                        db_text(row->algorithm),
                                                        db_text(row->pepper_id), db_u64(row->id)});
    }
    if (!error) error = upsert_flush(&secrets);
    return error ? error : upsert_flush(&hashes);
}

enum err key_secret_retire(struct db *db, uint64_t key_id, int64_t expires_at)
{
    static const char sql[] =
        "UPDATE key_secret SET expires_at = ? WHERE key_id = ? AND expires_at IS NULL";
    return db_execute(db, sql, DB_VALUES(db_i64(expires_at), db_u64(key_id)), NULL);
}

enum err key_secret_remove(struct db *db, uint64_t key_id, uint32_t version, int64_t ended_by,
                           uint64_t *removed)
{
    static const char hashes[] = "DELETE key_hash FROM key_secret JOIN key_hash"
                                 " ON key_hash.secret_id = key_secret.id"
                                 " WHERE key_secret.key_id = ? AND key_secret.version < ?"
                                 " AND (key_secret.expires_at <= ? OR ? = 0)";
    static const char secrets[] = "DELETE FROM key_secret WHERE key_id = ? AND version < ?"
                                  " AND (expires_at <= ? OR ? = 0)";
    const struct db_value values[] = {db_u64(key_id), db_u64(version), db_i64(ended_by),
                                      db_i64(ended_by)};
    enum err error = db_execute(db, hashes, values, COUNT_OF(values), NULL);
    if (error) return error;
    return db_execute(db, secrets, values, COUNT_OF(values), removed);
}

enum err key_secret_overlaps(struct db *db, uint64_t key_id, int64_t now_ms, bool *overlaps)
{
    static const char sql[] = "SELECT 1 FROM key_secret WHERE key_id = ? AND expires_at > ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(key_id), db_i64(now_ms)), &rows);
    if (error) return error;
    *overlaps = db_next(&rows);
    if (*overlaps) db_finish(&rows);
    return ERR_OK;
}

enum err key_hash_find(struct db *db, const unsigned char hash[32], const char *algorithm,
                       const char *pepper_id, uint64_t *key_id)
{
    static const char sql[] =
        "SELECT s.key_id FROM key_hash h JOIN key_secret s ON s.id = h.secret_id"
        " WHERE h.hash = ? AND h.algorithm = ? AND h.pepper_id = ?";
    struct db_rows rows;
    enum err error = db_query(
        db, sql, DB_VALUES(db_bytes(hash, 32), db_text(algorithm), db_text(pepper_id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    *key_id = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}
