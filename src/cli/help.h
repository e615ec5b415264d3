/* What `--help` says, of the table of commands. */
#ifndef KEYMETER_CLI_HELP_H
#define KEYMETER_CLI_HELP_H

#include "cli/client.h"
#include "cli/commands.h"

#include <stdbool.h>
#include <stdio.h>

/* Is there a --help among the words, or is `help` the first? */
bool help_wanted(int argc, char **argv);
/* Of all, of a word's verbs, or of one command with its options. EXIT_CODE_LOCAL: no such. */
MUST_USE enum exit_code help_print(int argc, char **argv);
/* The verbs of a word; of all when there is no such word, or it is NULL. */
void help_verbs(const char *word, FILE *out);
/* What stands behind the command's words: " ID", or "". */
const char *help_argument(const struct command *command);
/* Does it take --body and --idempotency-key? */
bool help_has_body(const struct command *command);
/* What an option takes: " NUMBER", or "" for a flag. */
const char *help_value(const struct field *field);

#endif
