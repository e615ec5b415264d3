/* From what the outbox stores of a mail to what its templates read. Pure, any thread. */
#ifndef KEYMETER_SERVICE_MAIL_EXPAND_H
#define KEYMETER_SERVICE_MAIL_EXPAND_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"
#include "service/mail_kind.h"

#include <jansson.h>

/* `stored` is a JSON object in which times are wall ms, durations seconds, amounts whole numbers:
 * they become the groups and texts that the kind's variables promise; what else it holds stays as
 * it is. ERR_INVALID: no object, or a number where none can be. mail_context_free(). */
MUST_USE enum err mail_expand(enum mail_kind kind, struct span stored, json_t **out);

#endif
