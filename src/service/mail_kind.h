/* The kinds of mail and what each may say: one table of variables a kind. The loader of templates
 * checks every name against it, senders' contexts are checked against it, `mail preview` takes its
 * examples from it, and docs/mail-templates.md is compared with it by a test. Read-only, any
 * thread.
 *
 * A new kind: its name in the enum, its line and table in mail_kind.c, en/KIND.txt and en/KIND.html
 * in templates/mail, its section in docs/mail-templates.md. */
#ifndef KEYMETER_SERVICE_MAIL_KIND_H
#define KEYMETER_SERVICE_MAIL_KIND_H

#include "base/compiler.h"
#include "base/span.h"
#include "base/template.h"

#include <stdbool.h>

enum mail_kind {
    MAIL_KEY_ISSUED,
    MAIL_ROTATION_UPCOMING,
    MAIL_ROTATED,
    MAIL_CLAIM_REMINDER,
    MAIL_OLD_SECRET_IN_USE,
    MAIL_RETIRED,
    MAIL_EXPIRING,
    MAIL_REGENERATED,
    MAIL_REVOKED,
    MAIL_CONTACT_CHANGED,
    MAIL_QUOTA_80,
    MAIL_QUOTA_100,
    MAIL_ENCRYPTION_KEY_EXPIRING,
    MAIL_PAYMENT_FAILED,
    MAIL_SUSPENDED,
    MAIL_DOWNGRADED,
    MAIL_PAYMENT_RESTORED,
    MAIL_PAYMENT_ENDING,
};
enum { MAIL_KIND_COUNT = MAIL_PAYMENT_ENDING + 1 };

/* "key_issued" …: the name in the API, in the outbox and of the templates' files. */
const char *mail_kind_name(enum mail_kind kind);
MUST_USE bool mail_kind_parse(struct span name, enum mail_kind *kind);
/* When it is sent, a sentence. */
const char *mail_kind_help(enum mail_kind kind);

/* Tables as base/template.h has them: what only this kind knows, what all kinds know, and the few
 * things that a subject may say, since it is never encrypted. */
const struct template_variable *mail_kind_variables(enum mail_kind kind);
extern const struct template_variable mail_common_variables[];
extern const struct template_variable mail_subject_variables[];

/* Members of every time and of every duration; mail_time() and mail_duration() make such values. */
extern const struct template_variable mail_time_members[];
extern const struct template_variable mail_duration_members[];

#endif
