/* Reading Stripe's answers and events. Called by service/stripe.c on the loop and by the webhook's
 * handler. What always holds: an answer counts only when it is the object that was asked for, with
 * a status and prices that are understood; everything else is unclear, never paid. */
#include "service/pay_reading.h"

#include "base/json.h"
#include "core/permission.h"

#include <stdio.h>

enum { SECONDS_MAX = 253402300 }; /* ten digits and more are no times */

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* An id, or an expanded object with one. */
static const char *id_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_object(value) ? text_of(value, "id") : json_string_value(value);
}

static bool is_word(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~' || *text == ',' || *text == '"' || *text == '\\')
            return false;
    return true;
}

/* False: too long, or no word. NULL leaves it empty. */
static bool copy(char *out, size_t size, const char *text)
{
    out[0] = '\0';
    if (!text) return true;
    return is_word(text) && (size_t)snprintf(out, size, "%s", text) < size;
}

/* Whose a session says it is. What no external_id can be, as other software may write there, is
 * `nobody`: a reason to take it for somebody else's, not to understand nothing of it. */
static void client_reference_copy(char out[PAY_ID_SIZE], const json_t *session, const char *nobody)
{
    const char *text = text_of(session, "client_reference_id");
    if (!copy(out, PAY_ID_SIZE, text)) snprintf(out, PAY_ID_SIZE, "%s", nobody);
}

static bool is_object(const json_t *object, const char *kind, const char *id)
{
    const char *given = text_of(object, "object"), *own = text_of(object, "id");
    return given && own && !strcmp(given, kind) && (!id || !strcmp(own, id));
}

static int64_t time_of(const json_t *object, const char *name)
{
    json_int_t seconds = json_integer_value(json_object_get(object, name));
    return seconds > 0 && seconds / 1000 < SECONDS_MAX ? (int64_t)seconds * 1000 : 0;
}

bool pay_reading_buys(const struct pay_reading *reading, const char *price_references)
{
    struct span rest = span_text(price_references), name;
    while (permission_next(&rest, &name))
        if (permission_has(span_text(reading->prices), name)) return true;
    return false;
}

/* ---- a subscription ---- */

static void price_add(struct pay_reading *out, const char *text)
{
    size_t used = strlen(out->prices);
    if (!text || !text[0] || !is_word(text) || used + strlen(text) + 2 > sizeof out->prices) return;
    snprintf(out->prices + used, sizeof out->prices - used, "%s%s", used ? "," : "", text);
}

/* The prices of all items, and the period from the first start to the last end. */
static bool items_read(const json_t *subscription, struct pay_reading *out)
{
    const json_t *items = json_object_get(json_object_get(subscription, "items"), "data");
    out->period_start = time_of(subscription, "current_period_start");
    out->period_end = time_of(subscription, "current_period_end");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i), *price = json_object_get(item, "price");
        int64_t start = time_of(item, "current_period_start"),
                end = time_of(item, "current_period_end");
        if (start && (!out->period_start || start < out->period_start)) out->period_start = start;
        if (end > out->period_end) out->period_end = end;
        price_add(out, text_of(price, "id"));
        price_add(out, text_of(price, "lookup_key"));
        price_add(out, id_of(price, "product"));
    }
    return json_is_array(items) && out->period_start <= out->period_end;
}

static enum stripe_answer subscription_fill(const json_t *object, const char *id,
                                            struct pay_reading *out)
{
    *out = (struct pay_reading){0};
    const char *status = text_of(object, "status");
    const json_t *invoice = json_object_get(object, "latest_invoice");
    const char *paid = json_is_object(invoice) ? text_of(invoice, "status") : NULL;
    if (!is_object(object, "subscription", id) || !status ||
        !pay_status_parse(span_text(status), &out->status) || out->status == PAY_NONE ||
        !items_read(object, out) || !copy(out->reference, PAY_ID_SIZE, text_of(object, "id")) ||
        !copy(out->customer, sizeof out->customer, id_of(object, "customer")))
        return STRIPE_UNCLEAR;
    out->owes = paid && strcmp(paid, "paid") != 0; /* a draft or a void one brought nothing in */
    return STRIPE_READ;
}

static json_t *parse(struct span body)
{
    char error[JSON_ERROR_SIZE];
    json_t *object = NULL;
    if (json_parse_strict(body, &object, error) != ERR_OK) return NULL;
    if (json_is_object(object)) return object;
    json_decref(object);
    return NULL;
}

bool stripe_is_missing(struct span body)
{
    json_t *object = parse(body);
    const char *code = text_of(json_object_get(object, "error"), "code");
    bool missing = code && strcmp(code, "resource_missing") == 0;
    json_decref(object);
    return missing;
}

bool stripe_is_of_other_mode(struct span body)
{
    json_t *object = parse(body);
    const char *words = text_of(json_object_get(object, "error"), "message");
    bool other = words && strstr(words, "a similar object exists in") != NULL;
    json_decref(object);
    return other;
}

enum stripe_answer stripe_subscription_read(struct span body, const char *id,
                                            struct pay_reading *out)
{
    json_t *object = parse(body);
    enum stripe_answer answer = object ? subscription_fill(object, id, out) : STRIPE_UNCLEAR;
    json_decref(object);
    return answer;
}

static enum stripe_answer session_fill(const json_t *object, const char *id,
                                       struct pay_reading *out)
{
    const char *status = text_of(object, "status");
    const json_t *subscription = json_object_get(object, "subscription");
    if (!is_object(object, "checkout.session", id) || !status) return STRIPE_UNCLEAR;
    if (strcmp(status, "complete") != 0 || json_is_null(subscription)) return STRIPE_ABSENT;
    if (!json_is_object(subscription)) return STRIPE_UNCLEAR;
    enum stripe_answer answer = subscription_fill(subscription, NULL, out);
    if (answer == STRIPE_READ) client_reference_copy(out->client_reference, object, " ");
    return answer;
}

enum stripe_answer stripe_session_read(struct span body, const char *id, struct pay_reading *out)
{
    json_t *object = parse(body);
    enum stripe_answer answer = object ? session_fill(object, id, out) : STRIPE_UNCLEAR;
    json_decref(object);
    return answer;
}

/* ---- a customer's subscriptions ---- */

static int worth(const struct pay_reading *reading, const char *price_references)
{
    static const int of[] = {
        [PAY_ACTIVE] = 8, [PAY_TRIALING] = 8, [PAY_PAST_DUE] = 6,           [PAY_UNPAID] = 5,
        [PAY_PAUSED] = 4, [PAY_CANCELED] = 3, [PAY_INCOMPLETE_EXPIRED] = 1, [PAY_INCOMPLETE] = 2,
        [PAY_NONE] = 0,
    };
    return of[reading->status] * 2 + pay_reading_buys(reading, price_references);
}

static enum stripe_answer list_fill(const json_t *object, const char *customer,
                                    const char *price_references, struct pay_reading *out)
{
    const char *kind = text_of(object, "object");
    const json_t *data = json_object_get(object, "data");
    int best = 0;
    if (!kind || strcmp(kind, "list") != 0 || !json_is_array(data)) return STRIPE_UNCLEAR;
    for (size_t i = 0; i < json_array_size(data); i++) { /* newest first */
        struct pay_reading one;
        if (subscription_fill(json_array_get(data, i), NULL, &one) != STRIPE_READ ||
            strcmp(one.customer, customer) != 0)
            return STRIPE_UNCLEAR;
        int value = worth(&one, price_references);
        if (value <= best) continue;
        best = value;
        *out = one;
    }
    return best ? STRIPE_READ : STRIPE_ABSENT;
}

enum stripe_answer stripe_list_read(struct span body, const char *customer,
                                    const char *price_references, struct pay_reading *out)
{
    json_t *object = parse(body);
    enum stripe_answer answer =
        object ? list_fill(object, customer, price_references, out) : STRIPE_UNCLEAR;
    json_decref(object);
    return answer;
}

/* ---- a charge ---- */

enum stripe_answer stripe_charge_read(struct span body, const char *id, struct stripe_charge *out)
{
    json_t *object = parse(body);
    bool clear = object && is_object(object, "charge", id) &&
                 copy(out->customer, sizeof out->customer, id_of(object, "customer")) &&
                 copy(out->intent, sizeof out->intent, id_of(object, "payment_intent"));
    if (clear) {
        out->refunded = json_is_true(json_object_get(object, "refunded"));
        out->disputed = json_is_true(json_object_get(object, "disputed"));
    }
    json_decref(object);
    return clear ? STRIPE_READ : STRIPE_UNCLEAR;
}

/* An invoice names its subscription in one of three ways, by the version of the endpoint. */
static const char *invoice_subscription(const json_t *object)
{
    const json_t *parent = json_object_get(object, "parent");
    const char *of_parent = id_of(json_object_get(parent, "subscription_details"), "subscription");
    return of_parent ? of_parent : id_of(object, "subscription");
}

static bool payments_fill(const json_t *object, const char *subscription, bool *of_it)
{
    const char *kind = text_of(object, "object");
    const json_t *data = json_object_get(object, "data");
    *of_it = false;
    if (!kind || strcmp(kind, "list") != 0 || !json_is_array(data)) return false;
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *invoice = json_object_get(json_array_get(data, i), "invoice");
        if (!is_object(invoice, "invoice", NULL)) return false;
        const char *its = invoice_subscription(invoice);
        *of_it |= its && strcmp(its, subscription) == 0;
    }
    return true;
}

enum stripe_answer stripe_payments_read(struct span body, const char *subscription, bool *of_it)
{
    json_t *object = parse(body);
    bool clear = object && payments_fill(object, subscription, of_it);
    json_decref(object);
    return clear ? STRIPE_READ : STRIPE_UNCLEAR;
}

/* ---- events ---- */

static bool event_fill(const json_t *event, struct stripe_event *out)
{
    const json_t *object = json_object_get(json_object_get(event, "data"), "object");
    const char *kind = text_of(object, "object"), *charge = NULL, *session = NULL;
    const char *subscription = NULL, *customer = id_of(object, "customer");
    const char *id = text_of(event, "id");
    if (!id || !id[0]) return false; /* by which it counts once */
    if (!is_object(event, "event", NULL) || !text_of(event, "type") || !kind) return false;
    if (!strcmp(kind, "subscription"))
        subscription = text_of(object, "id");
    else if (!strcmp(kind, "charge"))
        charge = text_of(object, "id");
    else if (!strcmp(kind, "dispute"))
        charge = id_of(object, "charge");
    else
        subscription = invoice_subscription(object);
    /* One that bought no subscription is not to take the place of one that did. */
    if (!strcmp(kind, "checkout.session") && subscription) session = text_of(object, "id");
    client_reference_copy(out->client_reference, object, "");
    return copy(out->id, sizeof out->id, id) &&
           copy(out->type, sizeof out->type, text_of(event, "type")) &&
           copy(out->subscription, sizeof out->subscription, subscription) &&
           copy(out->customer, sizeof out->customer, customer) &&
           copy(out->charge, sizeof out->charge, charge) &&
           copy(out->session, sizeof out->session, session);
}

bool stripe_event_read(struct span body, struct stripe_event *out)
{
    json_t *event = parse(body);
    *out = (struct stripe_event){0};
    bool good = event && event_fill(event, out);
    json_decref(event);
    return good;
}
