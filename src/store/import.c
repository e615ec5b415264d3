/* The table import_source and the imported rows of key_hash. Called by the importing and the
 * re-hashing operation, by the meter's load of the sources and by the look-up of a key, on DB
 * threads. What always holds: an HMAC key leaves this file sealed or in guarded memory, and of a
 * key that was re-hashed no unkeyed hash is left. */
#include "store/import.h"

#include "base/buf.h"
#include "base/secret.h"
#include "crypto/envelope.h"
#include "crypto/keyring.h"
#include "io/db.h"
#include "store/api_key.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define SEALED_AS "import_source.sealed"

static uint64_t row_of(const char *id)
{
    return strtoull(id, NULL, 16);
}

static void plain_done(struct buf *plain)
{
    if (plain->data) sodium_memzero(plain->data, plain->length);
    buf_done(plain);
}

static enum err source_fill(const struct db_rows *rows, const struct keyring *keyring,
                            struct import_source *source)
{
    struct span id = db_get_span(rows, 0);
    snprintf(source->id, sizeof source->id, "%.*s", (int)id.length, id.data);
    if (db_is_null(rows, 1)) return ERR_OK;
    struct buf plain = {0};
    enum err error =
        envelope_open(keyring, SEALED_AS, row_of(source->id), db_get_span(rows, 1), &plain);
    if (!error) source->key = import_key_new(buf_span(&plain));
    plain_done(&plain);
    if (error) return error;
    return source->key ? ERR_OK : ERR_NO_MEMORY;
}

enum err import_sources_load(struct db *db, const struct keyring *keyring,
                             struct import_sources *out)
{
    static const char sql[] = "SELECT id, sealed FROM import_source ORDER BY id DESC LIMIT 17";
    struct db_rows rows;
    *out = (struct import_sources){0};
    enum err error = db_query(db, sql, DB_NONE, &rows);
    if (error) return error;
    while (!error && out->count < IMPORT_SOURCES_MAX && db_next(&rows))
        error = source_fill(&rows, keyring, &out->of[out->count++]);
    db_finish(&rows);
    if (error) import_sources_free(out);
    return error;
}

/* ERR_EXISTS: it stands. ERR_DENIED: another key has the id. */
static enum err source_find(struct db *db, const char *id, const unsigned char *mark)
{
    struct db_rows rows;
    enum err error = db_query(db, "SELECT mark FROM import_source WHERE id = ? FOR UPDATE",
                              DB_VALUES(db_text(id)), &rows);
    if (error || !db_next(&rows)) return error;
    bool same = span_equal(db_get_span(&rows, 0), span_of(mark, IMPORT_MARK_SIZE));
    db_finish(&rows);
    return same ? ERR_EXISTS : ERR_DENIED;
}

static enum err source_count(struct db *db, uint64_t *count)
{
    struct db_rows rows;
    enum err error =
        db_query(db, "SELECT COUNT(*) FROM import_source WHERE sealed IS NOT NULL", DB_NONE, &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    *count = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

enum err import_source_add(struct db *db, const struct keyring *keyring, const struct secret *key,
                           int64_t now_ms, char id[IMPORT_ID_SIZE], bool *added)
{
    static const char sql[] =
        "INSERT INTO import_source (id, mark, sealed, created_at) VALUES (?,?,?,?)";
    unsigned char mark[IMPORT_MARK_SIZE] = {0};
    struct buf sealed = {0};
    uint64_t count = 0;
    *added = false;
    snprintf(id, IMPORT_ID_SIZE, "%s", IMPORT_SHA256);
    if (key) import_key_mark(keyring, key, id, mark);
    enum err error = source_find(db, id, mark);
    if (error == ERR_EXISTS) return ERR_OK;
    if (!error && key) error = source_count(db, &count);
    if (!error && count >= IMPORT_SOURCES_MAX - 1) return ERR_FULL;
    if (!error && key)
        error = envelope_seal(keyring, SEALED_AS, row_of(id), secret_span(key), &sealed);
    if (!error)
        error = db_execute(db, sql,
                           DB_VALUES(db_text(id), db_bytes(mark, sizeof mark),
                                     key ? db_span(buf_span(&sealed)) : db_null(), db_i64(now_ms)),
                           NULL);
    buf_done(&sealed);
    /* Another daemon made it just now. */
    if (error == ERR_EXISTS) return ERR_OK;
    *added = !error;
    return error;
}

enum err import_secret_insert(struct db *db, const struct keyring *keyring,
                              const struct key_secret_row *row)
{
    static const char mark_sql[] =
        "INSERT INTO key_hash (hash, algorithm, pepper_id, secret_id) VALUES (?,'import',?,?)";
    unsigned char mark[IMPORT_HASH_SIZE];
    enum err error = key_secret_insert(db, row, 1);
    if (error) return error;
    import_tombstone(keyring, row->pepper_id, row->hash, mark);
    return db_execute(db, mark_sql,
                      DB_VALUES(db_bytes(mark, sizeof mark), db_text(keyring_pepper_id(keyring)),
                                db_u64(row->id)),
                      NULL);
}

enum err import_replace(struct db *db, const struct import_hash *imported, uint64_t secret_id,
                        const unsigned char own[32], const char *pepper_id)
{
    static const char away[] = "DELETE FROM key_hash WHERE hash = ? AND pepper_id = ?"
                               " AND secret_id = ? AND algorithm IN ('sha256', 'hmac-sha256')";
    static const char add[] = "INSERT INTO key_hash (hash, algorithm, pepper_id, secret_id)"
                              " VALUES (?,'blake2b',?,?)";
    uint64_t removed = 0;
    enum err error = db_execute(db, away,
                                DB_VALUES(db_bytes(imported->hash, IMPORT_HASH_SIZE),
                                          db_text(imported->source), db_u64(secret_id)),
                                &removed);
    if (error) return error;
    if (removed != 1) return ERR_NOT_FOUND;
    return db_execute(db, add, DB_VALUES(db_bytes(own, 32), db_text(pepper_id), db_u64(secret_id)),
                      NULL);
}

enum err import_find(struct db *db, const struct keyring *keyring, struct span text,
                     uint64_t *key_id)
{
    struct import_sources sources;
    struct import_hashes hashes = {0};
    enum err error = import_sources_load(db, keyring, &sources);
    if (error) return error;
    import_hashes_of(&sources, text, &hashes);
    import_sources_free(&sources);
    error = ERR_NOT_FOUND;
    for (unsigned i = 0; error == ERR_NOT_FOUND && i < hashes.count; i++) {
        const char *source = hashes.of[i].source;
        bool plain = !strcmp(source, IMPORT_SHA256);
        error = key_hash_find(db, hashes.of[i].hash, plain ? IMPORT_SHA256 : IMPORT_HMAC, source,
                              key_id);
    }
    return error;
}
