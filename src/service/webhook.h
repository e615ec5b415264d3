/* Webhooks of payment providers: their signatures, and what an event leaves behind. Nothing of an
 * event is believed but whom to read again. */
#ifndef KEYMETER_SERVICE_WEBHOOK_H
#define KEYMETER_SERVICE_WEBHOOK_H

#include "service/operation.h"
#include "service/pay_reading.h"
#include "store/payment_read.h"

enum { WEBHOOK_TOLERANCE_S = 300, WEBHOOK_BODY_MAX = 512 * 1024 };

/* `secrets`: one a line. ERR_DENIED: no signature of the body by one of them that is at most
 * WEBHOOK_TOLERANCE_S away from now_s. */
/* Stripe-Signature: t=…,v1=…[,v1=…]; HMAC-SHA256 in hex over "t.body", the secret as it stands. */
MUST_USE enum err webhook_check_stripe(struct span secrets, struct span header, struct span body,
                                       int64_t now_s);
/* Standard Webhooks: webhook-signature "v1,<base64>[ v1,<base64>]" over "id.timestamp.body". */
MUST_USE enum err webhook_check_standard(struct span secrets, struct span id, struct span timestamp,
                                         struct span signature, struct span body, int64_t now_s);

/* ASCII without spaces, as ids of events and external_ids are kept. */
bool webhook_is_graphic(struct span text);

/* Taking an event: it is known from here on, and whom it is about is due to be read, in one
 * transaction. Zero it, fill the first part; texts live until done. */
struct webhook {
    struct operation operation; /* the caller sets service and request */
    const char *provider, *event_id;
    struct payment_subject subject;
    void (*done)(struct webhook *webhook, enum err error);
    /* results: */
    bool duplicate;
    uint64_t found; /* customers that are due */
};
/* ERR_FULL, ERR_CLOSED: done will not be called. */
MUST_USE enum err webhook_take(struct webhook *webhook);

#endif
