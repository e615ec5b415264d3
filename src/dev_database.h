/* The private MariaDB of `keymeterd dev`: a mariadbd on a Unix socket in the state directory, no
 * network. Main thread. It outlives a kill -9 of the daemon and is taken over at the next start. */
#ifndef KEYMETER_DEV_DATABASE_H
#define KEYMETER_DEV_DATABASE_H

#include "base/compiler.h"
#include "base/err.h"

#include <sys/types.h>

struct dev_database;

/* Makes the data directory when there is none, starts or takes over the server and waits until it
 * answers, at most 60 s. On failure `error` says what and names the log file. */
MUST_USE enum err dev_database_start(struct dev_database **out, const char *state_dir,
                                     char error[256]);
/* At most 107 bytes; in /tmp when the state directory's path is too long for a Unix socket. */
const char *dev_database_socket(const struct dev_database *database);
/* The operating system user, which is the database user that may come in by the socket. */
const char *dev_database_user(const struct dev_database *database);
pid_t dev_database_pid(const struct dev_database *database);
/* From a timer about once a second: starts the server again when it died, without waiting for it.
 * ERR_IO: it could not be started. */
MUST_USE enum err dev_database_check(struct dev_database *database, char error[256]);
/* SIGTERM, waits until it is gone (at most 30 s, then SIGKILL). NULL is accepted. */
void dev_database_stop(struct dev_database **database);

#endif
