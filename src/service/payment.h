/* Asks whether a customer has paid for a tier: the operator's billing system (contract, "Billing
 * over HTTP") or Stripe (service/stripe.c). Loop thread.
 *
 * The middle of three steps: reserve (read what stands, decide), ask, commit. Only for tiers with
 * requires_payment; others are not asked. Later the same is asked `again`, to hear how things are
 * now. */
#ifndef KEYMETER_SERVICE_PAYMENT_H
#define KEYMETER_SERVICE_PAYMENT_H

#include "base/compiler.h"
#include "base/err.h"
#include "io/curl_loop.h"
#include "service/pay_reading.h"
#include "service/problem.h"

#include <stdint.h>

struct service;
struct settings;

enum payment_result {
    PAYMENT_CONFIRMED,
    PAYMENT_REFUSED, /* not paid, or for another tier: 402 payment_required */
    PAYMENT_UNKNOWN, /* could not be asked: 503 payment_unavailable */
};

/* Zero it, fill the first part, keep it and its texts in place until done. */
struct payment_ask {
    const char *external_id, *email; /* email NULL: not told */
    const char *tier;
    const char *reference; /* NULL: none */
    const char *prices;    /* the tier's price_references, comma-joined; NULL: none */
    bool again;            /* nothing is judged: CONFIRMED says that `reading` holds */
    const char *charge;    /* again: look also whether it was taken back; NULL: none. Without a
                              reference: whose it is, which `reading.customer` says */
    const char *session;   /* again: completed, to be looked at when what paid has ended; or NULL */
    void *context;
    void (*done)(struct payment_ask *ask, enum payment_result result);
    /* results: */
    struct pay_reading reading;
    struct pay_reading renewal; /* what the session bought, for this very customer … */
    bool renewed;               /* … which pays now */
    const char *provider;       /* "http", "stripe" */
    struct problem problem;     /* set unless confirmed: answer with it */
    bool heard;      /* unknown, but the provider answered what it was asked, of no use though */
    unsigned busy_s; /* the provider wants nothing more for so long; 0: it did not say so */
    /* its own: */
    struct service *service;
    struct curl_call call;
    struct buf body;
    char header_lines[4][128];
    const char *headers[5];
    char url[1024];
    int step;
    uint64_t key_number;      /* of the API key that it began with; 0: not begun */
    char intent[PAY_ID_SIZE]; /* of the charge */
};

/* ERR_OK: done runs exactly once on the loop, never inside. ERR_DENIED: the answer is known at once
 * (provider none: 402) or asking could not begin; ask->problem is set and done will not run. */
MUST_USE enum err payment_check(struct service *service, struct payment_ask *ask);

/* The Standard Webhooks signature "v1,<base64>" of id.timestamp.body, by HMAC-SHA256. `secret` is
 * "whsec_<base64>" or raw bytes. ERR_INVALID: base64 that does not decode, or an empty secret. */
MUST_USE enum err payment_sign(struct span secret, const char *id, int64_t timestamp_s,
                               struct span body, char out[64]);
/* What a secret file holds (base/secret_file.h), without the line ends behind it: one secret, or
 * one a line. ERR_IO: it cannot be had, or is empty; the log says why. */
struct secret;
MUST_USE enum err payment_secret(const char *path, struct secret **out);
/* What is wrong with the text of a secret file, to be told; NULL: nothing. Stripe's API key, what
 * requests of the http provider are signed with, and secrets of webhooks, one a line. */
MUST_USE const char *payment_key_wrong(const struct settings *settings, struct span text);
MUST_USE const char *payment_webhook_wrong(const struct settings *settings, struct span text);
/* Of a file of webhook secrets: the next line that is one, of a comment or nothing being none.
 * False at the end. */
MUST_USE bool payment_webhook_next(struct span *rest, struct span *secret);
/* Whether that status answers what was asked, and not who asked or how the provider is. */
MUST_USE bool payment_is_answer(long status);
/* Whether the service may ask at all; the name of whom it asks. */
const char *payment_provider_name(const struct service *service);
/* Sets the problem: 402, 503. */
void payment_refuse(struct payment_ask *ask, const char *why);
void payment_unknown(struct payment_ask *ask);
/* payment_unknown, and a line in the log; ERR_DENIED. */
enum err payment_fail(struct payment_ask *ask, const char *why);
/* The way to Stripe: as payment_check. */
MUST_USE enum err stripe_check(struct service *service, struct payment_ask *ask);
/* Reads the http provider's answer. */
MUST_USE enum payment_result payment_read_answer(struct payment_ask *ask, long status,
                                                 struct span answer);

#endif
