/* One connection to MariaDB: opening it the only way Keymeter's sessions may be, the transaction
 * verbs, and what a server's or driver's error number means. Used by the DB threads of db_pool.c
 * and by the main thread of tools, one thread a connection. A connection that failed stays failed:
 * nothing is ever sent on it again. */
#include "base/clock.h"
#include "io/db_private.h"

#include <mariadb/errmsg.h>
#include <mariadb/mysqld_error.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_S = 5,
    IO_TIMEOUT_S = 10,
    DEFAULT_PORT = 3306,
    HOST_SIZE = 256,
    /* of newer servers than the header in use */
    CONNECTION_KILLED = 1927,
    STATEMENT_TIMEOUT = 1969,
    SNAPSHOT_CONFLICT = 1020,
    DISCONNECTED_BY_SERVER = 4031,
};

static const char isolation_sql[] = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
static const char session_sql[] =
    "SET SESSION autocommit = 1, time_zone = '+00:00', sql_mode = "
    "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION', idle_transaction_timeout = 1, innodb_lock_wait_timeout = 1, "
    "max_statement_time = %.3f";

/* What must stand in the session afterwards; the names of two settings changed over the years. */
static const char verify_sql[] =
    "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation', "
    "'autocommit', 'time_zone', 'sql_mode', 'idle_transaction_timeout', "
    "'innodb_lock_wait_timeout', 'max_statement_time', 'character_set_client')";
static const struct {
    const char *name, *value;
} session_rules[] = {
    {"tx_isolation", "READ-COMMITTED"},
    {"transaction_isolation", "READ-COMMITTED"},
    {"autocommit", "ON"},
    {"time_zone", "+00:00"},
    {"idle_transaction_timeout", "1"},
    {"innodb_lock_wait_timeout", "1"},
    {"character_set_client", "utf8mb4"},
};
enum { SESSION_VARIABLES = 8 }; /* of the nine asked for, one or both isolation names exist */

/* ---- errors ---- */

/* Errors whose quoted parts are names of the schema's, not values a client sent. */
static bool quotes_are_names(unsigned number)
{
    static const unsigned names[] = {
        ER_DBACCESS_DENIED_ERROR,
        ER_ACCESS_DENIED_ERROR,
        ER_ACCESS_DENIED_NO_PASSWORD_ERROR,
        ER_BAD_DB_ERROR,
        ER_TABLE_EXISTS_ERROR,
        ER_BAD_TABLE_ERROR,
        ER_BAD_FIELD_ERROR,
        ER_DUP_FIELDNAME,
        ER_DUP_KEYNAME,
        ER_TABLEACCESS_DENIED_ERROR,
        ER_COLUMNACCESS_DENIED_ERROR,
        ER_NO_SUCH_TABLE,
        ER_NO_DEFAULT_FOR_FIELD,
        ER_DATA_TOO_LONG,
        ER_BAD_NULL_ERROR,
        ER_WARN_DATA_OUT_OF_RANGE,
        ER_CANT_DROP_FIELD_OR_KEY,
        ER_UNKNOWN_SYSTEM_VARIABLE,
        ER_PARSE_ERROR,
        ER_SPECIFIC_ACCESS_DENIED_ERROR,
    };
    if (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR) return true;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (names[i] == number) return true;
    }
    return false;
}

/* "Duplicate entry 'mail@example' for key 'x'" must not reach a log: from the first quote to the
 * last goes, unless the quoted parts are names. */
static void keep_text(struct db *db, unsigned number, const char *text)
{
    const char *first = strchr(text, '\''), *last = strrchr(text, '\'');
    db->error_number = number;
    if (first && last > first && !quotes_are_names(number)) {
        snprintf(db->error_text, sizeof db->error_text, "%u: %.*s'...%s", number,
                 (int)(first - text), text, last);
    } else {
        snprintf(db->error_text, sizeof db->error_text, "%u: %s", number, text);
    }
}

static bool means_lost(unsigned number)
{
    switch (number) {
    case CR_OUT_OF_MEMORY:
    case CR_NO_PREPARE_STMT:
    case CR_PARAMS_NOT_BOUND:
    case CR_INVALID_PARAMETER_NO:
    case CR_UNSUPPORTED_PARAM_TYPE:
        return false;
    case ER_SERVER_SHUTDOWN:
    case ER_NET_READ_ERROR:
    case ER_NET_READ_INTERRUPTED:
    case ER_NET_ERROR_ON_WRITE:
    case ER_NET_WRITE_INTERRUPTED:
    case ER_UNKNOWN_COM_ERROR: /* 1047: a Galera node without quorum */
    case ER_ERROR_DURING_COMMIT:
    case ER_ERROR_DURING_ROLLBACK:
    case CONNECTION_KILLED:
    case DISCONNECTED_BY_SERVER:
        return true;
    default:
        return number >= CR_MIN_ERROR && number <= CR_MAX_ERROR;
    }
}

/* A network that swallows everything tells nobody: each connection would find out by itself, and
 * wait for its whole timeout. When a statement sent at this time got no answer, connections on
 * which nothing was heard since are not tried any more but replaced (db_is_alive). */
static _Atomic int64_t silent_since_us;

static void note_silence(const struct db *db)
{
    if (clock_mono_us() - db->sent_us < db->io_timeout_us * 9 / 10) return;
    int64_t known_us = atomic_load(&silent_since_us);
    while (db->sent_us > known_us &&
           !atomic_compare_exchange_weak(&silent_since_us, &known_us, db->sent_us)) {
    }
}

static enum err lost(struct db *db, unsigned number, enum db_phase phase)
{
    bool open = db->in_transaction;
    db->lost = true;
    note_silence(db);
    if (phase == DB_PHASE_PREPARE) return ERR_DB_LOST;
    if (phase == DB_PHASE_RUN && number == ER_UNKNOWN_COM_ERROR) return ERR_DB_LOST;
    /* An open transaction dies with its connection, unless its commit is what was sent. */
    return phase == DB_PHASE_RUN && open && number != ER_ERROR_DURING_COMMIT ? ERR_DB_LOST
                                                                             : ERR_DB_UNCERTAIN;
}

enum err db_fail(struct db *db, unsigned number, const char *text, enum db_phase phase)
{
    keep_text(db, number, text);
    if (means_lost(number)) return lost(db, number, phase);
    switch (number) {
    case ER_DUP_ENTRY:
    case ER_DUP_ENTRY_WITH_KEY_NAME:
    case ER_DUP_KEY:
        return ERR_EXISTS;
    case ER_LOCK_DEADLOCK:
    case ER_LOCK_WAIT_TIMEOUT:
    case SNAPSHOT_CONFLICT:
    case ER_QUERY_INTERRUPTED:
    case ER_NEED_REPREPARE:
        /* 1213 has rolled the transaction back: what came next would commit by itself. */
        db->doomed = db->in_transaction;
        return ERR_DB_RETRY;
    case STATEMENT_TIMEOUT:
        return ERR_TIMEOUT;
    case ER_DISK_FULL:
    case ER_ERROR_ON_WRITE:
    case ER_GET_ERRNO: /* what the storage engine says for itself, "No space left" among it */
    case ER_RECORD_FILE_FULL:
    case ER_LOCK_TABLE_FULL:
    case ER_OPTION_PREVENTS_STATEMENT: /* --read-only */
    case ER_TOO_MANY_CONCURRENT_TRXS:
    case ER_READ_ONLY_MODE:
    case ER_TEMP_FILE_WRITE_FAILURE:
        return ERR_DB_UNABLE;
    case CR_OUT_OF_MEMORY:
        return ERR_NO_MEMORY;
    default:
        return ERR_DB;
    }
}

static enum err fail_here(struct db *db, enum db_phase phase)
{
    return db_fail(db, mysql_errno(db->mysql), mysql_error(db->mysql), phase);
}

enum err db_ready(struct db *db)
{
    if (db->lost) return ERR_DB_LOST;
    db->sent_us = clock_mono_us();
    return db->doomed ? ERR_DB_RETRY : ERR_OK;
}

/* ---- opening ---- */

static void set_seconds(MYSQL *mysql, enum mysql_option option, unsigned seconds)
{
    mysql_optionsv(mysql, option, &seconds);
}

#define SYSTEM_CA_FILE "/etc/ssl/certs/ca-certificates.crt" /* Debian's ca-certificates */

static void set_flag(MYSQL *mysql, enum mysql_option option, bool on)
{
    my_bool value = on;
    mysql_optionsv(mysql, option, &value);
}

static unsigned io_timeout_of(const struct db_config *config)
{
    return config->io_timeout_s ? config->io_timeout_s : IO_TIMEOUT_S;
}

static void set_options(MYSQL *mysql, const struct db_config *config)
{
    unsigned io_timeout_s = io_timeout_of(config);
    unsigned protocol = config->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    unsigned no = 0;

    set_seconds(mysql, MYSQL_OPT_CONNECT_TIMEOUT,
                config->connect_timeout_s ? config->connect_timeout_s : CONNECT_TIMEOUT_S);
    set_seconds(mysql, MYSQL_OPT_READ_TIMEOUT, io_timeout_s);
    set_seconds(mysql, MYSQL_OPT_WRITE_TIMEOUT, io_timeout_s);
    mysql_optionsv(mysql, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_optionsv(mysql, MYSQL_OPT_LOCAL_INFILE, &no);
    mysql_optionsv(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    set_flag(mysql, MYSQL_OPT_RECONNECT, false);
    set_flag(mysql, MYSQL_REPORT_DATA_TRUNCATION, true);
    /* The driver falls back to clear text silently unless told otherwise. */
    set_flag(mysql, MYSQL_OPT_SSL_ENFORCE, !config->socket);
    set_flag(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, !config->socket);
    /* Connector/C 3.4 (Debian 13) is content with any certificate of a server on this host, and
     * with one that the password vouches for, unless it is given a file to check against. */
    if (!config->socket) {
        mysql_optionsv(mysql, MYSQL_OPT_SSL_CA, config->ca_file ? config->ca_file : SYSTEM_CA_FILE);
    }
}

/* "name", "name:port", "192.0.2.1:port", "[2001:db8::1]:port", up to `stop`. */
static bool split_host(const char *text, const char *stop, char host[HOST_SIZE], unsigned *port)
{
    const char *end, *digits = NULL;
    *port = DEFAULT_PORT;
    if (*text == '[') {
        text++;
        end = memchr(text, ']', (size_t)(stop - text));
        if (!end || (end + 1 != stop && end[1] != ':')) return false;
        if (end + 1 != stop) digits = end + 2;
    } else {
        end = memchr(text, ':', (size_t)(stop - text));
        if (end) digits = end + 1;
        if (!end) end = stop;
    }
    if (end == text || (size_t)(end - text) >= HOST_SIZE) return false;
    memcpy(host, text, (size_t)(end - text));
    host[end - text] = '\0';
    if (digits) {
        char *rest;
        unsigned long number = strtoul(digits, &rest, 10);
        if (*digits < '0' || *digits > '9' || rest != stop || number < 1 || number > 65535)
            return false;
        *port = (unsigned)number;
    }
    return true;
}

/* host NULL: by config's socket. */
static enum err connect_to(struct db *db, const struct db_config *config, const char *host,
                           unsigned port)
{
    if (db->mysql) mysql_close(db->mysql); /* of the host before */
    db->mysql = mysql_init(NULL);
    if (!db->mysql) return ERR_NO_MEMORY;
    set_options(db->mysql, config);
    if (!mysql_real_connect(db->mysql, host, config->user, config->password, config->name, port,
                            config->socket, 0)) {
        keep_text(db, mysql_errno(db->mysql), mysql_error(db->mysql));
        return ERR_DB_LOST;
    }
    if (host && !mysql_get_ssl_cipher(db->mysql)) {
        snprintf(db->error_text, sizeof db->error_text, "the connection is not encrypted");
        return ERR_DB_LOST;
    }
    return ERR_OK;
}

/* Of several hosts only one may be written to; a replica would also tell of the feed too late. */
static enum err is_the_writer(struct db *db)
{
    static const char sql[] = "SELECT @@global.read_only";
    if (mysql_real_query(db->mysql, sql, sizeof sql - 1)) return fail_here(db, DB_PHASE_PREPARE);
    MYSQL_RES *result = mysql_store_result(db->mysql);
    if (!result) return fail_here(db, DB_PHASE_PREPARE);
    MYSQL_ROW row = mysql_fetch_row(result);
    bool writer = row && row[0] && strcmp(row[0], "0") == 0;
    mysql_free_result(result);
    if (writer) return ERR_OK;
    snprintf(db->error_text, sizeof db->error_text, "it is read-only");
    return ERR_DB_LOST;
}

/* Says of which of several hosts the text is. */
static void name_host(struct db *db, const char *host, unsigned port)
{
    char text[DB_ERROR_TEXT_SIZE];
    snprintf(text, sizeof text, "%.64s:%u: %.160s", host, port, db->error_text);
    memcpy(db->error_text, text, sizeof text);
}

static enum err connect_server(struct db *db, const struct db_config *config)
{
    enum err error = ERR_DB_LOST;
    if (config->socket) return connect_to(db, config, NULL, 0);
    const char *rest = config->hosts ? config->hosts : "";
    bool several = strchr(rest, ',') != NULL;
    while (error == ERR_DB_LOST && rest) {
        char host[HOST_SIZE];
        unsigned port = 0;
        const char *comma = strchr(rest, ',');
        if (!split_host(rest, comma ? comma : rest + strlen(rest), host, &port)) {
            snprintf(db->error_text, sizeof db->error_text,
                     "database host is not \"name\" or \"name:port\"");
            return ERR_INVALID;
        }
        rest = comma ? comma + 1 : NULL;
        error = connect_to(db, config, host, port);
        if (several && !error) error = is_the_writer(db);
        if (several && error) name_host(db, host, port);
    }
    return error;
}

/* As SHOW VARIABLES writes it. */
enum { SECONDS_SIZE = 32 };

static void statement_time_text(const struct db_config *config, char out[SECONDS_SIZE])
{
    snprintf(out, SECONDS_SIZE, "%.3f000", config->max_statement_time_s);
}

static bool session_value_holds(struct db *db, const struct db_config *config, const char *name,
                                const char *value)
{
    char seconds[SECONDS_SIZE];
    const char *wanted = NULL;
    if (strcasecmp(name, "max_statement_time") == 0) {
        statement_time_text(config, seconds);
        wanted = seconds;
    }
    for (size_t i = 0; i < COUNT_OF(session_rules); i++) {
        if (strcasecmp(session_rules[i].name, name) == 0) wanted = session_rules[i].value;
    }
    /* sql_mode may hold more than was asked for, but not less. */
    if (wanted ? strcasecmp(wanted, value) == 0 : strstr(value, "STRICT_ALL_TABLES") != NULL) {
        return true;
    }
    snprintf(db->error_text, sizeof db->error_text,
             "the database session's %s is \"%.40s\" and cannot be set to \"%s\": see the server's "
             "init_connect and privileges",
             name, value, wanted ? wanted : "STRICT_ALL_TABLES");
    return false;
}

static enum err verify_session(struct db *db, const struct db_config *config)
{
    unsigned seen = 0;
    bool holds = true;
    if (mysql_real_query(db->mysql, verify_sql, sizeof verify_sql - 1)) {
        return fail_here(db, DB_PHASE_PREPARE);
    }
    MYSQL_RES *result = mysql_store_result(db->mysql);
    if (!result) return fail_here(db, DB_PHASE_PREPARE);
    for (MYSQL_ROW row; holds && (row = mysql_fetch_row(result)); seen++) {
        holds = row[0] && row[1] && session_value_holds(db, config, row[0], row[1]);
    }
    mysql_free_result(result);
    if (holds && seen >= SESSION_VARIABLES) return ERR_OK;
    if (holds) {
        snprintf(db->error_text, sizeof db->error_text,
                 "the server does not know all session settings: MariaDB 10.11 or newer is needed");
    }
    return ERR_DB;
}

static enum err set_up_session(struct db *db, const struct db_config *config)
{
    char sql[sizeof session_sql + 64];
    int length = snprintf(sql, sizeof sql, session_sql, config->max_statement_time_s);
    if (mysql_real_query(db->mysql, isolation_sql, sizeof isolation_sql - 1) ||
        mysql_real_query(db->mysql, sql, (unsigned long)length)) {
        return fail_here(db, DB_PHASE_PREPARE);
    }
    return verify_session(db, config);
}

static void library_start(void)
{
    mysql_library_init(0, NULL, NULL);
}

enum err db_open(struct db **out, const struct db_config *config)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, library_start);

    *out = NULL;
    static _Atomic uint64_t last_serial;
    struct db *db = calloc(1, sizeof *db);
    if (!db) return ERR_NO_MEMORY;
    db->serial = ++last_serial;
    db->io_timeout_us = (int64_t)io_timeout_of(config) * 1000000;
    db->sent_us = clock_mono_us();
    enum err error = connect_server(db, config);
    if (!db->mysql) db->mysql = mysql_init(NULL); /* a lost connection has one too */
    if (!db->mysql) {
        free(db);
        return ERR_NO_MEMORY;
    }
    if (!error) error = set_up_session(db, config);
    /* A connection that failed is handed out too, for its error text. */
    if (error) db->lost = true;
    db->heard_us = clock_mono_us();
    *out = db;
    return error;
}

void db_close(struct db **db)
{
    if (!*db) return;
    db_statements_free(*db);
    mysql_close((*db)->mysql);
    free(*db);
    *db = NULL;
}

uint64_t db_serial(const struct db *db)
{
    return db->serial;
}

uint64_t db_connection_id(const struct db *db)
{
    return mysql_thread_id(db->mysql);
}

bool db_is_lost(const struct db *db)
{
    return db->lost;
}

const char *db_error_text(const struct db *db)
{
    return db ? db->error_text : "out of memory";
}

unsigned db_error_number(const struct db *db)
{
    return db ? db->error_number : 0;
}

void db_note_status(struct db *db)
{
    unsigned status = 0;
    mariadb_get_infov(db->mysql, MARIADB_CONNECTION_SERVER_STATUS, &status);
    db->in_transaction = (status & SERVER_STATUS_IN_TRANS) != 0;
    db->heard_us = clock_mono_us();
}

bool db_is_alive(const struct db *db)
{
    if (db->heard_us < atomic_load(&silent_since_us)) return false;
    /* The server speaks only when asked: anything to read now is its farewell. */
    struct pollfd poll_fd = {.fd = mysql_get_socket(db->mysql), .events = POLLIN | POLLRDHUP};
    return !db->lost && poll(&poll_fd, 1, 0) == 0;
}

/* ---- text statements ---- */

static enum err run_text(struct db *db, const char *sql, enum db_phase phase)
{
    if (mysql_real_query(db->mysql, sql, strlen(sql))) return fail_here(db, phase);
    if (mysql_field_count(db->mysql)) {
        /* Its rows would block the connection; what broke it off comes with them. */
        MYSQL_RES *result = mysql_store_result(db->mysql);
        if (!result) return fail_here(db, phase);
        mysql_free_result(result);
    }
    db_note_status(db);
    return ERR_OK;
}

enum err db_command(struct db *db, const char *sql)
{
    enum err error = db_ready(db);
    return error ? error : run_text(db, sql, DB_PHASE_RUN);
}

enum err db_begin(struct db *db)
{
    enum err error = db_ready(db);
    if (error) return error;
    db->savepoint_asked = false;
    return run_text(db, "START TRANSACTION", DB_PHASE_PREPARE);
}

enum err db_commit(struct db *db)
{
    enum err error = db_ready(db);
    if (error) {
        db_rollback(db);
        return error;
    }
    error = run_text(db, "COMMIT", DB_PHASE_COMMIT);
    if (error && error != ERR_DB_UNCERTAIN) db_rollback(db);
    return error;
}

void db_rollback(struct db *db)
{
    if (db->lost) return;
    if (!db->doomed && !db->in_transaction) return;
    db->doomed = false;
    char text[DB_ERROR_TEXT_SIZE];
    unsigned number = db->error_number;
    memcpy(text, db->error_text, sizeof text);
    if (run_text(db, "ROLLBACK", DB_PHASE_RUN)) {
        db->lost = true;
        return;
    }
    /* Why the transaction failed is what a log wants to know. */
    db->error_number = number;
    memcpy(db->error_text, text, sizeof text);
}

enum err db_savepoint(struct db *db)
{
    enum err error = db_ready(db);
    if (!error) db->savepoint_asked = true;
    return error;
}

enum err db_savepoint_send(struct db *db)
{
    enum err error = db_ready(db);
    if (error) return error;
    db->savepoint_asked = false;
    return run_text(db, "SAVEPOINT keymeter", DB_PHASE_RUN);
}

enum err db_rollback_to_savepoint(struct db *db)
{
    enum err error = db_ready(db);
    if (error || db->savepoint_asked) return error; /* nothing was written behind it */
    return run_text(db, "ROLLBACK TO SAVEPOINT keymeter", DB_PHASE_RUN);
}
