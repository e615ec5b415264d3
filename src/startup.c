/* Database and keys at start. Called by app.c and tools.c on the main thread, before any other
 * thread exists; nothing here outlives a failure. */
#include "startup.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/secret_file.h"
#include "conf/settings.h"
#include "crypto/keyring.h"
#include "store/credential.h"
#include "store/durability.h"
#include "store/migrate.h"

#include <stdio.h>
#include <sys/resource.h>

/* What the daemon opens beside clients' connections: its loop, listeners, the database's
 * connections, calls to relays and providers, files that are read in passing. */
enum { FILES_OF_ITS_OWN = 128 };

_Static_assert((int)STARTUP_ERROR_SIZE >= (int)SECRET_FILE_ERROR_SIZE, "an error fits");

enum err startup_files(const struct settings *settings, char error[STARTUP_ERROR_SIZE])
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == RLIM_INFINITY) return ERR_OK;
    rlim_t wanted = (rlim_t)FILES_OF_ITS_OWN + settings->limits.connections;
    if (files.rlim_cur < FILES_OF_ITS_OWN) {
        snprintf(error, STARTUP_ERROR_SIZE,
                 "the limit of open files is %llu, which is too few: allow %llu (`ulimit -n`, or "
                 "LimitNOFILE= of the unit)",
                 (unsigned long long)files.rlim_cur, (unsigned long long)wanted);
        return ERR_INVALID;
    }
    if (files.rlim_cur < wanted)
        log_event(LOG_WARN, "few_files",
                  "the limit of open files is %llu, but limits.connections = %u needs %llu: raise "
                  "it (`ulimit -n`, or LimitNOFILE= of the unit), or lower the setting",
                  (unsigned long long)files.rlim_cur, settings->limits.connections,
                  (unsigned long long)wanted);
    return ERR_OK;
}

enum err startup_database_init(struct startup_database *database, const struct settings *settings,
                               char error[STARTUP_ERROR_SIZE])
{
    bool by_network = settings->database.hosts[0] != '\0';
    *database = (struct startup_database){0};
    if (settings->database.password_file[0] != '\0') {
        enum err result =
            secret_file_read(&database->password, settings->database.password_file, error);
        if (result) return result;
    }
    database->config = (struct db_config){
        .socket = by_network ? NULL : settings->database.socket,
        .hosts = by_network ? settings->database.hosts : NULL,
        .user = settings->database.user,
        .password = database->password ? database->password->text : NULL,
        .name = settings->database.name,
        .ca_file = settings->database.ca_file[0] != '\0' ? settings->database.ca_file : NULL,
        .connect_timeout_s = (settings->database.connect_timeout_ms + 999) / 1000,
        .io_timeout_s = (settings->database.io_timeout_ms + 999) / 1000,
    };
    return ERR_OK;
}

void startup_database_done(struct startup_database *database)
{
    secret_free(&database->password);
}

enum err startup_open(struct db **out, const struct startup_database *database,
                      char error[STARTUP_ERROR_SIZE])
{
    enum err result = db_open(out, &database->config);
    if (result) {
        const char *where =
            database->config.socket ? database->config.socket : database->config.hosts;
        snprintf(error, STARTUP_ERROR_SIZE, "no connection to the database at %.120s: %.200s",
                 where, *out ? db_error_text(*out) : err_name(result));
        db_close(out);
        return result;
    }
    struct migrate_state state = {0};
    result = migrate_status(*out, &state);
    if (!result && state.applied == state.newest) return ERR_OK;
    if (result)
        snprintf(error, STARTUP_ERROR_SIZE, "%.250s",
                 state.error[0] ? state.error : db_error_text(*out));
    else
        snprintf(error, STARTUP_ERROR_SIZE,
                 "the schema is version %u, this keymeterd needs %u: run `keymeterd migrate up`",
                 state.applied, state.newest);
    db_close(out);
    return result ? result : ERR_INVALID;
}

enum err startup_durability(struct db *db, const struct settings *settings,
                            char error[STARTUP_ERROR_SIZE])
{
    char wrong[DURABILITY_ERROR_SIZE];
    enum err result = durability_check(db, wrong);
    if (result == ERR_DENIED && settings->database.allow_weak_durability) {
        log_event(LOG_WARN, "weak_durability", "%s; allowed by database.allow_weak_durability",
                  wrong);
        return ERR_OK;
    }
    if (result == ERR_DENIED)
        snprintf(error, STARTUP_ERROR_SIZE,
                 "%s; to run without that promise, set database.allow_weak_durability = yes",
                 wrong);
    else if (result)
        snprintf(error, STARTUP_ERROR_SIZE, "the database's settings cannot be read: %.200s",
                 db_error_text(db));
    return result;
}

enum err startup_redo(struct db *db, char error[STARTUP_ERROR_SIZE])
{
    bool buffered = true;
    enum err result = durability_redo_is_buffered(db, &buffered);
    if (result)
        snprintf(error, STARTUP_ERROR_SIZE, "the database's settings cannot be read: %.200s",
                 db_error_text(db));
    else if (!buffered)
        log_event(LOG_WARN, "redo_unbuffered",
                  "the database server may come back damaged from a crash: its "
                  "innodb_log_file_buffering is OFF; set it to ON");
    return result;
}

/* New keys, but only where nothing can have been made with the ones that are missing. */
static enum err make_keys(struct db *db, const struct settings *settings,
                          char error[STARTUP_ERROR_SIZE])
{
    bool empty = false;
    enum err result = migrate_is_empty(db, &empty);
    if (result) {
        snprintf(error, STARTUP_ERROR_SIZE, "the schema cannot be read: %.200s", db_error_text(db));
        return result;
    }
    if (!empty) {
        char missing[STARTUP_ERROR_SIZE / 2];
        snprintf(missing, sizeof missing, "%.250s", error);
        snprintf(error, STARTUP_ERROR_SIZE,
                 "%.250s. The database holds data made with it: restore the file from its backup",
                 missing);
        return ERR_DENIED;
    }
    return keyring_create(settings->keys.master_key_file, settings->keys.pepper_file, error);
}

enum err startup_keyring(struct keyring **out, struct db *db, const struct settings *settings,
                         char error[STARTUP_ERROR_SIZE])
{
    const char *master = settings->keys.master_key_file, *pepper = settings->keys.pepper_file;
    enum err result = keyring_load(out, master, pepper, error);
    if (result == ERR_NOT_FOUND) {
        result = make_keys(db, settings, error);
        if (!result) result = keyring_load(out, master, pepper, error);
    }
    if (!result) result = credential_check(db, *out, clock_wall_ms(), error);
    if (result) keyring_free(out);
    return result;
}
