/* `keymeterd dev`: the daemon with a private database, a token and a key, for trying and for tests.
 * Main thread. */
#ifndef KEYMETER_DEV_H
#define KEYMETER_DEV_H

#include <stdbool.h>
#include <stddef.h>

struct dev_options {
    const char *config;    /* NULL: no file */
    const char *state_dir; /* NULL: $XDG_STATE_HOME/keymeter-dev or ./.keymeter-dev */
    const char *json_file; /* NULL: none */
    const char *const *sets;
    size_t set_count;
    bool once; /* end after the shown call: 0, or 1 when it was refused */
};

/* An exit code. */
int dev_run(const struct dev_options *options);

#endif
