/* The customer table. Called from service/ on a DB thread. What always holds: statements here never
 * see a name or an address in the clear, and rows with deleted_at are nobody's. */
#include "store/customer.h"

#include "io/db.h"
#include "store/ids.h"
#include "store/key_word.h"
#include "store/payment_read.h"
#include "store/rotation.h"

#define COLUMNS_FROM                                                                               \
    "SELECT id, external_id, email_sealed, email_index, name_sealed, metadata, created_at,"        \
    " updated_at, openpgp_fingerprint IS NOT NULL OR smime_fingerprint IS NOT NULL, language"      \
    " FROM customer"
#define COLUMNS     COLUMNS_FROM " WHERE "
#define BY_ID       COLUMNS "id = ? AND deleted_at IS NULL"
#define BY_EXTERNAL COLUMNS "external_id = ? AND deleted_at IS NULL"

static struct db_value optional_bytes(struct span bytes)
{
    return bytes.data ? db_span(bytes) : db_null();
}

enum err customer_insert(struct db *db, const struct customer_row *row)
{
    static const char sql[] =
        "INSERT INTO customer (id, external_id, email_sealed, email_index, name_sealed, metadata,"
        " created_at, updated_at, language) VALUES (?,?,?,?,?,?,?,?,?)";
    return db_execute(db, sql,
                      DB_VALUES(db_u64(row->id), db_text(row->external_id),
                                optional_bytes(row->email_sealed), optional_bytes(row->email_index),
                                optional_bytes(row->name_sealed), db_text(row->metadata),
                                db_i64(row->created_at), db_i64(row->updated_at),
                                db_text(row->language)),
                      NULL);
}

static bool copy_bytes(const struct db_rows *rows, size_t column, struct arena *arena,
                       struct span *out)
{
    *out = (struct span){0};
    if (db_is_null(rows, column)) return true;
    struct span bytes = db_get_span(rows, column);
    char *copy = arena_copy(arena, bytes);
    *out = span_of(copy, bytes.length);
    return copy != NULL;
}

static enum err row_take(const struct db_rows *rows, struct arena *arena, struct customer_row *row)
{
    *row = (struct customer_row){
        .id = db_get_u64(rows, 0),
        .external_id = db_get_text(rows, 1, arena),
        .metadata = db_get_text(rows, 5, arena),
        .created_at = db_get_i64(rows, 6),
        .updated_at = db_get_i64(rows, 7),
        .encrypts = db_get_i64(rows, 8) != 0,
        .language = db_get_text(rows, 9, arena),
    };
    bool whole = row->metadata && copy_bytes(rows, 2, arena, &row->email_sealed) &&
                 copy_bytes(rows, 3, arena, &row->email_index) &&
                 copy_bytes(rows, 4, arena, &row->name_sealed);
    return whole ? ERR_OK : ERR_NO_MEMORY;
}

static enum err read_row(struct db_rows *rows, struct arena *arena, struct customer_row *row)
{
    if (!db_next(rows)) return ERR_NOT_FOUND;
    enum err error = row_take(rows, arena, row);
    db_finish(rows);
    return error;
}

static enum err read_by(struct db *db, const char *by_id, const char *by_external,
                        const struct customer_name *name, struct arena *arena,
                        struct customer_row *row)
{
    struct db_value value = name->id ? db_u64(name->id) : db_span(name->external_id);
    struct db_rows rows;
    enum err error = db_query(db, name->id ? by_id : by_external, &value, 1, &rows);
    return error ? error : read_row(&rows, arena, row);
}

enum err customer_lock(struct db *db, const struct customer_name *name, struct arena *arena,
                       struct customer_row *row)
{
    static const char by_id[] = BY_ID " FOR UPDATE";
    static const char by_external[] = BY_EXTERNAL " FOR UPDATE";
    return read_by(db, by_id, by_external, name, arena, row);
}

enum err customer_lock_by_key(struct db *db, uint64_t key_id, uint64_t *customer_id)
{
    static const char sql[] = "SELECT id FROM customer WHERE id ="
                              " (SELECT customer_id FROM api_key WHERE id = ?) FOR UPDATE";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(key_id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    *customer_id = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

struct locked {
    struct arena *arena;
    struct customer_row *rows;
    size_t *found;
};

static enum err locked_add(const struct db_rows *rows, void *context)
{
    struct locked *locked = context;
    return row_take(rows, locked->arena, &locked->rows[(*locked->found)++]);
}

/* Never by a look at the whole table, which would wait for the rows of others too. */
enum err customer_lock_each(struct db *db, const uint64_t *ids, size_t count, struct arena *arena,
                            struct customer_row *rows, size_t *found)
{
    static const char sql[] = COLUMNS_FROM " FORCE INDEX (PRIMARY) WHERE id IN " THESE_IDS
                                           " AND deleted_at IS NULL ORDER BY id FOR UPDATE";
    struct locked locked = {arena, rows, found};
    *found = 0;
    return ids_query(db, sql, ids, count, locked_add, &locked);
}

enum err customer_try_lock(struct db *db, const uint64_t *ids, size_t count, struct arena *arena,
                           struct customer_row *rows, size_t *found)
{
    static const char sql[] =
        COLUMNS "id IN " THESE_IDS " AND deleted_at IS NULL FOR UPDATE SKIP LOCKED";
    struct locked locked = {arena, rows, found};
    *found = 0;
    return ids_query(db, sql, ids, count, locked_add, &locked);
}

enum err customer_find(struct db *db, const struct customer_name *name, struct arena *arena,
                       struct customer_row *row)
{
    static const char by_id[] = BY_ID;
    static const char by_external[] = BY_EXTERNAL;
    return read_by(db, by_id, by_external, name, arena, row);
}

enum err customer_update(struct db *db, const struct customer_row *row)
{
    static const char sql[] = "UPDATE customer SET email_sealed = ?, email_index = ?,"
                              " name_sealed = ?, metadata = ?, updated_at = ?, language = ?"
                              " WHERE id = ?";
    return db_execute(db, sql,
                      DB_VALUES(optional_bytes(row->email_sealed), optional_bytes(row->email_index),
                                optional_bytes(row->name_sealed), db_text(row->metadata),
                                db_i64(row->updated_at), db_text(row->language), db_u64(row->id)),
                      NULL);
}

enum err customer_erase(struct db *db, uint64_t id, int64_t now_ms)
{
    static const char customer[] =
        "UPDATE customer SET external_id = NULL, email_sealed = NULL, email_index = NULL,"
        " name_sealed = NULL, openpgp_sealed = NULL, openpgp_fingerprint = NULL,"
        " openpgp_ends_at = NULL, smime_sealed = NULL, smime_fingerprint = NULL,"
        " smime_ends_at = NULL, encryption_tell_at = NULL, metadata = '{}', language = NULL,"
        " updated_at = ?, deleted_at = ? WHERE id = ?";
    static const char entitlement[] = "UPDATE entitlement SET reference = NULL,"
                                      " resolved_reference = NULL, look_at = NULL, updated_at = ?"
                                      " WHERE customer_id = ?";
    static const char notes[] = "UPDATE payment_approval SET note = '' WHERE customer_id = ?";
    static const char keys[] =
        "UPDATE api_key SET title = '', description = '', metadata = '{}',"
        " revoked_at = COALESCE(revoked_at, ?), updated_at = ? WHERE customer_id = ?";
    enum err error =
        db_execute(db, customer, DB_VALUES(db_i64(now_ms), db_i64(now_ms), db_u64(id)), NULL);
    if (!error) error = db_execute(db, entitlement, DB_VALUES(db_i64(now_ms), db_u64(id)), NULL);
    if (!error) error = db_execute(db, notes, DB_VALUES(db_u64(id)), NULL);
    if (!error) error = payment_read_end(db, id);
    if (!error) error = key_word_erase(db, id);
    if (!error)
        error = db_execute(db, keys, DB_VALUES(db_i64(now_ms), db_i64(now_ms), db_u64(id)), NULL);
    return error ? error : rotation_erase(db, id, now_ms);
}
