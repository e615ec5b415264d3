/* MariaDB: one `struct db` is one connection, owned by one DB thread. Jobs for such threads:
 * io/db_pool.h.
 *
 * Sessions: READ COMMITTED, autocommit on, UTC, utf8mb4, STRICT_ALL_TABLES, found rows off,
 * idle_transaction_timeout = 1, innodb_lock_wait_timeout = 1 and connect/read/write timeouts; no
 * multi-statements. On TCP, TLS is enforced and the certificate verified against ca_file. */
#ifndef KEYMETER_IO_DB_H
#define KEYMETER_IO_DB_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct db;

struct db_config {
    const char *socket; /* Unix socket path, or NULL */
    /* Used when socket is NULL: "name" or "name:port", or several between commas. Each connection
     * tries them in that order; of several, one that is read-only is passed over. */
    const char *hosts;
    const char *user, *password, *name;       /* password may be NULL; name: the schema */
    const char *ca_file;                      /* NULL: the system's */
    unsigned connect_timeout_s, io_timeout_s; /* 0: 5 and 10 */
    double max_statement_time_s;              /* 0: none */
};

/* ---- a connection (DB thread, or the main thread of a tool) ---- */
/* On failure *out is a lost connection that tells why (db_error_text), or NULL without memory: call
 * db_close in any case. */
MUST_USE enum err db_open(struct db **out, const struct db_config *config);
void db_close(struct db **db);
/* The server's id of this connection, for KILL and the process list. */
uint64_t db_connection_id(const struct db *db);
/* A number that no other connection of this process has or had: tells a reconnection, also when a
 * restarted server gives the same id again. */
uint64_t db_serial(const struct db *db);
/* True once the connection failed; every later call gives ERR_DB_LOST. */
bool db_is_lost(const struct db *db);
/* Text of the last failure (server or client message), for logs. Never contains parameters. */
const char *db_error_text(const struct db *db);
unsigned db_error_number(const struct db *db);

/* Plain text statement without parameters or result (schema files, KILL, SET). */
MUST_USE enum err db_command(struct db *db, const char *sql);
MUST_USE enum err db_begin(struct db *db);
/* ERR_DB_UNCERTAIN when the connection was lost under way; ERR_DB_RETRY: rolled back. */
MUST_USE enum err db_commit(struct db *db);
void db_rollback(struct db *db); /* a failure only marks the connection lost */
/* One name, replaced each time. It costs nothing until something is written behind it. */
MUST_USE enum err db_savepoint(struct db *db);
MUST_USE enum err db_rollback_to_savepoint(struct db *db);

/* ---- prepared statements ----
 * `sql` must be a string that lives as long as the connection (a literal, or interned): the
 * statement is prepared once per connection and found again by the pointer. */
enum db_type { DB_NULL, DB_I64, DB_U64, DB_BYTES };
struct db_value {
    enum db_type type;
    union {
        int64_t i64;
        uint64_t u64;
        struct span bytes;
    };
};
static inline struct db_value db_null(void)
{
    return (struct db_value){.type = DB_NULL};
}
static inline struct db_value db_i64(int64_t v)
{
    return (struct db_value){.type = DB_I64, .i64 = v};
}
static inline struct db_value db_u64(uint64_t v)
{
    return (struct db_value){.type = DB_U64, .u64 = v};
}
static inline struct db_value db_bytes(const void *data, size_t length)
{
    return (struct db_value){.type = DB_BYTES, .bytes = {data, length}};
}
static inline struct db_value db_span(struct span s)
{
    return (struct db_value){.type = DB_BYTES, .bytes = s};
}
/* NULL becomes SQL NULL. */
static inline struct db_value db_text(const char *text)
{
    return text ? db_span(span_text(text)) : db_null();
}

/* DB_VALUES(db_u64(1), db_text("x")) gives the two arguments `values, count`. */
#define DB_VALUES(...)                                                                             \
    ((const struct db_value[]){__VA_ARGS__}),                                                      \
        (sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value))
#define DB_NONE NULL, 0

/* Runs a statement without a result set; *affected may be NULL. ERR_EXISTS on a duplicate key (the
 * transaction goes on), ERR_DB_RETRY on 1213, 1205, 1020 (the whole transaction is to be run
 * again; until db_rollback every call then gives ERR_DB_RETRY), ERR_DB_LOST on a lost connection
 * inside an explicit transaction, ERR_DB_UNCERTAIN outside one (autocommit), ERR_TIMEOUT on
 * max_statement_time (1969). */
MUST_USE enum err db_execute(struct db *db, const char *sql, const struct db_value *values,
                             size_t count, uint64_t *affected);

/* Runs a statement with a result set and keeps all its rows in memory until the next db_query of
 * the same statement or db_close. Integers come as DB_I64 / DB_U64 by the column's sign, everything
 * else (text, binary, JSON, decimal) as DB_BYTES that stay valid until the next db_next. */
struct db_rows {
    struct db *db;
    void *statement;
    size_t columns, count; /* of all rows */
    const struct db_value *values;
};
MUST_USE enum err db_query(struct db *db, const char *sql, const struct db_value *values,
                           size_t count, struct db_rows *rows);
/* True when there is a next row; its values are then in rows->values. False at the end (and frees
 * the result). */
bool db_next(struct db_rows *rows);
/* Ends a result before its last row. */
void db_finish(struct db_rows *rows);
static inline bool db_is_null(const struct db_rows *rows, size_t column)
{
    return rows->values[column].type == DB_NULL;
}
int64_t db_get_i64(const struct db_rows *rows, size_t column);      /* NULL: 0 */
uint64_t db_get_u64(const struct db_rows *rows, size_t column);     /* NULL: 0 */
struct span db_get_span(const struct db_rows *rows, size_t column); /* NULL: empty */
/* A copy in the arena; NULL for SQL NULL or no memory. */
char *db_get_text(const struct db_rows *rows, size_t column, struct arena *arena);

#endif
