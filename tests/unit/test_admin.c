/* Roles, passwords and one-time codes: what the dashboard's sign-in stands on. */
#include "unit.h"

#include "core/admin_role.h"
#include "crypto/password.h"
#include "crypto/totp.h"

#include <sodium.h>
#include <string.h>

static void test_roles_grow(void **state)
{
    (void)state;
    static const unsigned may[ADMIN_ROLES] = {1, 2, 3, 4}; /* how many of the four rights */
    for (unsigned role = 0; role < ADMIN_ROLES; role++) {
        enum admin_role parsed;
        assert_true(admin_role_parse(span_text(admin_role_name(role)), &parsed));
        assert_int_equal(parsed, role);
        for (unsigned right = RIGHT_READ; right <= RIGHT_APPOINT; right++)
            assert_int_equal(admin_role_may(role, right), right < may[role]);
    }
    enum admin_role none;
    assert_false(admin_role_parse(SPAN("root"), &none));
    assert_false(admin_role_parse(SPAN(""), &none));
}

static void test_passwords(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_SIZE], again[PASSWORD_HASH_SIZE];
    assert_int_equal(password_hash(SPAN("correct horse battery"), hash), ERR_OK);
    assert_int_equal(password_hash(SPAN("correct horse battery"), again), ERR_OK);
    assert_true(strncmp(hash, "$argon2id$v=19$m=65536,t=2,p=1$", 31) == 0);
    assert_string_not_equal(hash, again);
    assert_true(password_fits(hash, SPAN("correct horse battery")));
    assert_false(password_fits(hash, SPAN("correct horse battery ")));
    assert_false(password_fits(hash, SPAN("")));
    assert_false(password_fits(NULL, SPAN("correct horse battery")));
}

/* RFC 6238, appendix B: the last six digits of its SHA-1 column. */
static void test_codes_of_the_rfc(void **state)
{
    (void)state;
    static const char secret[] = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    static const struct {
        int64_t at_s;
        const char *code;
    } all[] = {{59, "287082"},         {1111111109, "081804"}, {1111111111, "050471"},
               {1234567890, "005924"}, {2000000000, "279037"}, {INT64_C(20000000000), "353130"}};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        int64_t step = 0, now = all[i].at_s * 1000;
        assert_true(totp_fits(SPAN("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), span_text(all[i].code), now,
                              &step));
        assert_int_equal(step, all[i].at_s / TOTP_STEP_S);
        /* The same code again; and a minute too late. */
        assert_false(totp_fits(span_text(secret), span_text(all[i].code), now, &step));
        step = 0;
        assert_false(totp_fits(span_text(secret), span_text(all[i].code), now + 90000, &step));
    }
}

static void test_codes_that_are_none(void **state)
{
    (void)state;
    char secret[TOTP_SECRET_TEXT_SIZE], other[TOTP_SECRET_TEXT_SIZE];
    int64_t step = 0;
    totp_make(secret);
    totp_make(other);
    assert_string_not_equal(secret, other);
    assert_true(totp_is_secret(span_text(secret)));
    assert_false(totp_is_secret(SPAN("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1")));
    assert_false(totp_is_secret(SPAN("GEZDGNBVGY3TQOJQ")));
    static const char *const codes[] = {"", "28708", "2870821", "28708a", " 87082"};
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        assert_false(
            totp_fits(SPAN("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), span_text(codes[i]), 59000, &step));
    assert_int_equal(step, 0);
}

int main(void)
{
    if (sodium_init() < 0 || totp_start()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles_grow),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_codes_of_the_rfc),
        cmocka_unit_test(test_codes_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
