/* The verbs of keymeterd that do one thing and end. Main thread. Each returns an exit code and has
 * told the user what went wrong. */
#ifndef KEYMETER_TOOLS_H
#define KEYMETER_TOOLS_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"
#include "core/admin_role.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct db;
struct feed_row;
struct keyring;
struct secret;
struct settings;

enum exit_code { EXIT_CODE_OK = 0, EXIT_CODE_FAILED = 1, EXIT_CODE_USAGE = 2 };

enum exit_code tool_migrate_up(const struct settings *settings);
enum exit_code tool_migrate_status(const struct settings *settings);
/* Whether the operator's texts of mails can be used; tells each that cannot. */
enum exit_code tool_templates_check(const struct settings *settings);
/* Scopes as words between commas or spaces. The secret goes to standard output, alone; where it
 * cannot be written, the token is revoked. */
enum exit_code tool_token_create(const struct settings *settings, const char *name,
                                 const char *scopes);

/* A one-time link that makes an admin; role NULL: an owner. The link goes to standard output; where
 * it cannot be written, it is withdrawn. */
enum exit_code tool_admin_invite(const struct settings *settings, const char *role);
/* The same for a connection that stands; *link is the caller's to free. */
MUST_USE enum err tool_make_invite(struct db *db, const struct keyring *keyring,
                                   enum admin_role role, struct secret **link);
/* Appends the address of the link; `api` is where the listener is bound: "127.0.0.1:7070". */
void tool_invite_address(struct buf *out, const struct settings *settings, const char *api,
                         const struct secret *link);

/* A new service token in one transaction; *secret is the caller's to free. `scopes` is a mask of
 * enum scope. */
MUST_USE enum err tool_make_token(struct db *db, const struct keyring *keyring, const char *name,
                                  unsigned scopes, struct secret **secret, uint64_t *id);

/* ---- for the tools themselves ---- */

/* A change made from the command line: `run` in a transaction of its own, with a feed and an audit
 * row; asked again when it lost a deadlock. */
struct tool_change {
    enum err (*run)(struct db *db, const void *row, int64_t now_ms);
    const void *row;
    const struct feed_row *feed;
    const char *action, *subject, *detail; /* detail NULL: {} */
};
MUST_USE enum err tool_change_make(struct db *db, const struct tool_change *change, int64_t now_ms);
/* Writes a line that is shown only now; true when all of it went out. */
MUST_USE bool tool_print(struct span line);

#endif
