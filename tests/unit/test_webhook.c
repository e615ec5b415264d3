/* service/webhook: signatures over the very bytes, by any of the secrets, within five minutes. */
#include "service/webhook.h"

#include "base/codec.h"
#include "service/payment.h"

#include <sodium.h>
#include <stdio.h>

#include "unit.h"

enum { NOW_S = 1700000000, MAC = crypto_auth_hmacsha256_BYTES };
#define BODY    "{\"id\":\"evt_1\"}"
#define SECRETS "whsec_old\r\n\nwhsec_new\n"

static const char *signature_of(const char *secret, int64_t at, const char *body)
{
    static char hex[2 * MAC + 1];
    unsigned char mac[MAC];
    char text[512];
    crypto_auth_hmacsha256_state state;
    int length = snprintf(text, sizeof text, "%lld.%s", (long long)at, body);
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret, strlen(secret));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, (size_t)length);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_bin2hex(hex, sizeof hex, mac, sizeof mac);
    return hex;
}

static enum err check(const char *header, const char *body)
{
    return webhook_check_stripe(SPAN(SECRETS), span_text(header), span_text(body), NOW_S);
}

static enum err signed_at(const char *secret, int64_t at)
{
    char header[512];
    snprintf(header, sizeof header, "t=%lld,v1=%s", (long long)at, signature_of(secret, at, BODY));
    return check(header, BODY);
}

static void any_secret_signs_and_no_other(void **state)
{
    (void)state;
    assert_int_equal(signed_at("whsec_old", NOW_S), ERR_OK);
    assert_int_equal(signed_at("whsec_new", NOW_S), ERR_OK);
    assert_int_equal(signed_at("whsec_other", NOW_S), ERR_DENIED);
    assert_int_equal(signed_at("", NOW_S), ERR_DENIED); /* an empty line is no secret */
    assert_int_equal(webhook_check_stripe(SPAN(""), SPAN("t=1700000000,v1=00"), SPAN(BODY), NOW_S),
                     ERR_DENIED);
}

static void it_is_fresh_for_five_minutes(void **state)
{
    (void)state;
    assert_int_equal(signed_at("whsec_new", NOW_S - WEBHOOK_TOLERANCE_S), ERR_OK);
    assert_int_equal(signed_at("whsec_new", NOW_S + WEBHOOK_TOLERANCE_S), ERR_OK);
    assert_int_equal(signed_at("whsec_new", NOW_S - WEBHOOK_TOLERANCE_S - 1), ERR_DENIED);
    assert_int_equal(signed_at("whsec_new", NOW_S + WEBHOOK_TOLERANCE_S + 1), ERR_DENIED);
}

static void each_bit_of_header_and_body_counts(void **state)
{
    (void)state;
    char header[512], body[] = BODY;
    int length = snprintf(header, sizeof header, "t=%d,v1=%s", NOW_S,
                          signature_of("whsec_new", NOW_S, BODY));
    assert_int_equal(check(header, body), ERR_OK);
    for (size_t bit = 0; bit < 8 * (sizeof body - 1); bit++) {
        body[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(webhook_check_stripe(SPAN(SECRETS), span_text(header),
                                              span_of(body, sizeof body - 1), NOW_S),
                         ERR_DENIED);
        body[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (int at = 0; at < length; at++) {
        char was = header[at];
        header[at] ^= 1;
        assert_int_equal(
            webhook_check_stripe(SPAN(SECRETS), span_of(header, (size_t)length), SPAN(BODY), NOW_S),
            ERR_DENIED);
        header[at] = was;
    }
}

static void one_good_signature_of_several_is_enough(void **state)
{
    (void)state;
    char header[2048], good[2 * MAC + 1], bad[2 * MAC + 1];
    snprintf(good, sizeof good, "%s", signature_of("whsec_new", NOW_S, BODY));
    snprintf(bad, sizeof bad, "%s", signature_of("whsec_other", NOW_S, BODY));
    snprintf(header, sizeof header, "t=%d,v1=%s,v0=%s,v1=%s", NOW_S, bad, bad, good);
    assert_int_equal(check(header, BODY), ERR_OK);
    snprintf(header, sizeof header, "t=%d,v0=%s", NOW_S, good);
    assert_int_equal(check(header, BODY), ERR_DENIED);
    snprintf(header, sizeof header, "v1=%s", good);
    assert_int_equal(check(header, BODY), ERR_DENIED);
    snprintf(header, sizeof header, "t=%d,v1=%.63s", NOW_S, good);
    assert_int_equal(check(header, BODY), ERR_DENIED);
    snprintf(header, sizeof header, "t=1,t=%d,v1=%s", NOW_S, good); /* the first time counts */
    assert_int_equal(check(header, BODY), ERR_DENIED);
}

static enum err standard(const char *id, const char *at, const char *signatures)
{
    return webhook_check_standard(SPAN("raw\n"), span_text(id), span_text(at),
                                  span_text(signatures), SPAN(BODY), NOW_S);
}

static void standard_webhooks_sign_id_and_time_too(void **state)
{
    (void)state;
    char signature[64], several[200];
    assert_int_equal(payment_sign(SPAN("raw"), "msg_1", NOW_S, SPAN(BODY), signature), ERR_OK);
    assert_int_equal(standard("msg_1", "1700000000", signature), ERR_OK);
    snprintf(several, sizeof several, "v1,xx v1a,yy %s", signature);
    assert_int_equal(standard("msg_1", "1700000000", several), ERR_OK);
    assert_int_equal(standard("msg_2", "1700000000", signature), ERR_DENIED);
    assert_int_equal(standard("msg_1", "1700000001", signature), ERR_DENIED);
    assert_int_equal(standard("", "1700000000", signature), ERR_DENIED);
    assert_int_equal(standard("msg_1", "", signature), ERR_DENIED);
    assert_int_equal(standard("msg_1", "1700000000", ""), ERR_DENIED);
    /* Signed well, and yet no id that could be kept. */
    static const char *const odd[] = {"msg \xe9", "msg\xc3\xa9", "msg 1", "msg\x7f"};
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        assert_int_equal(payment_sign(SPAN("raw"), odd[i], NOW_S, SPAN(BODY), signature), ERR_OK);
        assert_int_equal(standard(odd[i], "1700000000", signature), ERR_DENIED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_secret_signs_and_no_other),
        cmocka_unit_test(it_is_fresh_for_five_minutes),
        cmocka_unit_test(each_bit_of_header_and_body_counts),
        cmocka_unit_test(one_good_signature_of_several_is_enough),
        cmocka_unit_test(standard_webhooks_sign_id_and_time_too),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
