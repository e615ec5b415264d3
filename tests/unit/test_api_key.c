/* core/api_key, permission, key_status, tier: the words of keys. */
#include "core/api_key.h"
#include "core/key_status.h"
#include "core/permission.h"
#include "core/tier.h"

#include "unit.h"

#include <stdlib.h>

static void makes_what_it_parses(void **state)
{
    (void)state;
    char text[API_KEY_TEXT_SIZE], other[API_KEY_TEXT_SIZE], start[API_KEY_START_SIZE];
    static const char *const labels[] = {"km_live", "ab", "automailer_live_key_", "kmt",
                                         "a234567890123456789012345678901234567890"};
    struct api_key_parts parts;
    for (size_t i = 0; i < COUNT_OF(labels); i++) {
        size_t length = api_key_make(labels[i], text);
        assert_int_equal(length, strlen(text));
        assert_int_equal(length, strlen(labels[i]) + 50);
        assert_true(api_key_parse(span_text(text), &parts));
        assert_true(span_is(parts.label, labels[i]));
        assert_int_equal(parts.is_token, i == 3);
        assert_int_equal(api_key_make(labels[i], other), length);
        assert_string_not_equal(text, other);
    }
    api_key_start(SPAN("km_live_0123456"), start);
    assert_string_equal(start, "km_live_01");
    api_key_start(SPAN("km"), start);
    assert_string_equal(start, "km");
}

/* Made by hand with Python: zlib.crc32 of what stands before, in base62. */
static void knows_a_text_made_elsewhere(void **state)
{
    (void)state;
    struct api_key_parts parts;
    assert_true(
        api_key_parse(SPAN("km_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg42uO8a"), &parts));
    assert_true(span_is(parts.check, "42uO8a"));
}

static void refuses_every_typo(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789ABCXYZabcxyz_-. \n\xC3";
    char text[API_KEY_TEXT_SIZE];
    struct api_key_parts parts;
    size_t length = api_key_make("km_live", text);
    for (size_t i = 0; i < length; i++) {
        char good = text[i];
        for (size_t j = 0; j < sizeof alphabet; j++) { /* the NUL as well */
            text[i] = alphabet[j];
            if (alphabet[j] != good) assert_false(api_key_parse(span_of(text, length), &parts));
        }
        text[i] = good;
        char *cut = strndup(text, i); /* of its exact size: ASan sees a read past it */
        assert_false(api_key_parse(span_of(cut, i), &parts));
        free(cut);
    }
    for (size_t i = 0; i + 1 < length; i++) { /* neighbours swapped */
        char a = text[i], b = text[i + 1];
        text[i] = b;
        text[i + 1] = a;
        if (a != b) assert_false(api_key_parse(span_of(text, length), &parts));
        text[i] = a;
        text[i + 1] = b;
    }
    assert_true(api_key_parse(span_of(text, length), &parts));
    assert_false(api_key_parse((struct span){NULL, 0}, &parts));
}

static void labels(void **state)
{
    (void)state;
    assert_true(api_label_valid(SPAN("km_live")));
    assert_true(api_label_valid(SPAN("kmt_")));
    assert_false(api_label_valid(SPAN("kmt")));
    assert_false(api_label_valid(SPAN("k")));
    assert_false(api_label_valid(SPAN("Km")));
    assert_false(api_label_valid(SPAN("k-m")));
    assert_false(api_label_valid(SPAN("a2345678901234567890123456789012345678901")));
}

static void permissions(void **state)
{
    (void)state;
    char longest[66] = {0};
    memset(longest, 'p', 65);
    assert_true(permission_valid(span_of(longest, 64)));
    assert_false(permission_valid(span_of(longest, 65)));
    static const char *bad[] = {"", "a b", "a,b", "a\"", "a'", "a\\", "a\n", "\xC3\xA4", "\x7F"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(permission_valid(span_text(bad[i])));
    assert_true(permission_has(SPAN("csv_export,user_info"), SPAN("user_info")));
    assert_false(permission_has(SPAN("csv_export,user_info"), SPAN("user")));
    assert_false(permission_has(SPAN("csv_export,user_info"), SPAN("export")));
    assert_false(permission_has(SPAN("csv_export"), SPAN("csv_export,user_info")));
    assert_false(permission_has(SPAN(""), SPAN("")));
    assert_false(permission_has(SPAN("a,,b"), SPAN("")));
    assert_true(permission_all(SPAN("a,b,c"), SPAN("c,a")));
    assert_true(permission_all(SPAN("a"), SPAN("")));
    assert_true(permission_all((struct span){NULL, 0}, (struct span){NULL, 0}));
    assert_false(permission_all(SPAN("a,b"), SPAN("a,c")));
    assert_false(permission_all(SPAN("a,b"), SPAN("a,")));
    assert_false(permission_all(SPAN("a,b"), SPAN(",a")));
    assert_true(permissions_valid(SPAN("a,b")) && permissions_valid(SPAN("")));
    assert_false(permissions_valid(SPAN("a,b,a")));
    assert_false(permissions_valid(SPAN("a,")));
    assert_false(permissions_valid(SPAN("a,,b")));
}

static void statuses(void **state)
{
    (void)state;
    struct key_facts facts = {true, true, true, 100, 200};
    assert_int_equal(key_status(&facts, 100), KEY_REVOKED);
    facts.revoked = false;
    assert_int_equal(key_status(&facts, 100), KEY_SUSPENDED);
    facts.suspended = false;
    assert_int_equal(key_status(&facts, 100), KEY_DISABLED);
    facts.disabled = false;
    assert_int_equal(key_status(&facts, 100), KEY_EXPIRED);
    assert_int_equal(key_status(&facts, 99), KEY_ROTATING);
    facts.expires_at = 0;
    assert_int_equal(key_status(&facts, 199), KEY_ROTATING);
    assert_int_equal(key_status(&facts, 200), KEY_ACTIVE);
    for (unsigned i = 0; i < KEY_STATUS_COUNT; i++) {
        enum key_status status;
        assert_true(key_status_parse(span_text(key_status_name((enum key_status)i)), &status));
        assert_int_equal(status, i);
        assert_int_equal(key_status_works(status), i < KEY_EXPIRED);
    }
    enum key_status status;
    assert_false(key_status_parse(SPAN("Active"), &status));
}

static void words_of_tiers(void **state)
{
    (void)state;
    enum overage overage;
    enum ack ack;
    enum on_unclaimed on_unclaimed;
    enum on_lapse on_lapse;
    assert_true(overage_parse(SPAN("allow"), &overage) && overage == OVERAGE_ALLOW);
    assert_true(ack_parse(SPAN("memory"), &ack) && ack == ACK_MEMORY);
    assert_true(on_unclaimed_parse(SPAN("retire"), &on_unclaimed));
    assert_int_equal(on_unclaimed, ON_UNCLAIMED_RETIRE);
    assert_true(on_lapse_parse(SPAN("free"), &on_lapse) && on_lapse == ON_LAPSE_FREE);
    assert_false(overage_parse(SPAN("commit"), &overage));
    assert_string_equal(overage_name(OVERAGE_BLOCK), "block");
    assert_string_equal(ack_name(ACK_COMMIT), "commit");
    assert_string_equal(on_unclaimed_name(ON_UNCLAIMED_KEEP), "keep");
    assert_string_equal(on_lapse_name(ON_LAPSE_SUSPEND), "suspend");
    assert_true(tier_slug_valid(SPAN("pro-2")));
    assert_false(tier_slug_valid(SPAN("")));
    assert_false(tier_slug_valid(SPAN("-pro")));
    assert_false(tier_slug_valid(SPAN("a/b")));
    assert_false(tier_slug_valid(SPAN("a2345678901234567890123456789012345678901")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_what_it_parses), cmocka_unit_test(knows_a_text_made_elsewhere),
        cmocka_unit_test(refuses_every_typo),   cmocka_unit_test(labels),
        cmocka_unit_test(permissions),          cmocka_unit_test(statuses),
        cmocka_unit_test(words_of_tiers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
