/* Prepared statements: found again by the pointer of their SQL, parameters bound for each run,
 * results kept whole by the driver and read row by row into buffers that grow with what comes.
 * Used by store/ on whatever thread owns the connection. A row's values point into the statement's
 * buffers and hold until the next db_next. */
#include "io/db_private.h"

#include <inttypes.h>
#include <mariadb/errmsg.h>
#include <mariadb/mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64, FIRST_COLUMN_SIZE = 256, COLUMNS_MAX = 128, PARAMETERS_MAX = 65535 };

struct column {
    bool integer, is_unsigned;
    uint64_t number;
    char *bytes;
    unsigned long length;
    my_bool is_null;
};

struct db_statement {
    const char *sql;
    MYSQL_STMT *handle;
    unsigned parameter_count, column_count;
    MYSQL_BIND *parameters;
    MYSQL_BIND *results;
    struct column *columns;
    struct db_value *values;
    bool has_result, bound;
};

/* ---- the statements of a connection ---- */

static void statement_free(struct db_statement *statement)
{
    if (!statement) return;
    if (statement->handle) mysql_stmt_close(statement->handle);
    for (unsigned i = 0; statement->columns && i < statement->column_count; i++) {
        free(statement->columns[i].bytes);
    }
    free(statement->columns);
    free(statement->values);
    free(statement->results);
    free(statement->parameters);
    free(statement);
}

void db_statements_free(struct db *db)
{
    for (size_t i = 0; i < db->statement_slots; i++) {
        statement_free(db->statements[i]);
    }
    free(db->statements);
    db->statements = NULL;
    db->statement_slots = db->statement_count = 0;
}

/* The slot that holds the SQL or is free for it. There is always a free one. */
static size_t slot_of(struct db_statement **statements, size_t slots, const char *sql)
{
    size_t at = (size_t)(((uintptr_t)sql * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (slots - 1);
    while (statements[at] && statements[at]->sql != sql) {
        at = (at + 1) & (slots - 1);
    }
    return at;
}

static bool grow_slots(struct db *db)
{
    if (db->statement_count * 2 < db->statement_slots) return true;
    size_t slots = db->statement_slots ? db->statement_slots * 2 : FIRST_SLOTS;
    struct db_statement **statements = calloc(slots, sizeof *statements);
    if (!statements) return false;
    for (size_t i = 0; i < db->statement_slots; i++) {
        struct db_statement *moved = db->statements[i];
        if (moved) statements[slot_of(statements, slots, moved->sql)] = moved;
    }
    free(db->statements);
    db->statements = statements;
    db->statement_slots = slots;
    return true;
}

static enum err fail_statement(struct db *db, struct db_statement *statement, enum db_phase phase)
{
    return db_fail(db, mysql_stmt_errno(statement->handle), mysql_stmt_error(statement->handle),
                   phase);
}

static enum err fail_with(struct db *db, enum err error, const char *text)
{
    db->error_number = 0;
    snprintf(db->error_text, sizeof db->error_text, "%s", text);
    return error;
}

static bool is_integer(enum enum_field_types type)
{
    return type == MYSQL_TYPE_TINY || type == MYSQL_TYPE_SHORT || type == MYSQL_TYPE_INT24 ||
           type == MYSQL_TYPE_LONG || type == MYSQL_TYPE_LONGLONG || type == MYSQL_TYPE_YEAR;
}

static enum err describe_columns(struct db *db, struct db_statement *statement)
{
    unsigned count = mysql_stmt_field_count(statement->handle);
    statement->column_count = count;
    if (count == 0) return ERR_OK;
    if (count > COLUMNS_MAX) return fail_with(db, ERR_DB, "too many columns");
    MYSQL_RES *metadata = mysql_stmt_result_metadata(statement->handle);
    if (!metadata) return fail_statement(db, statement, DB_PHASE_PREPARE);
    statement->columns = calloc(count, sizeof *statement->columns);
    statement->results = calloc(count, sizeof *statement->results);
    statement->values = calloc(count, sizeof *statement->values);
    bool memory = statement->columns && statement->results && statement->values;
    for (unsigned i = 0; memory && i < count; i++) {
        const MYSQL_FIELD *field = mysql_fetch_field_direct(metadata, i);
        struct column *column = &statement->columns[i];
        MYSQL_BIND *bind = &statement->results[i];
        column->integer = is_integer(field->type);
        column->is_unsigned = (field->flags & UNSIGNED_FLAG) != 0;
        bind->is_null = &column->is_null;
        bind->length = &column->length;
        if (column->integer) {
            bind->buffer_type = MYSQL_TYPE_LONGLONG;
            bind->is_unsigned = column->is_unsigned;
            bind->buffer = &column->number;
            bind->buffer_length = sizeof column->number;
        } else {
            bind->buffer_type = MYSQL_TYPE_STRING;
            bind->buffer = column->bytes = malloc(FIRST_COLUMN_SIZE);
            bind->buffer_length = FIRST_COLUMN_SIZE;
            memory = bind->buffer != NULL;
        }
    }
    mysql_free_result(metadata);
    return memory ? ERR_OK : fail_with(db, ERR_NO_MEMORY, "out of memory");
}

static enum err prepare(struct db *db, struct db_statement *statement)
{
    statement->handle = mysql_stmt_init(db->mysql);
    if (!statement->handle) return fail_with(db, ERR_NO_MEMORY, "out of memory");
    if (mysql_stmt_prepare(statement->handle, statement->sql, strlen(statement->sql))) {
        return fail_statement(db, statement, DB_PHASE_PREPARE);
    }
    statement->parameter_count = (unsigned)mysql_stmt_param_count(statement->handle);
    statement->parameters = calloc(statement->parameter_count + 1, sizeof *statement->parameters);
    if (!statement->parameters) return fail_with(db, ERR_NO_MEMORY, "out of memory");
    return describe_columns(db, statement);
}

static enum err find_statement(struct db *db, const char *sql, struct db_statement **out)
{
    if (!grow_slots(db)) return fail_with(db, ERR_NO_MEMORY, "out of memory");
    size_t at = slot_of(db->statements, db->statement_slots, sql);
    *out = db->statements[at];
    if (*out) return ERR_OK;

    struct db_statement *statement = calloc(1, sizeof *statement);
    if (!statement) return fail_with(db, ERR_NO_MEMORY, "out of memory");
    statement->sql = sql;
    enum err error = prepare(db, statement);
    if (error) {
        statement_free(statement);
        return error;
    }
    db->statements[at] = *out = statement;
    db->statement_count++;
    return ERR_OK;
}

/* ---- running ---- */

static void end_result(struct db_statement *statement)
{
    if (!statement->has_result) return;
    mysql_stmt_free_result(statement->handle);
    statement->has_result = false;
}

/* The driver only reads what parameters point to. */
static void bind_value(MYSQL_BIND *bind, const struct db_value *value)
{
    memset(bind, 0, sizeof *bind);
    switch (value->type) {
    case DB_NULL:
        bind->buffer_type = MYSQL_TYPE_NULL;
        return;
    case DB_I64:
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->buffer = (void *)(uintptr_t)&value->i64;
        return;
    case DB_U64:
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->is_unsigned = 1;
        bind->buffer = (void *)(uintptr_t)&value->u64;
        return;
    case DB_BYTES:
        bind->buffer_type = MYSQL_TYPE_STRING;
        bind->buffer = (void *)(uintptr_t)(value->bytes.data ? value->bytes.data : "");
        bind->buffer_length = bind->length_value = value->bytes.length;
        return;
    }
}

static enum err execute(struct db *db, const char *sql, const struct db_value *values, size_t count,
                        struct db_statement **out)
{
    enum err error = db_ready(db);
    if (!error) error = find_statement(db, sql, out);
    if (error) return error;
    struct db_statement *statement = *out;
    if (count != statement->parameter_count || count > PARAMETERS_MAX) {
        return fail_with(db, ERR_DB, "wrong number of values for the statement");
    }
    end_result(statement);
    for (size_t i = 0; i < count; i++) {
        bind_value(&statement->parameters[i], &values[i]);
    }
    if (count && mysql_stmt_bind_param(statement->handle, statement->parameters)) {
        return fail_statement(db, statement, DB_PHASE_PREPARE);
    }
    if (mysql_stmt_execute(statement->handle)) return fail_statement(db, statement, DB_PHASE_RUN);
    db_note_status(db);
    return ERR_OK;
}

enum err db_execute(struct db *db, const char *sql, const struct db_value *values, size_t count,
                    uint64_t *affected)
{
    struct db_statement *statement;
    if (affected) *affected = 0;
    enum err error = db->savepoint_asked ? db_savepoint_send(db) : ERR_OK;
    if (!error) error = execute(db, sql, values, count, &statement);
    if (error) return error;
    if (statement->column_count) {
        mysql_stmt_free_result(statement->handle);
        return fail_with(db, ERR_DB, "db_execute of a statement with a result");
    }
    if (affected) *affected = mysql_stmt_affected_rows(statement->handle);
    return ERR_OK;
}

enum err db_query(struct db *db, const char *sql, const struct db_value *values, size_t count,
                  struct db_rows *rows)
{
    struct db_statement *statement;
    *rows = (struct db_rows){.db = db};
    enum err error = execute(db, sql, values, count, &statement);
    if (error) return error;
    if (statement->column_count == 0) {
        return fail_with(db, ERR_DB, "db_query of a statement without a result");
    }
    statement->has_result = true;
    if (mysql_stmt_store_result(statement->handle)) {
        error = fail_statement(db, statement, DB_PHASE_RUN);
        end_result(statement);
        return error;
    }
    rows->statement = statement;
    rows->columns = statement->column_count;
    rows->count = (size_t)mysql_stmt_num_rows(statement->handle);
    rows->values = statement->values;
    return ERR_OK;
}

/* ---- rows ---- */

/* Reads again what was longer than its buffer. */
static bool fetch_long(struct db_statement *statement, unsigned i)
{
    struct column *column = &statement->columns[i];
    MYSQL_BIND *bind = &statement->results[i];
    if (column->length <= bind->buffer_length) return true;
    unsigned long size = column->length + column->length / 4 + 1;
    char *bytes = malloc(size);
    if (!bytes) return false;
    free(column->bytes);
    bind->buffer = column->bytes = bytes;
    bind->buffer_length = size;
    statement->bound = false;
    return mysql_stmt_fetch_column(statement->handle, bind, i, 0) == 0;
}

static bool take_value(struct db_statement *statement, unsigned i)
{
    struct column *column = &statement->columns[i];
    if (column->is_null) {
        statement->values[i] = db_null();
    } else if (column->integer && column->is_unsigned) {
        statement->values[i] = db_u64(column->number);
    } else if (column->integer) {
        statement->values[i] = db_i64((int64_t)column->number);
    } else {
        if (!fetch_long(statement, i)) return false;
        statement->values[i] = db_bytes(column->bytes, column->length);
    }
    return true;
}

bool db_next(struct db_rows *rows)
{
    struct db_statement *statement = rows->statement;
    if (!statement || !statement->has_result) return false;
    if (!statement->bound && mysql_stmt_bind_result(statement->handle, statement->results)) {
        goto broken;
    }
    statement->bound = true;
    int status = mysql_stmt_fetch(statement->handle);
    if (status == MYSQL_NO_DATA) {
        db_finish(rows);
        return false;
    }
    if (status != 0 && status != MYSQL_DATA_TRUNCATED) goto broken;
    for (unsigned i = 0; i < statement->column_count; i++) {
        if (!take_value(statement, i)) goto broken;
    }
    return true;

broken:
    /* The rows are in memory, so only memory can have failed; half a result must not pass for a
     * whole one, and this function has no error to return: the connection takes it. */
    (void)fail_with(rows->db, ERR_NO_MEMORY, "out of memory while reading a result");
    rows->db->lost = true;
    db_finish(rows);
    return false;
}

void db_finish(struct db_rows *rows)
{
    if (rows->statement) end_result(rows->statement);
    rows->statement = NULL;
}

/* A decimal, as SUM() gives it, cut at its point. */
static int64_t i64_of_text(struct span text)
{
    char copy[32];
    size_t length = text.length < sizeof copy - 1 ? text.length : sizeof copy - 1;
    memcpy(copy, text.data, length);
    copy[length] = '\0';
    return strtoll(copy, NULL, 10);
}

static uint64_t u64_of_text(struct span text)
{
    char copy[32];
    size_t length = text.length < sizeof copy - 1 ? text.length : sizeof copy - 1;
    memcpy(copy, text.data, length);
    copy[length] = '\0';
    return strtoull(copy, NULL, 10);
}

int64_t db_get_i64(const struct db_rows *rows, size_t column)
{
    const struct db_value *value = &rows->values[column];
    switch (value->type) {
    case DB_NULL:
        return 0;
    case DB_I64:
        return value->i64;
    case DB_U64:
        return (int64_t)value->u64;
    case DB_BYTES:
        return i64_of_text(value->bytes);
    }
    return 0;
}

uint64_t db_get_u64(const struct db_rows *rows, size_t column)
{
    const struct db_value *value = &rows->values[column];
    switch (value->type) {
    case DB_NULL:
        return 0;
    case DB_I64:
        return (uint64_t)value->i64;
    case DB_U64:
        return value->u64;
    case DB_BYTES:
        return u64_of_text(value->bytes);
    }
    return 0;
}

struct span db_get_span(const struct db_rows *rows, size_t column)
{
    const struct db_value *value = &rows->values[column];
    return value->type == DB_BYTES ? value->bytes : (struct span){NULL, 0};
}

char *db_get_text(const struct db_rows *rows, size_t column, struct arena *arena)
{
    const struct db_value *value = &rows->values[column];
    char number[24];
    switch (value->type) {
    case DB_NULL:
        return NULL;
    case DB_I64:
        snprintf(number, sizeof number, "%" PRId64, value->i64);
        return arena_copy(arena, span_text(number));
    case DB_U64:
        snprintf(number, sizeof number, "%" PRIu64, value->u64);
        return arena_copy(arena, span_text(number));
    case DB_BYTES:
        return arena_copy(arena, value->bytes);
    }
    return NULL;
}
