/* Signing up: a customer, what it is entitled to and its first key, all or nothing. Three steps:
 * look (what stands already, whether the tier wants payment), ask the billing system where it does,
 * commit. Nothing is written before the last one. */
#ifndef KEYMETER_SERVICE_SIGNUP_H
#define KEYMETER_SERVICE_SIGNUP_H

#include "service/encryption.h"
#include "service/issue.h"
#include "service/payment.h"
#include "store/customer_view.h"

struct signup {
    struct operation operation; /* the caller sets service, request, token_id */
    const char *external_id, *email, *tier;
    const char *name;      /* NULL: none */
    const char *reference; /* NULL: none */
    const char *metadata;  /* JSON; NULL: {} */
    const char *language;  /* of mails; NULL: that of mail.language */
    struct encryption encryption;
    bool with_key;
    struct key_settings key;
    /* Loop, exactly once; with ERR_DENIED operation.problem tells. After it, signup_done. */
    void (*done)(struct signup *signup, enum err error);
    /* results of ERR_OK: */
    struct customer_view customer;
    struct key_change made; /* its delivery, secret and view; delivery.by_mail: the caller's */
    /* its own: */
    struct db_job look_job;
    struct payment_ask ask;
    bool requires_payment;
    char prices[TIER_LIST_SIZE]; /* the tier's price_references */
    uint64_t customer_id;
    struct period_rule months;
    struct arena arena;
};

/* ERR_FULL, ERR_CLOSED: done will not be called. */
MUST_USE enum err signup_start(struct signup *signup);
/* Wipes the secret and frees what the views stand in. */
void signup_done(struct signup *signup);

/* The sealed columns of a customer; they live in the arena. NULL texts leave the spans empty. */
MUST_USE enum err customer_seal(const struct keyring *keyring, const char *email, const char *name,
                                struct arena *arena, struct customer_row *row);
/* From a confirmed payment on, its provider is read again; first soon, for what happened meanwhile.
 */
MUST_USE enum err payment_follow(struct db *db, uint64_t customer_id,
                                 const struct payment_ask *confirmed, int64_t now_ms);

#endif
