/* What db_connection.c, db_statement.c and db_pool.c share. */
#ifndef KEYMETER_IO_DB_PRIVATE_H
#define KEYMETER_IO_DB_PRIVATE_H

#include "io/db_pool.h"

#include <mariadb/mysql.h>

struct db_statement;

enum { DB_ERROR_TEXT_SIZE = 256 };

struct db {
    MYSQL *mysql;
    uint64_t serial;
    bool lost;
    bool savepoint_asked; /* no row was written behind it yet: sent with the first that is */
    bool in_transaction;  /* as the server said with its last answer */
    bool doomed; /* the server rolled the transaction back: nothing more until db_rollback */
    int64_t sent_us, heard_us; /* the newest statement's beginning, the newest answer's end */
    int64_t io_timeout_us;
    unsigned error_number;
    char error_text[DB_ERROR_TEXT_SIZE];
    struct db_statement **statements; /* open addressing by the SQL's pointer */
    size_t statement_slots, statement_count;
};

enum db_phase {
    DB_PHASE_PREPARE, /* nothing ran yet */
    DB_PHASE_RUN,
    DB_PHASE_COMMIT,
};

/* Keeps number and text of a failure and says what it means; marks the connection lost or the
 * transaction doomed. `text` may hold values: they are cut out. */
enum err db_fail(struct db *db, unsigned number, const char *text, enum db_phase phase);
/* Sends the savepoint that was asked for. */
MUST_USE enum err db_savepoint_send(struct db *db);
/* ERR_OK, or why no statement may be sent now. Called right before each one: it notes the time. */
enum err db_ready(struct db *db);
/* After each statement that succeeded: the time, and what the server said of the transaction. */
void db_note_status(struct db *db);
/* False when the server has closed, or is about to close, a connection that nobody uses now, and
 * when nothing was heard on it since a statement on another one waited for its answer in vain. */
bool db_is_alive(const struct db *db);
void db_statements_free(struct db *db);

#endif
