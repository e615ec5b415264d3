/* The verbs of keymeterd that do one thing and end. Main thread. Each returns an exit code and has
 * told the user what went wrong. */
#ifndef KEYMETER_TOOLS_H
#define KEYMETER_TOOLS_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

struct db;
struct keyring;
struct secret;
struct settings;

enum exit_code { EXIT_CODE_OK = 0, EXIT_CODE_FAILED = 1, EXIT_CODE_USAGE = 2 };

enum exit_code tool_migrate_up(const struct settings *settings);
enum exit_code tool_migrate_status(const struct settings *settings);
/* Whether the operator's texts of mails can be used; tells each that cannot. */
enum exit_code tool_templates_check(const struct settings *settings);
/* Scopes as words between commas or spaces. The secret goes to standard output, alone. */
enum exit_code tool_token_create(const struct settings *settings, const char *name,
                                 const char *scopes);

/* A new service token in one transaction; *secret is the caller's to free. `scopes` is a mask of
 * enum scope. */
MUST_USE enum err tool_make_token(struct db *db, const struct keyring *keyring, const char *name,
                                  unsigned scopes, struct secret **secret, uint64_t *id);

#endif
