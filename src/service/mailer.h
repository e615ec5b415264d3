/* The mailer: claims what waits in the outbox, has it made, hands it to the transport, and writes
 * down what became of it. Any number of nodes may do so at once. Loop thread.
 *
 *   outbox ──claim, make (two DB threads)──► letters ──mail_submit──► relay
 *      ▲                                                             │
 *      └───────────finish (another DB thread, several at once)───────┘
 *
 * At most MAILER_LETTERS are between claim and finish. A process that is killed leaves those in
 * `sending`; they go out again, under the same Message-ID, when its node is fenced. */
#ifndef KEYMETER_SERVICE_MAILER_H
#define KEYMETER_SERVICE_MAILER_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

enum { MAILER_LETTERS = 256, MAILER_ERROR_SIZE = 512 };

struct mailer;
struct service;

/* With service->maker. It begins when the meter has joined, as whose node it writes. ERR_INVALID
 * with a text that names the setting. */
MUST_USE enum err mailer_new(struct mailer **out, struct service *service,
                             char error[MAILER_ERROR_SIZE]);
/* No more is claimed; what was handed over wholly gets up to drain_ms for its answer, the rest goes
 * back to the outbox; then closed(context). Before the meter leaves and curl stops. */
void mailer_stop(struct mailer *mailer, unsigned drain_ms, void (*closed)(void *context),
                 void *context);

/* When a mail that was not accepted is tried again: a minute after the first attempt, twice as long
 * after each further one, at most 2 hours; less up to a quarter, so that they spread. */
int64_t mailer_next_at(int64_t now_ms, unsigned attempts);

/* Hands over a mail that is no row of the outbox, as mail_submit does. */
struct mail_delivery;
MUST_USE enum err mailer_submit(struct mailer *mailer, struct mail_delivery *delivery);

struct mailer_stats {
    uint64_t accepted, failed, dead; /* mails; dead: given up at once */
    unsigned letters;                /* between claim and finish */
};
struct mailer_stats mailer_stats(const struct mailer *mailer);

#endif
