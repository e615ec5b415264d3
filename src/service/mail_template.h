/* The texts of mails: built-in templates, and an operator's own that stand before them. Loaded once
 * at start; afterwards read-only, any thread.
 *
 * A folder holds a folder a language, with a KIND.txt (its first line is "Subject: …") and a
 * KIND.html for each mail that is to read otherwise, and partials, _NAME.txt and _NAME.html. What a
 * language lacks is looked for in the shorter one and then in English (de-AT, de, en). Text and
 * HTML of one mail are always of one language. */
#ifndef KEYMETER_SERVICE_MAIL_TEMPLATE_H
#define KEYMETER_SERVICE_MAIL_TEMPLATE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/template.h"
#include "service/mail_kind.h"

#include <jansson.h>
#include <stddef.h>

enum {
    MAIL_SUBJECT_SIZE = 201,    /* bytes with the NUL */
    MAIL_PART_MAX = 128 * 1024, /* bytes of the text, and of the HTML */
    MAIL_TEMPLATE_FAULTS_MAX = 50,
};

struct mail_templates;

/* `folder` NULL or "": only the built-in templates. A file that cannot be used (unreadable,
 * malformed, a name that its kind does not know …) is a fault; another one stands in for it, in the
 * end the built-in one. ERR_NO_MEMORY. */
MUST_USE enum err mail_templates_new(struct mail_templates **out, const char *folder);
void mail_templates_free(struct mail_templates **templates); /* accepts NULL */
/* What was wrong with the folder's files, each "FILE:LINE: …" or "FILE: …": for an alert. They live
 * as long as the templates. */
size_t mail_templates_faults(const struct mail_templates *templates, const char *const **faults);

struct mail_text {
    char subject[MAIL_SUBJECT_SIZE]; /* UTF-8, one line, no control characters */
    struct buf text, html;           /* UTF-8, lines end with \n; html.length 0: text alone */
    /* Not empty: an operator's template failed, these are the built-in texts; or why there are
     * none. */
    char fault[TEMPLATE_ERROR_SIZE];
};

/* Renders a mail. `language` is a tag as "de-AT" (RFC 5646); NULL, "" and what is not known:
 * English. ERR_INVALID: the context does not fit the kind (mail_context_check); ERR_FULL: even the
 * built-in template met a limit; ERR_NO_MEMORY. `out` is to be given to mail_text_done in any case.
 */
MUST_USE enum err mail_render(const struct mail_templates *templates, enum mail_kind kind,
                              const char *language, const json_t *context, struct mail_text *out);
void mail_text_done(struct mail_text *text); /* wipes: a text may hold a secret */

#endif
