/* What a command line asks for: a command of the table with its path and body. */
#ifndef KEYMETER_CLI_REQUEST_H
#define KEYMETER_CLI_REQUEST_H

#include "base/buf.h"
#include "base/compiler.h"
#include "cli/client.h"
#include "cli/commands.h"

enum { IDEMPOTENCY_KEY_SIZE = 33 };

struct invocation {
    const struct command *command;
    const char *id, *key_file, *idempotency_key;
    char own_key[IDEMPOTENCY_KEY_SIZE]; /* made here when a command that shows a secret has none */
    bool as_json;
    struct buf path;
    json_t *body; /* NULL for GET */
    unsigned query_count;
};

/* Takes the words from argv[at] on. Tells on standard error what is wrong. The caller frees path
 * and body in any case. */
MUST_USE enum exit_code request_parse(struct invocation *call, int argc, char **argv, int at);

#endif
