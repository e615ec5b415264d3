/* How far something long is, on a terminal's standard error. */
#ifndef KEYMETER_CLI_PROGRESS_H
#define KEYMETER_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;     /* "keys" */
    uint64_t done, total; /* total 0: nobody knows */
    int64_t shown_us;
    bool shown;
};

/* Draws anew, ten times a second at most. Nothing where standard error is no terminal. */
void progress_show(struct progress *progress);
/* Takes the line away, before something else is written and at the end. */
void progress_clear(struct progress *progress);

#endif
