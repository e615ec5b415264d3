/* The outbox: mails that were decided in a transaction and are sent later, each once but for what
 * SMTP itself leaves open. DB thread.
 *
 *     queued ──claim──► sending ──accepted──► sent
 *                         │ ▲
 *          4xx, no relay  ▼ │ next_at          5xx, or 48 h over
 *                        retry ──────────────────────────────► dead ──an operator──► retry
 *
 * What a row carries: a JSON context that has no secret in it and is rendered at sending; or a
 * body, finished and encrypted to the recipient when the secret was made. Of a claim link it says
 * no more than that there is one: its token is made when the mail is (service/claim.h). */
#ifndef KEYMETER_STORE_OUTBOX_H
#define KEYMETER_STORE_OUTBOX_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

#define OUTBOX_RECIPIENT "outbox.recipient" /* contexts of crypto/envelope.h, with the row's id */

enum {
    OUTBOX_GIVE_UP_S = 48 * 3600,   /* from first_queued_at to dead */
    OUTBOX_FAR_AHEAD_S = 48 * 3600, /* a next_at beyond it comes from a wrong clock: due */
};

struct outbox_row {
    uint64_t id; /* id_new() */
    const char *kind;
    uint64_t subject; /* the key, or the customer */
    uint32_t generation, number;
    struct span recipient;        /* 16 bytes, blind index */
    uint64_t customer_id, key_id; /* key_id 0: none */
    struct span recipient_sealed;
    const char *context; /* JSON; NULL: there is a body */
    struct span body;    /* data NULL: there is a context */
    bool with_link;      /* a claim link, to the secret that follows the generation */
    int64_t queued_at;
};

/* ERR_EXISTS: one of these mails has been queued before. Inside a transaction. */
MUST_USE enum err outbox_insert(struct db *db, const struct outbox_row *rows, size_t count);
/* Numbers from here on are of mails that were asked for by hand (a link sent again). */
enum { OUTBOX_BY_HAND = 1000000 };
/* Sets the row's number to one, below those, that no mail of its kind, subject and generation has.
 */
MUST_USE enum err outbox_number(struct db *db, struct outbox_row *row);

/* ---- for the mailer; `node` names who sends, ERR_FENCED: it may not any more ---- */
struct outbox_node {
    unsigned node, incarnation;
};
/* Mails to be sent now, in the arena, and theirs to send from here on; also those that a fenced
 * node left in `sending`, which are the only ones that may go out twice. A transaction of its own.
 */
struct outbox_mail {
    struct outbox_row row;
    uint32_t attempts; /* with this one */
};
MUST_USE enum err outbox_claim(struct db *db, const struct outbox_node *node, int64_t now_ms,
                               size_t limit, struct arena *arena, struct outbox_mail **mails,
                               size_t *count);
/* Rows in `sending` that are this node's, but for those named, are due again: they were claimed by
 * a transaction whose outcome was unknown, so nobody has sent them. A transaction of its own. */
MUST_USE enum err outbox_release(struct db *db, const struct outbox_node *node,
                                 const uint64_t *held, size_t held_count, int64_t now_ms);
/* What became of several at once, in one transaction; those that are not this node's any more are
 * passed over. */
struct outbox_result {
    uint64_t id;
    bool accepted, final; /* final: dead, whatever next_at says */
    int64_t next_at;
    const char *error;
};
MUST_USE enum err outbox_finish(struct db *db, const struct outbox_node *node,
                                const struct outbox_result *results, size_t count, int64_t now_ms);
/* What became of one that was claimed; a transaction each. ERR_NOT_FOUND: it is not this node's to
 * send any more. Accepted: address, context and body are gone from the row, and the rotation
 * that waits for it knows. Failed: `next_at`, or dead with an alert when final or 48 h are over.
 * `error`: what the relay said, at most 200 bytes are kept. */
MUST_USE enum err outbox_accepted(struct db *db, const struct outbox_node *node, uint64_t id,
                                  int64_t now_ms);
MUST_USE enum err outbox_failed(struct db *db, const struct outbox_node *node, uint64_t id,
                                int64_t now_ms, int64_t next_at, bool final, const char *error);

/* ---- for people ---- */
struct outbox_view {
    uint64_t id, customer_id, key_id; /* key_id 0: none */
    const char *kind, *state, *error; /* error NULL: none */
    uint32_t generation, attempts;    /* generation 0: none */
    int64_t next_at, queued_at, accepted_at;
};
struct outbox_filter {
    uint64_t key_id, customer_id; /* 0: any; not both */
    struct span external_id;      /* used when both are 0 and it is not empty */
    uint64_t before;              /* ids below it; 0: from the newest */
    size_t limit;
};
MUST_USE enum err outbox_list(struct db *db, const struct outbox_filter *filter,
                              struct arena *arena, struct outbox_view **out, size_t *count);
MUST_USE enum err outbox_find(struct db *db, uint64_t id, struct arena *arena,
                              struct outbox_view *view);
/* A dead or waiting one is due now, with 48 h anew. *changed false: it is sent, being sent or due
 * already. ERR_NOT_FOUND. Inside a transaction. */
MUST_USE enum err outbox_retry(struct db *db, uint64_t id, int64_t now_ms, bool *changed);

#endif
