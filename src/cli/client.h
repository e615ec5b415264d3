/* One HTTP exchange with Keymeter's API for the command line. Main thread, blocking. */
#ifndef KEYMETER_CLI_CLIENT_H
#define KEYMETER_CLI_CLIENT_H

#include "base/buf.h"
#include "base/compiler.h"

#include <jansson.h>
#include <stdbool.h>

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_LOCAL = 1,   /* wrong usage, a file, no connection */
    EXIT_CODE_REFUSED = 2, /* answered, but not with what was asked for */
    EXIT_CODE_UNAUTHORISED = 4,
};

struct client_answer {
    bool waits; /* set before: for as long as the server takes, which has a limit of its own */
    bool raw;   /* set before: any status is an answer, and it need not be JSON */
    long status;
    struct buf text; /* empty, or JSON */
    json_t *json;
    bool lost; /* sent, but no answer came: it may have been done */
};

/* KEYMETER_ADDR and KEYMETER_TOKEN say where and as whom. body NULL: none. Whatever is not a 2xx is
 * told on standard error and gives its exit code. With an idempotency_key (NULL: none) a call whose
 * connection breaks is sent once more. The answer is to be freed in any case. */
MUST_USE enum exit_code client_call(const char *method, const char *path, const json_t *body,
                                    const char *idempotency_key, struct client_answer *answer);
void client_answer_free(struct client_answer *answer);
/* Closes the connections that earlier calls left. */
void client_done(void);
/* Appends the text percent-encoded. */
void client_add_escaped(struct buf *out, const char *text);

#endif
