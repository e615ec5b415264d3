/* A private mariadbd for unit tests: made in a temporary directory, gone with the test program. */
#ifndef KEYMETER_TESTS_DATABASE_H
#define KEYMETER_TESTS_DATABASE_H

#include "io/db.h"

/* Starts the server once a program; later calls return the same. Ends the program with a message
 * when it cannot. The schema `keymeter_test` exists and is empty. Stopped at exit. */
const struct db_config *database_start(void);
/* Drops the schema and makes it anew, empty. */
void database_reset(void);
/* database_reset, then every file of schema/ is applied. */
void database_migrate(void);
/* A connection; ends the program when there is none. */
struct db *database_open(void);
/* Options in place of --skip-networking from the next start or restart on; NULL-terminated, at most
 * 7, living on. Before database_start, or before database_restart. */
void database_options(const char *const *options);
/* SIGSTOP and SIGCONT to the server; kill -9, and start again in the same directory. */
void database_freeze(void);
void database_thaw(void);
void database_kill(void);
void database_restart(void);

#endif
