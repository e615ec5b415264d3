/* service/stripe_account: only the key in use is known, and only by what it found itself. */
#include "service/stripe_account.h"

#include "base/secret.h"

#include "unit.h"

#include <string.h>

static struct stripe_account account;

static uint64_t use(const char *text)
{
    struct secret *key = secret_copy(span_text(text));
    assert_non_null(key);
    uint64_t number = stripe_account_use(&account, key);
    secret_free(&key);
    return number;
}

static void a_key_is_known_by_what_it_found(void **state)
{
    (void)state;
    memset(&account, 0, sizeof account);
    assert_false(stripe_account_is_known(&account, 0));
    uint64_t one = use("sk_one");
    assert_int_equal(use("sk_one"), one);
    assert_false(stripe_account_is_known(&account, one));
    stripe_account_found(&account, one);
    assert_true(stripe_account_is_known(&account, one));
}

static void another_key_is_not(void **state)
{
    (void)state;
    memset(&account, 0, sizeof account);
    uint64_t one = use("sk_one");
    stripe_account_found(&account, one);
    uint64_t other = use("sk_two");
    assert_int_not_equal(other, one);
    assert_false(stripe_account_is_known(&account, other));
    stripe_account_found(&account, one); /* an answer that is late */
    assert_false(stripe_account_is_known(&account, other));
    assert_false(stripe_account_is_known(&account, one));
    uint64_t back = use("sk_one"); /* begins anew */
    assert_false(stripe_account_is_known(&account, back));
    stripe_account_found(&account, back);
    assert_true(stripe_account_is_known(&account, back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_known_by_what_it_found),
        cmocka_unit_test(another_key_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
