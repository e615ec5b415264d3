/* What a provider said of one payment, in the machine's words, and the parsing of Stripe's answers.
 * Pure, any thread. */
#ifndef KEYMETER_SERVICE_PAY_READING_H
#define KEYMETER_SERVICE_PAY_READING_H

#include "base/compiler.h"
#include "core/entitlement.h"

/* A reference of the http provider's is any text of 255 characters. */
enum { PAY_ID_SIZE = 256, PAY_REFERENCE_SIZE = 4 * 255 + 1, PAY_PRICES_SIZE = 2048 };

struct pay_reading {
    enum pay_status status;
    char reference[PAY_REFERENCE_SIZE]; /* resolved: what pays, for one customer only */
    char customer[PAY_ID_SIZE];         /* the provider's; "": not told */
    char client_reference[PAY_ID_SIZE]; /* whose payment it says it is; "": not told */
    char tier[TIER_SLUG_SIZE];          /* told outright (http); "": see prices */
    char prices[PAY_PRICES_SIZE];       /* ids of prices, their lookup keys and products, commas
                                           between */
    int64_t period_start, period_end;   /* wall ms; 0: not told */
    bool owes;                          /* the newest invoice is not paid */
    bool taken_back;                    /* the charge that was looked at is refunded or disputed */
};

/* True when one of the tier's price_references (comma-joined) is among the prices. */
bool pay_reading_buys(const struct pay_reading *reading, const char *price_references);

/* Stripe's objects (API version STRIPE_VERSION; older ones too, as far as they are read). ABSENT:
 * there is no such object, or it holds no subscription. UNCLEAR: not what was asked for. */
enum stripe_answer { STRIPE_READ, STRIPE_ABSENT, STRIPE_UNCLEAR };
#define STRIPE_VERSION "2025-03-31.basil"

/* Whether a 404 says that there is no such object, and not that there is no such path. */
MUST_USE bool stripe_is_missing(struct span body);
/* Of what is missing: whether there is one in the other mode. Stripe says so in words alone: "a
 * similar object exists in live mode, but a test mode key was used". */
MUST_USE bool stripe_is_of_other_mode(struct span body);
/* GET /v1/subscriptions/{id}?expand[]=latest_invoice */
MUST_USE enum stripe_answer stripe_subscription_read(struct span body, const char *id,
                                                     struct pay_reading *out);
/* GET /v1/checkout/sessions/{id}?expand[]=subscription.latest_invoice: of one that is complete. */
MUST_USE enum stripe_answer stripe_session_read(struct span body, const char *id,
                                                struct pay_reading *out);
/* GET /v1/subscriptions?customer={id}, which leaves out cancelled ones: the one that pays best;
 * among those that pay alike one with a price of `price_references`, then the newest. */
MUST_USE enum stripe_answer stripe_list_read(struct span body, const char *customer,
                                             const char *price_references, struct pay_reading *out);
struct stripe_charge {
    char customer[PAY_ID_SIZE], intent[PAY_ID_SIZE]; /* "": it has none */
    bool refunded, disputed;                         /* in full; ever */
};
/* GET /v1/charges/{id} */
MUST_USE enum stripe_answer stripe_charge_read(struct span body, const char *id,
                                               struct stripe_charge *out);
/* GET /v1/invoice_payments?payment[payment_intent]=…&expand[]=data.invoice: *of_it when one of the
 * invoices is the subscription's. */
MUST_USE enum stripe_answer stripe_payments_read(struct span body, const char *subscription,
                                                 bool *of_it);

/* An event, as it says itself; nothing of it is believed but what to read again. */
struct stripe_event {
    char id[PAY_ID_SIZE], type[64];
    char subscription[PAY_ID_SIZE], customer[PAY_ID_SIZE], client_reference[PAY_ID_SIZE],
        charge[PAY_ID_SIZE], session[PAY_ID_SIZE]; /* "": it does not say */
};
/* False: no event. */
MUST_USE bool stripe_event_read(struct span body, struct stripe_event *out);

#endif
