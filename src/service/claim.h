/* Claim links: announced in the transaction of what they lead to, made when their mail is, revealed
 * once by whoever has the token. The secret is minted at the reveal, and a token stands nowhere but
 * in its mail, so nothing that is stored, with all keys of the server, could give either away. */
#ifndef KEYMETER_SERVICE_CLAIM_H
#define KEYMETER_SERVICE_CLAIM_H

#include "base/secret.h"
#include "service/key_change.h"
#include "store/claim.h"

struct keyring;
struct outbox_mail;
struct outbox_node;

/* A link to the secret that follows `generation` is to be mailed: the row that says since when,
 * which is to be inserted under the key's lock. No token opens it. */
void claim_announce(const struct operation *operation, uint64_t key_id, uint32_t generation,
                    struct claim_row *row);
/* The tokens of the links that go with these mails, in guarded memory; NULL where there is none. A
 * mail that is tried again gets another link to the same secret. In a transaction of its own, ahead
 * of the mails; ERR_FENCED. The caller frees them. Mailer's DB thread. */
MUST_USE enum err claim_links_make(struct db *db, const struct keyring *keyring,
                                   const struct outbox_node *node, const struct outbox_mail *mails,
                                   size_t count, int64_t now_ms, struct secret **tokens);

/* What becomes of the secret that is replaced; start "": it has ended already. */
struct claim_old {
    char start[11];
    int64_t ends_at;  /* at the latest */
    unsigned grace_s; /* how long it works behind the first use of the new one */
};

/* A reveal: the look, which wrong tokens do not pass, then the work. */
struct claim_reveal {
    struct operation operation; /* the caller sets service, request, address, status and write */
    unsigned char hash[32];     /* key_hash of the token */
    /* Loop, each exactly once. ERR_OK of the look: there is such a link, live or not. */
    void (*looked)(struct claim_reveal *reveal, enum err error);
    void (*done)(struct claim_reveal *reveal, enum err error);
    bool unknown; /* no such link, to be throttled */
    /* results of ERR_OK, also for operation.write: */
    uint64_t key_id, customer_id;
    const char *external_id, *title, *environment;
    struct secret *secret;
    struct claim_old old; /* the secret that it follows */
    /* its own: */
    struct db_job look_job;
    struct arena arena;
    uint32_t generation;
    int64_t used_at, ended_at; /* of the link, as the look saw it */
};
/* Its two halves, on DB threads: the look and the operation's run. */
MUST_USE enum err claim_look(struct db *db, struct claim_reveal *reveal);
enum err claim_run(struct db *db, struct operation *operation);
/* 404 claim_not_found; 503 while the clock is not trusted. With an error of its own (ERR_DENIED,
 * ERR_FULL, ERR_CLOSED) looked will not be called. Loop. */
MUST_USE enum err claim_look_start(struct claim_reveal *reveal);
/* Behind the look. 409 claim_used, claim_ended, key_revoked; an error of its own as above. Loop. */
MUST_USE enum err claim_reveal_start(struct claim_reveal *reveal);
void claim_reveal_done(struct claim_reveal *reveal);

/* Another link to the secret that waits, by mail; the old secret is not touched. 409
 * no_claim_pending, no_email. */
void claim_resend_init(struct key_change *change);

#endif
