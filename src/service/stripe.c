/* Asking Stripe. A reference is a Checkout Session, a subscription or a customer; each is one GET
 * that brings the subscription with its newest invoice. What an event named is looked at behind it:
 * a session when the subscription has ended, a charge, and what the charge paid. Called by
 * payment_check on the loop. What always holds: the API key is read for each ask and wiped after
 * it; only an answer of 200 that is the object asked for says anything, a 404 of Stripe's own words
 * says that there is none, everything else is "cannot be asked"; and what is known is not taken for
 * gone on the word of an account that never knew it (service/stripe_account.h). */
#include "service/payment.h"

#include "base/log.h"
#include "base/secret.h"
#include "conf/settings.h"
#include "service/context.h"

#include <stdio.h>

enum {
    ANSWER_MAX = 512 * 1024,
    BUSY_S = 10, /* after a 429 */
    LIST_MAX = 20,
    HEADER_SIZE = 600,
};
enum step {
    STEP_SUBSCRIPTION,
    STEP_SESSION,
    STEP_LIST,
    STEP_RENEWAL, /* the session of an event */
    STEP_CHARGE,
    STEP_PAYMENTS, /* of the charge's intent */
};
#define STRIPE_URL "https://api.stripe.com"
#define OTHER_MODE                                                                                 \
    "the API key in payment.secret_file is of the other mode (test or live) than the payment"

static void secret_release(struct secret **secret)
{
    secret_free(secret);
}

/* Ids go into paths: letters, digits and underscores. */
static bool is_id(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    if (!text || strncmp(text, prefix, length) != 0 || !text[length]) return false;
    for (const char *at = text + length; *at; at++)
        if (!((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') ||
              (*at >= 'A' && *at <= 'Z') || *at == '_'))
            return false;
    return strlen(text) < PAY_ID_SIZE;
}

static bool url_write(struct payment_ask *ask)
{
    const char *base = ask->service->settings->payment.url, *id = ask->reference;
    int length = -1;
    if (!base[0]) base = STRIPE_URL;
    size_t size = sizeof ask->url, base_length = strlen(base);
    int whole = (int)(base_length && base[base_length - 1] == '/' ? base_length - 1 : base_length);
    switch ((enum step)ask->step) {
    case STEP_SUBSCRIPTION:
        length = snprintf(ask->url, size, "%.*s/v1/subscriptions/%s?expand%%5B%%5D=latest_invoice",
                          whole, base, id);
        break;
    case STEP_SESSION:
        length = snprintf(ask->url, size,
                          "%.*s/v1/checkout/sessions/%s?expand%%5B%%5D=subscription.latest_invoice",
                          whole, base, id);
        break;
    case STEP_LIST:
        length = snprintf(ask->url, size,
                          "%.*s/v1/subscriptions?customer=%s&limit=%d"
                          "&expand%%5B%%5D=data.latest_invoice",
                          whole, base, id, LIST_MAX);
        break;
    case STEP_RENEWAL:
        length = snprintf(ask->url, size,
                          "%.*s/v1/checkout/sessions/%s?expand%%5B%%5D=subscription.latest_invoice",
                          whole, base, ask->session);
        break;
    case STEP_CHARGE:
        length = snprintf(ask->url, size, "%.*s/v1/charges/%s", whole, base, ask->charge);
        break;
    case STEP_PAYMENTS:
        length = snprintf(ask->url, size,
                          "%.*s/v1/invoice_payments?payment%%5Btype%%5D=payment_intent"
                          "&payment%%5Bpayment_intent%%5D=%s&limit=%d&expand%%5B%%5D=data.invoice",
                          whole, base, ask->intent, LIST_MAX);
        break;
    }
    return length > 0 && (size_t)length < size;
}

/* ---- the end ---- */

static void finish(struct payment_ask *ask, enum payment_result result)
{
    buf_done(&ask->call.answer);
    ask->done(ask, result);
}

static void finish_refused(struct payment_ask *ask, const char *why)
{
    payment_refuse(ask, why);
    finish(ask, PAYMENT_REFUSED);
}

static void finish_unknown(struct payment_ask *ask, const char *why)
{
    enum err denied = payment_fail(ask, why);
    (void)denied;
    finish(ask, PAYMENT_UNKNOWN);
}

/* It answered, and that is of no use. */
static void finish_unclear(struct payment_ask *ask, const char *why)
{
    ask->heard = true;
    finish_unknown(ask, why);
}

static void judge(struct payment_ask *ask)
{
    const struct pay_reading *reading = &ask->reading;
    if (!ask->again && reading->client_reference[0] &&
        strcmp(reading->client_reference, ask->external_id) != 0) {
        enum err denied =
            problem_set(&ask->problem, 409, "payment_reference_mismatch",
                        "The Checkout Session's client_reference_id is another customer's.");
        (void)denied;
        finish(ask, PAYMENT_REFUSED);
    } else if (!ask->again && !pay_status_pays(reading->status)) {
        finish_refused(ask, "Stripe has no current payment for this reference.");
    } else if (!ask->again && !pay_reading_buys(reading, ask->prices)) {
        finish_refused(ask, "The price that was paid does not buy this tier: see the tier's "
                            "price_references.");
    } else {
        finish(ask, PAYMENT_CONFIRMED);
    }
}

/* What this key does not find is not gone when it is a stranger's: then the ask ends as one that
 * could not be asked. Of readings alone: nothing hangs on what a sign-up names. */
static bool finish_strange(struct payment_ask *ask, struct span body)
{
    if (ask->call.status != 200 && stripe_is_of_other_mode(body)) {
        finish_unclear(ask, OTHER_MODE);
        return true;
    }
    if (stripe_account_is_known(&ask->service->stripe_account, ask->key_number)) return false;
    finish_unclear(ask, "Stripe has found none of the payments yet that it was asked for with this "
                        "API key: is payment.secret_file of another account?");
    return true;
}

/* ---- the steps ---- */

static enum err step_start(struct payment_ask *ask);

static void step_next(struct payment_ask *ask, enum step step)
{
    ask->step = (int)step;
    if (step_start(ask) != ERR_OK) finish_unknown(ask, "Stripe could not be asked the next thing");
}

static bool is_charge(const char *id)
{
    return is_id(id, "ch_") || is_id(id, "py_");
}

static void charge_next(struct payment_ask *ask)
{
    if (ask->charge && is_charge(ask->charge))
        step_next(ask, STEP_CHARGE);
    else
        judge(ask);
}

/* What stands has been read. */
static void read_on(struct payment_ask *ask)
{
    bool ended = ask->again && pay_status_ended(ask->reading.status);
    if (ended && ask->session && is_id(ask->session, "cs_"))
        step_next(ask, STEP_RENEWAL);
    else
        charge_next(ask);
}

/* Bought anew counts only when the session says so itself: of this customer, and paid. */
static void renewal_answered(struct payment_ask *ask, struct span body)
{
    struct pay_reading *next = &ask->renewal;
    enum stripe_answer answer = STRIPE_ABSENT;
    if (ask->call.status == 200) answer = stripe_session_read(body, ask->session, next);
    if (answer == STRIPE_UNCLEAR) {
        finish_unclear(ask, "Stripe's answer is not the Checkout Session");
        return;
    }
    if (answer == STRIPE_ABSENT && finish_strange(ask, body)) return;
    ask->renewed = answer == STRIPE_READ && pay_status_pays(next->status) &&
                   strcmp(next->client_reference, ask->external_id) == 0 &&
                   strcmp(next->reference, ask->reference) != 0;
    if (ask->renewed)
        judge(ask); /* a charge was of what has ended */
    else
        charge_next(ask);
}

static void charge_answered(struct payment_ask *ask, struct span body)
{
    const struct settings *settings = ask->service->settings;
    struct pay_reading *reading = &ask->reading;
    struct stripe_charge charge = {.refunded = false};
    enum stripe_answer answer = STRIPE_ABSENT;
    if (ask->call.status == 200) answer = stripe_charge_read(body, ask->charge, &charge);
    if (answer == STRIPE_UNCLEAR) {
        finish_unclear(ask, "Stripe's answer is not a charge");
        return;
    }
    if (answer == STRIPE_ABSENT && finish_strange(ask, body)) return;
    if (!ask->reference) { /* whose is it */
        snprintf(reading->customer, sizeof reading->customer, "%s", charge.customer);
        finish(ask, PAYMENT_CONFIRMED);
        return;
    }
    bool other = charge.customer[0] && reading->customer[0] &&
                 strcmp(charge.customer, reading->customer) != 0;
    /* What it paid is asked by its intent, and an invoice is paid by nothing else. */
    bool of_invoice = !other && is_id(charge.intent, "pi_");
    reading->taken_back =
        of_invoice && ((settings->payment.on_refund == SETTINGS_REFUND_LAPSES && charge.refunded) ||
                       (settings->payment.on_dispute == SETTINGS_REFUND_LAPSES && charge.disputed));
    if (reading->taken_back) {
        memcpy(ask->intent, charge.intent, sizeof ask->intent);
        step_next(ask, STEP_PAYMENTS);
    } else {
        judge(ask);
    }
}

static void payments_answered(struct payment_ask *ask, struct span body)
{
    struct pay_reading *reading = &ask->reading;
    enum stripe_answer answer = STRIPE_UNCLEAR;
    if (ask->call.status == 200)
        answer = stripe_payments_read(body, reading->reference, &reading->taken_back);
    if (answer == STRIPE_READ)
        judge(ask);
    else
        finish_unclear(ask, "Stripe's answer is not what the charge paid");
}

static void finish_absent(struct payment_ask *ask, struct span body)
{
    if (!ask->again) {
        if (stripe_is_of_other_mode(body)) log_event(LOG_WARN, "payment_mode", OTHER_MODE);
        finish_refused(ask,
                       "Stripe knows no such payment, or it is not complete: payment.reference "
                       "must be a completed Checkout Session, a subscription or a customer.");
    } else if (!finish_strange(ask, body)) {
        ask->reading = (struct pay_reading){.status = PAY_NONE};
        read_on(ask);
    }
}

static void subscription_read(struct payment_ask *ask)
{
    if (ask->again) stripe_account_found(&ask->service->stripe_account, ask->key_number);
    read_on(ask);
}

static void subscription_answered(struct payment_ask *ask, struct span body)
{
    enum stripe_answer answer = STRIPE_ABSENT;
    if (ask->call.status == 200) {
        if (ask->step == STEP_SUBSCRIPTION)
            answer = stripe_subscription_read(body, ask->reference, &ask->reading);
        else if (ask->step == STEP_SESSION)
            answer = stripe_session_read(body, ask->reference, &ask->reading);
        else
            answer = stripe_list_read(body, ask->reference, ask->prices, &ask->reading);
    }
    if (answer == STRIPE_UNCLEAR)
        finish_unclear(ask, "Stripe's answer is not what was asked for");
    else if (answer == STRIPE_ABSENT)
        finish_absent(ask, body);
    else
        subscription_read(ask);
}

static void step_answered(struct payment_ask *ask, struct span body)
{
    switch ((enum step)ask->step) {
    case STEP_SUBSCRIPTION:
    case STEP_SESSION:
    case STEP_LIST:
        subscription_answered(ask, body);
        break;
    case STEP_RENEWAL:
        renewal_answered(ask, body);
        break;
    case STEP_CHARGE:
        charge_answered(ask, body);
        break;
    case STEP_PAYMENTS:
        payments_answered(ask, body);
        break;
    }
}

static void call_done(struct curl_call *call, enum err error)
{
    struct payment_ask *ask = CONTAINER_OF(call, struct payment_ask, call);
    char why[320];
    /* Of a parameter (a customer whose subscriptions are asked for) 400 says it. */
    bool missing = (call->status == 404 || (call->status == 400 && ask->step == STEP_LIST)) &&
                   stripe_is_missing(buf_span(&call->answer));
    if (error == ERR_OK && (call->status == 200 || missing)) {
        struct buf answer CLEANUP(buf_done) = call->answer;
        call->answer = (struct buf){0};
        step_answered(ask, buf_span(&answer));
        return;
    }
    if (error == ERR_OK && call->status == 429) ask->busy_s = BUSY_S;
    ask->heard = error == ERR_OK && payment_is_answer(call->status);
    snprintf(why, sizeof why, "%s, status %ld%s %.200s", err_name(error), call->status,
             call->status == 401 ? ": the API key in payment.secret_file is not taken" : ":",
             error == ERR_OK ? "Stripe did not answer the question" : call->error_text);
    finish_unknown(ask, why);
}

static enum err step_start(struct payment_ask *ask)
{
    const struct settings *settings = ask->service->settings;
    struct secret *key CLEANUP(secret_release) = NULL;
    struct secret *line CLEANUP(secret_release) = secret_new(HEADER_SIZE);
    if (!line || !url_write(ask)) return ERR_NO_MEMORY;
    if (payment_secret(settings->payment.secret_file, &key) != ERR_OK ||
        payment_key_wrong(settings, secret_span(key)))
        return ERR_IO;
    int length = snprintf(line->text, line->capacity, "Authorization: Bearer %s", key->text);
    if (length < 0 || (size_t)length >= line->capacity) return ERR_IO;
    uint64_t number = stripe_account_use(&ask->service->stripe_account, key);
    if (ask->key_number && ask->key_number != number) return ERR_CLOSED; /* half by another key */
    ask->key_number = number;
    line->length = (size_t)length;
    const char *const headers[] = {line->text, "Stripe-Version: " STRIPE_VERSION,
                                   "Accept: application/json", NULL};
    ask->call = (struct curl_call){
        .url = ask->url,
        .method = "GET",
        .headers = headers, /* copied within the submit */
        .ca_file = settings->payment.ca_file[0] ? settings->payment.ca_file : NULL,
        .timeout_ms = settings->payment.timeout_ms,
        .answer_limit = ANSWER_MAX,
        .done = call_done,
    };
    enum err error = curl_loop_submit(ask->service->curl, &ask->call);
    ask->call.headers = NULL;
    return error;
}

enum err stripe_check(struct service *service, struct payment_ask *ask)
{
    ask->service = service;
    ask->renewed = false;
    ask->key_number = 0;
    ask->busy_s = 0;
    ask->reading = (struct pay_reading){.status = PAY_NONE};
    if (!ask->reference && ask->again && ask->charge && is_charge(ask->charge)) {
        ask->step = STEP_CHARGE;
    } else if (is_id(ask->reference, "cs_")) {
        ask->step = STEP_SESSION;
    } else if (is_id(ask->reference, "sub_")) {
        ask->step = STEP_SUBSCRIPTION;
    } else if (is_id(ask->reference, "cus_")) {
        ask->step = STEP_LIST;
    } else {
        payment_refuse(ask, "This tier requires payment: payment.reference must be the id of a "
                            "Checkout Session (cs_…), a subscription (sub_…) or a customer "
                            "(cus_…) at Stripe.");
        return ERR_DENIED;
    }
    enum err error = step_start(ask);
    if (error == ERR_OK) return ERR_OK;
    return payment_fail(ask, error == ERR_IO
                                 ? "payment.secret_file cannot be read, is empty or no API key"
                                 : err_name(error));
}
