/* What must stand before anything listens: a database with this binary's schema, and the keys its
 * rows were made with. Main thread. Errors are texts for the operator, with the mend. */
#ifndef KEYMETER_STARTUP_H
#define KEYMETER_STARTUP_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/secret.h"
#include "io/db.h"

struct keyring;
struct settings;

enum { STARTUP_ERROR_SIZE = 512 };

/* Refuses a limit of open files (ulimit -n) that the daemon itself does not fit in, and warns of
 * one that its connections do not. */
MUST_USE enum err startup_files(const struct settings *settings, char error[STARTUP_ERROR_SIZE]);

/* How to connect, as the settings say. Lives where the pools can see it: longer than they do. */
struct startup_database {
    struct db_config config; /* borrows the settings' texts */
    struct secret *password;
};
MUST_USE enum err startup_database_init(struct startup_database *database,
                                        const struct settings *settings,
                                        char error[STARTUP_ERROR_SIZE]);
void startup_database_done(struct startup_database *database);

/* A connection to a database whose schema is exactly this binary's. */
MUST_USE enum err startup_open(struct db **out, const struct startup_database *database,
                               char error[STARTUP_ERROR_SIZE]);
/* Refuses a server that may lose what it has acknowledged, unless the settings allow that. */
MUST_USE enum err startup_durability(struct db *db, const struct settings *settings,
                                     char error[STARTUP_ERROR_SIZE]);
/* Warns of a server that may not recover from a crash. */
MUST_USE enum err startup_redo(struct db *db, char error[STARTUP_ERROR_SIZE]);
/* Loads the keys, or makes them when the schema is empty, and checks them against the database. */
MUST_USE enum err startup_keyring(struct keyring **out, struct db *db,
                                  const struct settings *settings, char error[STARTUP_ERROR_SIZE]);

#endif
