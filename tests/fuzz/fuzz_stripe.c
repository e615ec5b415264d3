/* Stripe's answers and events. What must hold: what is read is about what was asked for, with words
 * that can go into rows and URLs, times in order, and a status that is one.
 * Input: a digit that chooses the reader, then the body. */
#include "fuzz.h"
#include "service/pay_reading.h"

#include <string.h>

static void check_word(const char *text, size_t size)
{
    FUZZ_CHECK(memchr(text, 0, size) != NULL);
    for (; *text; text++)
        FUZZ_CHECK(*text > ' ' && *text <= '~' && *text != '"' && *text != '\\');
}

static void check_reading(const struct pay_reading *reading)
{
    check_word(reading->reference, sizeof reading->reference);
    check_word(reading->customer, sizeof reading->customer);
    check_word(reading->client_reference, sizeof reading->client_reference);
    check_word(reading->prices, sizeof reading->prices);
    FUZZ_CHECK(reading->status > PAY_NONE && reading->status <= PAY_PAUSED);
    FUZZ_CHECK(reading->period_start >= 0 && reading->period_start <= reading->period_end);
    FUZZ_CHECK(!reading->tier[0] && !reading->taken_back);
    FUZZ_CHECK(!pay_reading_buys(reading, "") && !pay_reading_buys(reading, ","));
}

static void check_event(const struct stripe_event *event)
{
    check_word(event->id, sizeof event->id);
    check_word(event->type, sizeof event->type);
    check_word(event->subscription, sizeof event->subscription);
    check_word(event->customer, sizeof event->customer);
    check_word(event->client_reference, sizeof event->client_reference);
    check_word(event->charge, sizeof event->charge);
    check_word(event->session, sizeof event->session);
    FUZZ_CHECK(event->id[0] && event->type[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pay_reading reading;
    static struct stripe_event event;
    struct stripe_charge charge = {.refunded = false};
    bool of_it = false;
    if (!size) return 0;
    struct span body = span_of(data + 1, size - 1);
    switch (data[0] % 6) {
    case 0:
        if (stripe_subscription_read(body, "sub_1", &reading) != STRIPE_READ) break;
        check_reading(&reading);
        FUZZ_CHECK(strcmp(reading.reference, "sub_1") == 0);
        break;
    case 1:
        if (stripe_session_read(body, "cs_1", &reading) == STRIPE_READ) check_reading(&reading);
        break;
    case 2:
        if (stripe_list_read(body, "cus_1", "price_a", &reading) != STRIPE_READ) break;
        check_reading(&reading);
        FUZZ_CHECK(strcmp(reading.customer, "cus_1") == 0);
        break;
    case 3:
        if (stripe_charge_read(body, "ch_1", &charge) != STRIPE_READ) break;
        check_word(charge.customer, sizeof charge.customer);
        check_word(charge.intent, sizeof charge.intent);
        break;
    case 4:
        if (stripe_payments_read(body, "sub_1", &of_it) != STRIPE_READ) break;
        FUZZ_CHECK(!of_it || memmem(body.data, body.length, "sub", 3) ||
                   memchr(body.data, '\\', body.length));
        break;
    case 5:
        if (stripe_event_read(body, &event)) check_event(&event);
        break;
    }
    return 0;
}
