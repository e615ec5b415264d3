/* `keymeter doctor`: what is wrong with an installation, and what to do about it. */
#ifndef KEYMETER_CLI_DOCTOR_H
#define KEYMETER_CLI_DOCTOR_H

#include "cli/client.h"

#include <stdbool.h>

/* EXIT_CODE_LOCAL: something is wrong, or nothing answers. EXIT_CODE_UNAUTHORISED: the token may
 * not look. */
MUST_USE enum exit_code doctor_run(bool as_json);

#endif
