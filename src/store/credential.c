/* The record of the master keys and peppers that the database's rows were made with. Called once at
 * start. Always holds: what stands in the database can be opened by the keys of a daemon that runs
 * on it, and a daemon never writes with a key that the database does not know. */
#include "store/credential.h"

#include "crypto/keyring.h"
#include "io/db.h"
#include "store/migrate.h"

#include <stdio.h>
#include <string.h>

enum { ERROR_SIZE = 256 };

/* Two daemons that start on the same empty schema come one after the other. */
static const char lock_sql[] = "SELECT id FROM feed_head WHERE id = 1 FOR UPDATE";
static const char read_sql[] = "SELECT id, check_value FROM credential WHERE kind = ?";
static const char add_sql[] =
    "INSERT INTO credential (kind, id, check_value, created_at) VALUES (?, ?, ?, ?)";

static const char *file_setting(const char *kind)
{
    return strcmp(kind, KEYRING_MASTER) == 0 ? "keys.master_key_file" : "keys.pepper_file";
}

static enum err lock(struct db *db)
{
    struct db_rows rows;
    enum err error = db_query(db, lock_sql, DB_NONE, &rows);
    if (!error) db_finish(&rows);
    return error;
}

static enum err record(struct db *db, const struct keyring *keyring, const char *kind,
                       int64_t now_ms)
{
    enum err error = ERR_OK;
    for (unsigned i = 0; !error && i < keyring_count(keyring, kind); i++) {
        unsigned char check[KEYRING_CHECK_SIZE];
        const char *id = keyring_id_at(keyring, kind, i);
        error = keyring_check_value(keyring, kind, id, check);
        if (error) return error;
        error = db_execute(
            db, add_sql,
            DB_VALUES(db_text(kind), db_text(id), db_bytes(check, sizeof check), db_i64(now_ms)),
            NULL);
    }
    return error;
}

/* One row of the database against the keyring. */
static enum err compare(const struct keyring *keyring, const char *kind, const struct db_rows *rows,
                        unsigned *known, char error_text[ERROR_SIZE])
{
    struct span id = db_get_span(rows, 0);
    for (unsigned i = 0; i < keyring_count(keyring, kind); i++) {
        unsigned char check[KEYRING_CHECK_SIZE];
        const char *mine = keyring_id_at(keyring, kind, i);
        if (!span_is(id, mine)) continue;
        enum err error = keyring_check_value(keyring, kind, mine, check);
        if (error) return error;
        (*known)++;
        if (span_equal(db_get_span(rows, 1), span_of(check, sizeof check))) return ERR_OK;
        snprintf(
            error_text, ERROR_SIZE,
            "%s holds another %s key under the id %s than the one this database was made with; "
            "restore the file",
            file_setting(kind), kind, mine);
        return ERR_DENIED;
    }
    snprintf(
        error_text, ERROR_SIZE,
        "this database was made with the %s key %.*s, which %s does not hold; restore the file "
        "that does",
        kind, (int)id.length, id.data, file_setting(kind));
    return ERR_DENIED;
}

static enum err verify(struct db *db, const struct keyring *keyring, const char *kind,
                       char error_text[ERROR_SIZE])
{
    struct db_rows rows;
    unsigned known = 0;
    enum err error = db_query(db, read_sql, DB_VALUES(db_text(kind)), &rows);
    if (error) return error;
    while (!error && db_next(&rows)) {
        error = compare(keyring, kind, &rows, &known, error_text);
    }
    db_finish(&rows);
    if (error || known == keyring_count(keyring, kind)) return error;
    snprintf(error_text, ERROR_SIZE,
             "%s holds a %s key that this database does not know; it belongs to another database",
             file_setting(kind), kind);
    return ERR_DENIED;
}

static enum err check_in_transaction(struct db *db, const struct keyring *keyring, int64_t now_ms,
                                     char error_text[ERROR_SIZE])
{
    bool empty;
    enum err error = lock(db);
    if (!error) error = migrate_is_empty(db, &empty);
    if (error) return error;
    if (empty) {
        error = record(db, keyring, KEYRING_MASTER, now_ms);
        return error ? error : record(db, keyring, KEYRING_PEPPER, now_ms);
    }
    error = verify(db, keyring, KEYRING_MASTER, error_text);
    return error ? error : verify(db, keyring, KEYRING_PEPPER, error_text);
}

static enum err check_once(struct db *db, const struct keyring *keyring, int64_t now_ms,
                           char error_text[ERROR_SIZE])
{
    error_text[0] = '\0';
    enum err error = db_begin(db);
    if (!error) error = check_in_transaction(db, keyring, now_ms, error_text);
    if (!error) error = db_commit(db);
    if (error) db_rollback(db);
    return error;
}

/* Each may wait a second for others that start in this moment, or for what one that was killed
 * left locked. */
enum { ATTEMPTS = 10 };

enum err credential_check(struct db *db, const struct keyring *keyring, int64_t now_ms,
                          char error_text[ERROR_SIZE])
{
    enum err error = ERR_DB_RETRY;
    for (int attempt = 0; error == ERR_DB_RETRY && attempt < ATTEMPTS; attempt++)
        error = check_once(db, keyring, now_ms, error_text);
    if (error && !error_text[0]) {
        snprintf(error_text, ERROR_SIZE, "cannot check the credentials: %.200s", db_error_text(db));
    }
    return error;
}
