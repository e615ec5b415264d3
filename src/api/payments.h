/* The calls around payment: webhooks of providers, reconciliation, approvals. Loop thread. */
#ifndef KEYMETER_API_PAYMENTS_H
#define KEYMETER_API_PAYMENTS_H

#include "io/http.h"

struct verdict handle_stripe_webhook(struct http_request *request);
struct verdict handle_payment_webhook(struct http_request *request);
struct verdict handle_payments_reconcile(struct http_request *request);
struct verdict handle_approval_create(struct http_request *request);

#endif
