/* Queuing mails: a row of the outbox in the transaction of what it tells. */
#ifndef KEYMETER_SERVICE_NOTICE_H
#define KEYMETER_SERVICE_NOTICE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct api_key_row;
struct arena;
struct customer_row;
struct db;
struct operation;
struct outbox_row;

/* A member of a context: true where the mail goes in clear whatever key is on file by then, because
 * it tells of that very key's coming. */
#define NOTICE_IN_CLEAR "in_clear"

/* One mail. `context` is a JSON object begun with notice_open (or empty, with a body): notice_queue
 * closes it. In it times are wall ms, durations seconds, the names those of the kind's templates;
 * it is stored as it is, so it never has a secret, an address or a name in it. */
struct notice {
    uint64_t id;      /* 0: notice_queue makes one */
    const char *kind; /* "rotated" … */
    const struct customer_row *customer;
    uint64_t key_id; /* 0: about the customer */
    uint32_t generation, number;
    struct buf context;
    bool closed;      /* the context is whole */
    struct span body; /* finished and encrypted; data NULL: rendered from the context */
    bool with_link;   /* a claim link goes with it, whose row the caller has inserted */
};

/* Begins the context with the key: key_title, key_id, environment, key_start. */
void notice_open(struct notice *notice, const struct api_key_row *key, const char *start);
void notice_done(struct notice *notice);
/* The context, closed. */
struct span notice_context(struct notice *notice);
/* The mail's row, which is to be inserted; what it points to is in the arena or the notice's own
 * (customer, body). ERR_NOT_FOUND: the customer has no address. */
MUST_USE enum err notice_write(const struct operation *operation, struct notice *notice,
                               struct arena *arena, struct outbox_row *row);
/* Inside a transaction; *mail_id (may be NULL) gets its id. ERR_NOT_FOUND: the customer has no
 * address. ERR_EXISTS: it was queued before. */
MUST_USE enum err notice_queue(struct db *db, struct operation *operation, struct notice *notice,
                               uint64_t *mail_id);

/* What a change of a key is told with, when service->mails says that mail is sent at all: looks up
 * the customer, queues the kind, and takes a missing address for nothing to be told. `start` is the
 * secret's that was in use. */
MUST_USE enum err notice_of_key(struct db *db, struct operation *operation, const char *kind,
                                const struct api_key_row *key, uint32_t generation,
                                const char *start, const char *time_name, int64_t time_ms);
/* The same for a notice whose kind, generation and context are set already. */
MUST_USE enum err notice_tell(struct db *db, struct operation *operation, struct notice *notice,
                              uint64_t customer_id);

#endif
