/* What a mail is rendered from: a JSON object with the variables of its kind (mail_kind.h). Senders
 * make it, mail_render() checks it. Any thread. */
#ifndef KEYMETER_SERVICE_MAIL_CONTEXT_H
#define KEYMETER_SERVICE_MAIL_CONTEXT_H

#include "base/compiler.h"
#include "base/err.h"
#include "service/mail_kind.h"

#include <jansson.h>
#include <stdint.h>

/* Values to be put into a context with json_object_set_new(); NULL on no memory, which that call
 * passes on as its own failure. */
json_t *mail_time(int64_t wall_ms);     /* a group with mail_time_members */
json_t *mail_duration(int64_t seconds); /* a group with mail_duration_members */
json_t *mail_number(uint64_t number);   /* a text: 1,234,567 */

/* Whether it holds what the kind's variables promise to templates: no name that is not declared,
 * none missing that is not optional, each of its type, and not both `secret` and `claim_url`.
 * ERR_INVALID with a text that names the variable, never its value: a fault of the sender. */
MUST_USE enum err mail_context_check(enum mail_kind kind, const json_t *context,
                                     char error[TEMPLATE_ERROR_SIZE]);

/* Wipes the secret and the link, if the context is nobody else's, and lets go of it. */
void mail_context_free(json_t **context);

/* An example, for previews and tests: with the secret, with a claim link, with neither, or with
 * nothing at all that may be missing. NULL on no memory. */
enum mail_shape { MAIL_WITH_SECRET, MAIL_WITH_CLAIM, MAIL_WITH_NEITHER, MAIL_SHORTEST };
MUST_USE json_t *mail_example(enum mail_kind kind, enum mail_shape shape);

#endif
