/* Scripts by which a shell completes `keymeter`'s words, made of the table of commands. */
#ifndef KEYMETER_CLI_COMPLETION_H
#define KEYMETER_CLI_COMPLETION_H

/* To standard output; shell is "bash", "zsh" or "fish". */
void completion_print(const char *shell);

#endif
