/* The schema's numbered files, carried in the binary, and what of them a database has. DB thread,
 * or the main thread of a tool, with a connection of its own outside any transaction; give it an
 * io_timeout_s that a change of a large table fits in.
 *
 * MariaDB commits each change of a table by itself, so a file is not applied all or nothing: how
 * many of its statements are done is kept, and an interrupted file goes on where it stopped. */
#ifndef KEYMETER_STORE_MIGRATE_H
#define KEYMETER_STORE_MIGRATE_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct db_config;

enum { MIGRATE_MAX = 64 };

struct migrate_step {
    unsigned version;
    const char *name; /* "0001_initial.sql" */
    bool applied;
    int64_t applied_at; /* wall ms; 0: not applied */
};

struct migrate_state {
    unsigned applied; /* the newest version the database has; 0: none */
    unsigned newest;  /* the newest version this binary knows */
    size_t count;
    struct migrate_step steps[MIGRATE_MAX];
    char error[256]; /* what is wrong, in one sentence with the mend, when the call failed */
};

/* CREATE DATABASE IF NOT EXISTS config->name, over a connection without a schema. Clear text in
 * error when it may not. */
MUST_USE enum err migrate_create_database(const struct db_config *config, char error[256]);
/* Compares. ERR_INVALID: a file that was applied has another checksum now, or the database is newer
 * than this binary (state->error tells). */
MUST_USE enum err migrate_status(struct db *db, struct migrate_state *state);
/* Applies what is missing under a lock that only one process holds; state as after. ERR_TIMEOUT:
 * another process holds the lock for more than 30 s. */
MUST_USE enum err migrate_up(struct db *db, int64_t now_ms, struct migrate_state *state);
/* True when nothing that a credential protects can stand there: no credential, customer, key or
 * token row (or no tables at all). Only then may a master key or pepper be made. */
MUST_USE enum err migrate_is_empty(struct db *db, bool *empty);

#endif
