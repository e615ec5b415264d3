/* Claim links: made in the transaction of what they announce, revealed once by whoever has the
 * token. The secret is minted at the reveal, so nothing that is stored could give it away before.
 */
#ifndef KEYMETER_SERVICE_CLAIM_H
#define KEYMETER_SERVICE_CLAIM_H

#include "base/secret.h"
#include "service/key_change.h"

/* A new link to the secret that follows `generation`; *token is its text, in guarded memory. On the
 * committer's thread, under the key's lock. */
MUST_USE enum err claim_issue(struct db *db, struct operation *operation, uint64_t key_id,
                              uint32_t generation, struct secret **token);

struct claim_reveal {
    struct operation operation; /* the caller sets service and request */
    unsigned char hash[32];     /* key_hash of the token */
    /* Loop, exactly once. `unknown`: no such link, to be throttled. */
    void (*done)(struct claim_reveal *reveal, enum err error);
    bool unknown;
    /* results of ERR_OK: */
    uint64_t key_id, customer_id;
    const char *external_id;
    struct secret *secret;
    /* its own: */
    struct db_job look_job;
    struct arena arena;
    uint32_t generation;
};
/* Its two halves, on DB threads: the look that wrong tokens do not pass, and the operation's run.
 */
MUST_USE enum err claim_look(struct db *db, struct claim_reveal *reveal);
enum err claim_run(struct db *db, struct operation *operation);
/* 404 claim_not_found, 409 claim_used, claim_ended, key_revoked; ERR_FULL, ERR_CLOSED: done will
 * not be called. While the clock is not trusted: 503. Loop. */
MUST_USE enum err claim_reveal_start(struct claim_reveal *reveal);
void claim_reveal_done(struct claim_reveal *reveal);

/* Another link to the secret that waits, by mail; the old secret is not touched. 409
 * no_claim_pending, no_email. */
void claim_resend_init(struct key_change *change);

#endif
