/* service/stripe_answer: only the object that was asked for is read, and what is not understood is
 * never paid. */
#include "service/pay_reading.h"

#include <stdio.h>

#include "unit.h"

#define ITEM(price, start, end)                                                                    \
    "{\"current_period_start\":" start ",\"current_period_end\":" end                              \
    ",\"price\":{\"id\":\"" price "\",\"lookup_key\":\"key_" price                                 \
    "\",\"product\":{\"id\":\"prod_" price "\"}}}"
#define SUBSCRIPTION(id, status, customer, items, invoice)                                         \
    "{\"object\":\"subscription\",\"id\":\"" id "\",\"status\":\"" status                          \
    "\",\"customer\":\"" customer "\",\"items\":{\"data\":[" items                                 \
    "]},\"latest_invoice\":" invoice "}"
#define PAID "{\"object\":\"invoice\",\"id\":\"in_1\",\"status\":\"paid\"}"
#define OPEN "{\"object\":\"invoice\",\"id\":\"in_1\",\"status\":\"open\"}"
#define GOOD SUBSCRIPTION("sub_1", "active", "cus_1", ITEM("price_a", "100", "200"), PAID)

static struct pay_reading reading;

static enum stripe_answer subscription(const char *text)
{
    return stripe_subscription_read(span_text(text), "sub_1", &reading);
}

static void a_subscription_is_read(void **state)
{
    (void)state;
    assert_int_equal(subscription(SUBSCRIPTION(
                         "sub_1", "past_due", "cus_1",
                         ITEM("price_a", "100", "200") "," ITEM("price_b", "90", "150"), OPEN)),
                     STRIPE_READ);
    assert_int_equal(reading.status, PAY_PAST_DUE);
    assert_string_equal(reading.reference, "sub_1");
    assert_string_equal(reading.customer, "cus_1");
    assert_string_equal(reading.prices,
                        "price_a,key_price_a,prod_price_a,price_b,key_price_b,prod_price_b");
    assert_int_equal(reading.period_start, 90000);
    assert_int_equal(reading.period_end, 200000);
    assert_true(reading.owes);
    assert_true(pay_reading_buys(&reading, "x,prod_price_b"));
    assert_false(pay_reading_buys(&reading, "price,price_"));
    assert_false(pay_reading_buys(&reading, ""));
    assert_int_equal(subscription(GOOD), STRIPE_READ);
    assert_false(reading.owes);
}

/* What an invoice did not bring in was not paid, whatever became of the invoice. */
static void only_a_paid_invoice_is_paid(void **state)
{
    (void)state;
    static const char *const words[] = {"draft", "open", "uncollectible", "void"};
    static const char form[] =
        SUBSCRIPTION("sub_1", "canceled", "cus_1", ITEM("price_a", "100", "200"), "%s");
    char text[2048], invoice[128];
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        snprintf(invoice, sizeof invoice, "{\"object\":\"invoice\",\"status\":\"%s\"}", words[i]);
        int length = snprintf(text, sizeof text, form, invoice);
        assert_in_range(length, 1, sizeof text - 1);
        assert_int_equal(subscription(text), STRIPE_READ);
        assert_true(reading.owes);
    }
    assert_int_equal(subscription(SUBSCRIPTION("sub_1", "canceled", "cus_1",
                                               ITEM("price_a", "100", "200"), "null")),
                     STRIPE_READ);
    assert_false(reading.owes);
}

static void what_is_not_it_is_unclear(void **state)
{
    (void)state;
    static const char *const unclear[] = {
        "",
        "[]",
        "null",
        "{}",
        "{\"object\":\"subscription\",\"id\":\"sub_1\",\"status\":\"active\"}",
        "{\"object\":\"subscription\",\"id\":\"sub_1\",\"items\":{\"data\":[]}}",
        "{\"object\":\"invoice\",\"id\":\"sub_1\",\"status\":\"active\",\"items\":{\"data\":[]}}",
        SUBSCRIPTION("sub_2", "active", "cus_1", ITEM("a", "100", "200"), PAID),
        SUBSCRIPTION("sub_1", "ACTIVE", "cus_1", ITEM("a", "100", "200"), PAID),
        SUBSCRIPTION("sub_1", "none", "cus_1", ITEM("a", "100", "200"), PAID),
        SUBSCRIPTION("sub_1", "active", "cus 1", ITEM("a", "100", "200"), PAID),
        "{\"object\":\"subscription\",\"id\":\"sub_1\",\"status\":\"active\",\"status\":\"active\","
        "\"items\":{\"data\":[]}}",
        GOOD "x",
    };
    for (size_t i = 0; i < COUNT_OF(unclear); i++)
        assert_int_equal(subscription(unclear[i]), STRIPE_UNCLEAR);
}

/* What is no time, or no price, is left out: it makes nothing paid. */
static void what_is_odd_within_is_left_out(void **state)
{
    (void)state;
    assert_int_equal(
        subscription(SUBSCRIPTION(
            "sub_1", "active", "cus_1",
            ITEM("a,b", "-5", "99999999999999") "," ITEM("ok", "\"7\"", "1.5"), "\"in_1\"")),
        STRIPE_READ);
    assert_int_equal(reading.period_start, 0);
    assert_int_equal(reading.period_end, 0);
    assert_string_equal(reading.prices, "ok,key_ok,prod_ok");
    assert_false(reading.owes);
}

static enum stripe_answer session(const char *status, const char *subscription_text)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"object\":\"checkout.session\",\"id\":\"cs_1\",\"status\":\"%s\","
             "\"client_reference_id\":\"acme\",\"subscription\":%s}",
             status, subscription_text);
    return stripe_session_read(span_text(text), "cs_1", &reading);
}

static void a_session_counts_when_it_is_complete(void **state)
{
    (void)state;
    assert_int_equal(session("complete", GOOD), STRIPE_READ);
    assert_string_equal(reading.client_reference, "acme");
    assert_string_equal(reading.reference, "sub_1");
    assert_int_equal(session("open", GOOD), STRIPE_ABSENT);
    assert_int_equal(session("complete", "null"), STRIPE_ABSENT);
    assert_int_equal(session("complete", "\"sub_1\""), STRIPE_UNCLEAR); /* not expanded */
    assert_int_equal(stripe_session_read(SPAN(GOOD), "cs_1", &reading), STRIPE_UNCLEAR);
}

/* Other software's sessions at the same Stripe account name what no external_id can be. */
static void whose_a_session_is_may_be_nobody(void **state)
{
    (void)state;
    char text[4096];
    snprintf(text, sizeof text,
             "{\"object\":\"checkout.session\",\"id\":\"cs_1\",\"status\":\"complete\","
             "\"client_reference_id\":\"cart 7, Acme\",\"subscription\":%s}",
             GOOD);
    assert_int_equal(stripe_session_read(span_text(text), "cs_1", &reading), STRIPE_READ);
    assert_string_not_equal(reading.client_reference, ""); /* which would be anybody's */
    assert_false(strncmp("cart", reading.client_reference, 4) == 0);
}

#define LIST(data) "{\"object\":\"list\",\"data\":[" data "]}"

static enum stripe_answer list(const char *text)
{
    return stripe_list_read(span_text(text), "cus_1", "price_a", &reading);
}

static void of_a_list_the_one_that_pays_best_counts(void **state)
{
    (void)state;
    assert_int_equal(
        list(LIST(SUBSCRIPTION("sub_3", "canceled", "cus_1", ITEM("price_a", "1", "2"),
                               PAID) "," SUBSCRIPTION("sub_2", "active", "cus_1",
                                                      ITEM("price_x", "1", "2"), PAID) "," GOOD)),
        STRIPE_READ);
    assert_string_equal(reading.reference, "sub_1");
    assert_int_equal(list(LIST("")), STRIPE_ABSENT);
    assert_int_equal(
        list(LIST(SUBSCRIPTION("sub_1", "active", "cus_2", ITEM("price_a", "1", "2"), PAID))),
        STRIPE_UNCLEAR); /* somebody else's */
    assert_int_equal(list("{\"object\":\"search_result\",\"data\":[]}"), STRIPE_UNCLEAR);
}

static void a_charge_and_what_it_paid(void **state)
{
    (void)state;
    struct stripe_charge charge = {.refunded = false};
    bool of_it = false;
    assert_true(stripe_is_missing(SPAN("{\"error\":{\"code\":\"resource_missing\"}}")));
    assert_false(stripe_is_missing(SPAN("{\"error\":{\"type\":\"invalid_request_error\"}}")));
    assert_false(stripe_is_missing(SPAN("{\"error\":{\"code\":7}}")));
    assert_false(stripe_is_missing(SPAN("<html>Not Found</html>")));
    assert_false(stripe_is_missing(SPAN("")));
    assert_true(stripe_is_of_other_mode(SPAN(
        "{\"error\":{\"code\":\"resource_missing\",\"message\":\"No such subscription: 'sub_1'; a "
        "similar object exists in live mode, but a test mode key was used to make this "
        "request.\"}}")));
    assert_false(stripe_is_of_other_mode(
        SPAN("{\"error\":{\"message\":\"No such subscription: 'sub_1'\"}}")));
    assert_false(stripe_is_of_other_mode(SPAN("{\"error\":{\"message\":7}}")));
    assert_int_equal(
        stripe_charge_read(SPAN("{\"object\":\"charge\",\"id\":\"ch_1\",\"refunded\":true,"
                                "\"customer\":{\"id\":\"cus_1\"},"
                                "\"payment_intent\":\"pi_1\",\"disputed\":1}"),
                           "ch_1", &charge),
        STRIPE_READ);
    assert_true(charge.refunded && !charge.disputed);
    assert_string_equal(charge.customer, "cus_1");
    assert_string_equal(charge.intent, "pi_1");
    assert_int_equal(
        stripe_charge_read(SPAN("{\"object\":\"charge\",\"id\":\"ch_2\"}"), "ch_1", &charge),
        STRIPE_UNCLEAR);
#define PAYMENT(invoice) "{\"object\":\"list\",\"data\":[{\"invoice\":" invoice "}]}"
    assert_int_equal(stripe_payments_read(
                         SPAN(PAYMENT("{\"object\":\"invoice\",\"id\":\"in_1\",\"parent\":"
                                      "{\"subscription_details\":{\"subscription\":\"sub_1\"}}}")),
                         "sub_1", &of_it),
                     STRIPE_READ);
    assert_true(of_it);
    assert_int_equal(stripe_payments_read(
                         SPAN(PAYMENT("{\"object\":\"invoice\",\"id\":\"in_1\",\"parent\":null}")),
                         "sub_1", &of_it),
                     STRIPE_READ);
    assert_false(of_it);
    assert_int_equal(stripe_payments_read(SPAN(PAYMENT("\"in_1\"")), "sub_1", &of_it),
                     STRIPE_UNCLEAR); /* not expanded */
}

static struct stripe_event event;

static bool told(const char *object)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"object\":\"event\",\"id\":\"evt_1\",\"type\":\"t\",\"data\":{\"object\":%s}}",
             object);
    return stripe_event_read(span_text(text), &event);
}

static void an_event_says_whom_it_is_about(void **state)
{
    (void)state;
    assert_true(told(GOOD));
    assert_string_equal(event.subscription, "sub_1");
    assert_string_equal(event.customer, "cus_1");
    assert_true(told("{\"object\":\"invoice\",\"id\":\"in_1\",\"subscription\":\"sub_9\"}"));
    assert_string_equal(event.subscription, "sub_9");
    assert_string_equal(event.customer, "");
    assert_true(told("{\"object\":\"dispute\",\"id\":\"dp_1\",\"charge\":\"ch_1\"}"));
    assert_string_equal(event.charge, "ch_1");
    assert_string_equal(event.session, "");
    assert_true(told("{\"object\":\"checkout.session\",\"id\":\"cs_1\",\"subscription\":\"sub_1\","
                     "\"client_reference_id\":\"acme\"}"));
    assert_string_equal(event.session, "cs_1");
    assert_string_equal(event.client_reference, "acme");
    /* Paid once, not by a subscription; and somebody else's reference. */
    assert_true(told("{\"object\":\"checkout.session\",\"id\":\"cs_2\",\"subscription\":null,"
                     "\"customer\":\"cus_1\",\"client_reference_id\":\"cart 7, Acme\"}"));
    assert_string_equal(event.session, "");
    assert_string_equal(event.customer, "cus_1");
    assert_string_equal(event.client_reference, "");
    assert_false(told("{\"id\":\"x\"}"));
    assert_false(told("[]"));
    assert_false(told("{\"object\":\"charge\",\"id\":\"ch 1\"}"));
    assert_false(stripe_event_read(SPAN("{\"object\":\"event\",\"id\":\"evt_1\"}"), &event));
    assert_false(stripe_event_read(SPAN("{\"object\":\"event\",\"id\":\"\",\"type\":\"t\","
                                        "\"data\":{\"object\":{\"object\":\"x\"}}}"),
                                   &event));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subscription_is_read),
        cmocka_unit_test(only_a_paid_invoice_is_paid),
        cmocka_unit_test(what_is_not_it_is_unclear),
        cmocka_unit_test(what_is_odd_within_is_left_out),
        cmocka_unit_test(a_session_counts_when_it_is_complete),
        cmocka_unit_test(whose_a_session_is_may_be_nobody),
        cmocka_unit_test(of_a_list_the_one_that_pays_best_counts),
        cmocka_unit_test(a_charge_and_what_it_paid),
        cmocka_unit_test(an_event_says_whom_it_is_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
