/* Brings a database to the schema of this binary. Called by `keymeterd migrate` and at start, on a
 * connection of its own. Always holds: a file is applied by one process at a time, its statements
 * in order and each once, and a file that was applied never changes without being noticed. */
#include "store/migrate.h"

#include "io/db.h"
#include "store/schema_files.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKSUM_SIZE = 32, LOCK_ATTEMPTS = 30 };

/* What an interrupted change of a table says when it stands already. */
enum {
    TABLE_EXISTS = 1050,
    COLUMN_EXISTS = 1060,
    INDEX_EXISTS = 1061,
    NOTHING_TO_DROP = 1091,
};

static const char lock_sql[] =
    "SELECT GET_LOCK(CONCAT('keymeter.', LEFT(SHA1(DATABASE()), 16)), 1)";
static const char unlock_sql[] =
    "SELECT RELEASE_LOCK(CONCAT('keymeter.', LEFT(SHA1(DATABASE()), 16)))";
static const char table_exists_sql[] = "SELECT 1 FROM information_schema.tables WHERE "
                                       "table_schema = DATABASE() AND table_name = ?";
static const char create_table_sql[] =
    "CREATE TABLE IF NOT EXISTS schema_migration ("
    "version INT NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL, checksum BINARY(32) NOT NULL, "
    "statements INT NOT NULL DEFAULT 0, applied_at BIGINT NULL) CHARACTER SET ascii";
static const char read_sql[] =
    "SELECT version, name, checksum, statements, applied_at FROM schema_migration ORDER BY version";
static const char begin_file_sql[] =
    "INSERT INTO schema_migration (version, name, checksum) VALUES (?, ?, ?)";
static const char count_sql[] = "UPDATE schema_migration SET statements = ? WHERE version = ?";
static const char end_file_sql[] = "UPDATE schema_migration SET applied_at = ? WHERE version = ?";

/* What a file in the database's list is at. */
struct progress {
    bool begun;
    unsigned statements;
};

static enum err fail_db(struct migrate_state *state, struct db *db, enum err error,
                        const char *doing)
{
    snprintf(state->error, sizeof state->error, "%s: %s", doing, db_error_text(db));
    return error;
}

static void checksum_of(const struct schema_file *file, unsigned char out[CHECKSUM_SIZE])
{
    crypto_generichash(out, CHECKSUM_SIZE, file->text, file->length, NULL, 0);
}

static enum err table_exists(struct db *db, const char *name, bool *exists)
{
    struct db_rows rows;
    enum err error = db_query(db, table_exists_sql, DB_VALUES(db_text(name)), &rows);
    if (error) return error;
    *exists = db_next(&rows);
    db_finish(&rows);
    return ERR_OK;
}

/* ---- what the database has ---- */

static enum err compare_row(const struct db_rows *rows, struct migrate_state *state,
                            struct progress *progress)
{
    uint64_t version = db_get_u64(rows, 0);
    struct span name = db_get_span(rows, 1);
    if (version < 1 || version > schema_file_count) {
        snprintf(state->error, sizeof state->error,
                 "the database's schema is newer than this program: it has \"%.*s\", this program "
                 "knows up to %u; run the newer keymeterd",
                 (int)name.length, name.data, state->newest);
        return ERR_INVALID;
    }
    const struct schema_file *file = &schema_files[version - 1];
    unsigned char checksum[CHECKSUM_SIZE];
    checksum_of(file, checksum);
    if (!span_equal(db_get_span(rows, 2), span_of(checksum, sizeof checksum))) {
        snprintf(state->error, sizeof state->error,
                 "migration \"%.*s\" was applied to the database with another content than this "
                 "program's %s has; run the keymeterd that applied it",
                 (int)name.length, name.data, file->name);
        return ERR_INVALID;
    }
    struct migrate_step *step = &state->steps[version - 1];
    progress[version - 1] =
        (struct progress){.begun = true, .statements = (unsigned)db_get_u64(rows, 3)};
    step->applied = !db_is_null(rows, 4);
    step->applied_at = db_get_i64(rows, 4);
    if (step->applied) state->applied = (unsigned)version;
    return ERR_OK;
}

static enum err read_state(struct db *db, struct migrate_state *state,
                           struct progress progress[MIGRATE_MAX])
{
    bool exists;
    memset(state, 0, sizeof *state);
    memset(progress, 0, MIGRATE_MAX * sizeof *progress);
    if (schema_file_count > MIGRATE_MAX) return ERR_FULL;
    state->count = schema_file_count;
    state->newest = (unsigned)schema_file_count;
    for (size_t i = 0; i < schema_file_count; i++) {
        state->steps[i].version = schema_files[i].version;
        state->steps[i].name = schema_files[i].name;
    }
    enum err error = table_exists(db, "schema_migration", &exists);
    if (error) return fail_db(state, db, error, "cannot read the database's tables");
    if (!exists) return ERR_OK;
    struct db_rows rows;
    error = db_query(db, read_sql, DB_NONE, &rows);
    if (error) return fail_db(state, db, error, "cannot read the table schema_migration");
    while (!error && db_next(&rows)) {
        error = compare_row(&rows, state, progress);
    }
    db_finish(&rows);
    return error;
}

enum err migrate_status(struct db *db, struct migrate_state *state)
{
    struct progress progress[MIGRATE_MAX];
    return read_state(db, state, progress);
}

/* ---- statements of a file ---- */

/* The next statement, without comments, into `out`; *at goes behind it. False at the end. A quoted
 * text may hold ; and --, with quotes doubled or behind a backslash. */
static bool next_statement(const struct schema_file *file, size_t *at, char *out)
{
    const char *text = (const char *)file->text;
    size_t length = 0, i = *at;
    char quote = '\0';
    for (; i < file->length && (quote || text[i] != ';'); i++) {
        if (!quote && text[i] == '-' && i + 1 < file->length && text[i + 1] == '-') {
            while (i < file->length && text[i] != '\n') {
                i++;
            }
            if (i == file->length) break;
        } else if (quote && text[i] == '\\' && i + 1 < file->length) {
            out[length++] = text[i++];
        } else if (quote) {
            if (text[i] == quote) quote = '\0';
        } else if (text[i] == '\'' || text[i] == '"' || text[i] == '`') {
            quote = text[i];
        }
        if (length > 0 || !strchr(" \t\r\n", text[i])) out[length++] = text[i];
    }
    *at = i < file->length ? i + 1 : i;
    while (length > 0 && strchr(" \t\r\n", out[length - 1])) {
        length--;
    }
    out[length] = '\0';
    return length > 0;
}

static bool changes_tables(const char *sql)
{
    static const char *const verbs[] = {"CREATE ", "ALTER ", "DROP ", "RENAME ", "TRUNCATE "};
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (strncasecmp(sql, verbs[i], strlen(verbs[i])) == 0) return true;
    }
    return false;
}

static bool stands_already(struct db *db)
{
    unsigned number = db_error_number(db);
    return number == TABLE_EXISTS || number == COLUMN_EXISTS || number == INDEX_EXISTS ||
           number == NOTHING_TO_DROP;
}

static enum err count_statement(struct db *db, const struct schema_file *file, unsigned done)
{
    return db_execute(db, count_sql, DB_VALUES(db_u64(done), db_u64(file->version)), NULL);
}

/* Rows come with their count in one transaction; a table's change commits by itself, so the first
 * one after an interruption (`resumed`) may stand already. */
static enum err apply_statement(struct db *db, const struct schema_file *file, const char *sql,
                                unsigned number, bool resumed)
{
    enum err error;
    if (changes_tables(sql)) {
        error = db_command(db, sql);
        if (error == ERR_DB && resumed && stands_already(db)) error = ERR_OK;
        return error ? error : count_statement(db, file, number);
    }
    error = db_begin(db);
    if (!error) error = db_command(db, sql);
    if (!error) error = count_statement(db, file, number);
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}

static enum err apply_file(struct db *db, const struct schema_file *file, struct progress progress,
                           int64_t now_ms, struct migrate_state *state)
{
    unsigned char checksum[CHECKSUM_SIZE];
    enum err error = ERR_OK;
    size_t at = 0;
    unsigned number = 0;
    char *sql = malloc(file->length + 1);
    if (!sql) return ERR_NO_MEMORY;
    checksum_of(file, checksum);
    if (!progress.begun) {
        error = db_execute(db, begin_file_sql,
                           DB_VALUES(db_u64(file->version), db_text(file->name),
                                     db_bytes(checksum, sizeof checksum)),
                           NULL);
    }
    while (!error && next_statement(file, &at, sql)) {
        if (++number <= progress.statements) continue;
        bool resumed = progress.begun && number == progress.statements + 1;
        error = apply_statement(db, file, sql, number, resumed);
    }
    if (!error) {
        error =
            db_execute(db, end_file_sql, DB_VALUES(db_i64(now_ms), db_u64(file->version)), NULL);
    }
    free(sql);
    if (!error) return ERR_OK;
    snprintf(state->error, sizeof state->error, "%s, statement %u: %s", file->name, number,
             db_error_text(db));
    return error;
}

/* ---- the lock ---- */

static enum err take_lock(struct db *db, struct migrate_state *state)
{
    for (int attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
        struct db_rows rows;
        enum err error = db_query(db, lock_sql, DB_NONE, &rows);
        if (error) return fail_db(state, db, error, "cannot lock the schema");
        bool taken = db_next(&rows) && db_get_i64(&rows, 0) == 1;
        db_finish(&rows);
        if (taken) return ERR_OK;
    }
    snprintf(state->error, sizeof state->error,
             "another process has been migrating this database for %d seconds; try again when it "
             "is done",
             LOCK_ATTEMPTS);
    return ERR_TIMEOUT;
}

static void release_lock(struct db *db)
{
    struct db_rows rows;
    /* When this fails the connection is gone, and the lock with it. */
    if (db_query(db, unlock_sql, DB_NONE, &rows) == ERR_OK) db_finish(&rows);
}

static enum err apply_missing(struct db *db, int64_t now_ms, struct migrate_state *state)
{
    struct progress progress[MIGRATE_MAX];
    enum err error = read_state(db, state, progress);
    if (error) return error;
    error = db_command(db, create_table_sql);
    if (error) return fail_db(state, db, error, "cannot make the table schema_migration");
    for (size_t i = 0; !error && i < schema_file_count; i++) {
        if (state->steps[i].applied) continue;
        error = apply_file(db, &schema_files[i], progress[i], now_ms, state);
        if (error) break;
        state->steps[i].applied = true;
        state->steps[i].applied_at = now_ms;
        state->applied = schema_files[i].version;
    }
    return error;
}

enum err migrate_up(struct db *db, int64_t now_ms, struct migrate_state *state)
{
    memset(state, 0, sizeof *state);
    enum err error = take_lock(db, state);
    if (error) return error;
    error = apply_missing(db, now_ms, state);
    release_lock(db);
    return error;
}

/* ---- empty and missing databases ---- */

static enum err has_row(struct db *db, const char *sql, bool *found)
{
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_NONE, &rows);
    if (error) return error;
    *found = db_next(&rows);
    db_finish(&rows);
    return ERR_OK;
}

enum err migrate_is_empty(struct db *db, bool *empty)
{
    static const struct {
        const char *table, *sql;
    } tables[] = {
        {"credential", "SELECT 1 FROM credential LIMIT 1"},
        {"customer", "SELECT 1 FROM customer LIMIT 1"},
        {"api_key", "SELECT 1 FROM api_key LIMIT 1"},
        {"key_hash", "SELECT 1 FROM key_hash LIMIT 1"},
        {"token", "SELECT 1 FROM token LIMIT 1"},
    };
    *empty = true;
    for (size_t i = 0; *empty && i < COUNT_OF(tables); i++) {
        bool exists = false, found = false;
        enum err error = table_exists(db, tables[i].table, &exists);
        if (!error && exists) error = has_row(db, tables[i].sql, &found);
        if (error) return error;
        if (found) *empty = false;
    }
    return ERR_OK;
}

static bool fits_as_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t length = name ? strlen(name) : 0;
    return length > 0 && length <= 64 && strspn(name, allowed) == length;
}

enum err migrate_create_database(const struct db_config *config, char error_text[256])
{
    char sql[160];
    struct db *db;
    struct db_config bare = *config;
    bare.name = NULL;
    if (!fits_as_name(config->name)) {
        snprintf(error_text, 256, "database.name must be 1 to 64 letters, digits, \"_\" or \"-\"");
        return ERR_INVALID;
    }
    snprintf(sql, sizeof sql, "CREATE DATABASE IF NOT EXISTS `%s` CHARACTER SET utf8mb4",
             config->name);
    enum err error = db_open(&db, &bare);
    if (!error) error = db_command(db, sql);
    if (error) {
        snprintf(error_text, 256, "cannot make the database \"%s\": %.160s", config->name,
                 db_error_text(db));
    }
    db_close(&db);
    return error;
}
