/* service/payment: the signature against Standard Webhooks' published example, and which answers
 * confirm. */
#include "service/payment.h"

#include "unit.h"

static void signs_as_standard_webhooks_does(void **state)
{
    (void)state;
    char signature[64];
    /* The example of the Standard Webhooks reference libraries. */
    assert_int_equal(payment_sign(SPAN("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
                                  "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                                  SPAN("{\"test\": 2432232314}"), signature),
                     ERR_OK);
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_int_equal(payment_sign(SPAN("whsec_%%%"), "a", 1, SPAN(""), signature), ERR_INVALID);
    assert_int_equal(payment_sign(SPAN("whsec_"), "a", 1, SPAN(""), signature), ERR_INVALID);
    assert_int_equal(payment_sign(SPAN(""), "a", 1, SPAN(""), signature), ERR_INVALID);
    assert_int_equal(payment_sign(SPAN("raw bytes"), "a", 1, SPAN(""), signature), ERR_OK);
}

static enum payment_result judge(long status, const char *text)
{
    struct payment_ask ask = {.tier = "pro"};
    enum payment_result result = payment_read_answer(&ask, status, span_text(text));
    if (result == PAYMENT_REFUSED) assert_int_equal(ask.problem.status, 402);
    if (result == PAYMENT_CONFIRMED) assert_true(pay_status_pays(ask.reading.status));
    return result;
}

static void only_a_clear_yes_confirms(void **state)
{
    (void)state;
    assert_int_equal(judge(200, "{\"status\":\"active\"}"), PAYMENT_CONFIRMED);
    assert_int_equal(judge(200, "{\"status\":\"trialing\",\"tier\":\"pro\",\"other\":1}"),
                     PAYMENT_CONFIRMED);
    assert_int_equal(judge(200, "{\"status\":\"active\",\"tier\":null,\"period_end\":null}"),
                     PAYMENT_CONFIRMED);
    assert_int_equal(judge(200, "{\"status\":\"active\",\"tier\":\"free\"}"), PAYMENT_REFUSED);
    assert_int_equal(judge(200, "{\"status\":\"past_due\"}"), PAYMENT_REFUSED);
    assert_int_equal(judge(200, "{\"status\":\"none\"}"), PAYMENT_REFUSED);
    static const char *const unclear[] = {
        "",
        "[]",
        "{}",
        "active",
        "{\"status\":true}",
        "{\"status\":\"ACTIVE\"}",
        "{\"status\":\"active\",\"tier\":1}",
        "{\"status\":\"active\",\"status\":\"none\"}",
        "{\"status\":\"active\",\"period_end\":\"tomorrow\"}",
        ("{\"status\":\"active\",\"period_start\":\"2026-02-01T00:00:00Z\","
         "\"period_end\":\"2026-01-01T00:00:00Z\"}"),
    };
    for (size_t i = 0; i < COUNT_OF(unclear); i++)
        assert_int_equal(judge(200, unclear[i]), PAYMENT_UNKNOWN);
    assert_int_equal(judge(201, "{\"status\":\"active\"}"), PAYMENT_UNKNOWN);
    assert_int_equal(judge(302, "{\"status\":\"active\"}"), PAYMENT_UNKNOWN);
    assert_int_equal(judge(500, "{\"status\":\"active\"}"), PAYMENT_UNKNOWN);
}

static void keeps_the_period(void **state)
{
    (void)state;
    struct payment_ask ask = {.tier = "pro"};
    assert_int_equal(payment_read_answer(
                         &ask, 200,
                         SPAN("{\"status\":\"trialing\",\"period_start\":"
                              "\"1970-01-01T00:00:01Z\",\"period_end\":\"1970-01-01T00:00:02Z\"}")),
                     PAYMENT_CONFIRMED);
    assert_int_equal(ask.reading.status, PAY_TRIALING);
    assert_int_equal(ask.reading.period_start, 1000);
    assert_int_equal(ask.reading.period_end, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_as_standard_webhooks_does),
        cmocka_unit_test(only_a_clear_yes_confirms),
        cmocka_unit_test(keeps_the_period),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
