/* The files of `keymeterd dev` in its state directory, each 0600 and written whole or not at all.
 * Main thread. */
#ifndef KEYMETER_DEV_STATE_H
#define KEYMETER_DEV_STATE_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <limits.h>

struct secret;

enum { DEV_STATE_ERROR_SIZE = 512 };

struct dev_state {
    char folder[PATH_MAX - 64]; /* absolute */
};

/* Makes the folder (0700) when there is none. NULL: $XDG_STATE_HOME/keymeter-dev, or
 * ./.keymeter-dev. */
MUST_USE enum err dev_state_open(struct dev_state *state, const char *folder,
                                 char error[DEV_STATE_ERROR_SIZE]);
void dev_state_path(const struct dev_state *state, const char *name, char out[PATH_MAX]);
/* ERR_NOT_FOUND when there is no such file. */
MUST_USE enum err dev_state_read(const struct dev_state *state, const char *name,
                                 struct secret **out, char error[DEV_STATE_ERROR_SIZE]);
MUST_USE enum err dev_state_write(const char *path, struct span text,
                                  char error[DEV_STATE_ERROR_SIZE]);

#endif
