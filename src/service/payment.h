/* Asks whether a customer has paid for a tier (contract, "Billing over HTTP"). Loop thread.
 *
 * The middle of three steps: reserve (read what stands, decide), ask, commit. Only for tiers with
 * requires_payment; others are not asked. */
#ifndef KEYMETER_SERVICE_PAYMENT_H
#define KEYMETER_SERVICE_PAYMENT_H

#include "base/compiler.h"
#include "base/err.h"
#include "io/curl_loop.h"
#include "service/problem.h"

#include <stdint.h>

struct service;

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
    void *context;
    void (*done)(struct payment_ask *ask, enum payment_result result);
    /* results: */
    char status[16];                  /* "active" or "trialing" when confirmed */
    int64_t period_start, period_end; /* wall ms; 0: not told */
    const char *provider;             /* "http" */
    struct problem problem;           /* set unless confirmed: answer with it */
    /* its own: */
    struct service *service;
    struct curl_call call;
    struct buf body;
    char header_lines[4][128];
    const char *headers[5];
};

/* ERR_OK: done runs exactly once on the loop, never inside. ERR_DENIED: the answer is known at once
 * (provider none: 402) or asking could not begin; ask->problem is set and done will not run. */
MUST_USE enum err payment_check(struct service *service, struct payment_ask *ask);

/* The Standard Webhooks signature "v1,<base64>" of id.timestamp.body, by HMAC-SHA256. `secret` is
 * "whsec_<base64>" or raw bytes. ERR_INVALID: base64 that does not decode, or an empty secret. */
MUST_USE enum err payment_sign(struct span secret, const char *id, int64_t timestamp_s,
                               struct span body, char out[64]);
/* Reads the provider's answer. */
MUST_USE enum payment_result payment_read_answer(struct payment_ask *ask, long status,
                                                 struct span answer);

#endif
