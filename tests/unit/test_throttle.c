/* service/throttle: so many wrong tries a minute of a network, in a table of fixed size. */
#include "service/throttle.h"

#include "unit.h"

#include <sodium.h>

static struct address address_of(unsigned length, unsigned char last)
{
    struct address address = {.length = length};
    address.bytes[length - 1] = last;
    return address;
}

static void ten_a_minute_of_a_network(void **state)
{
    (void)state;
    struct throttle *throttle;
    unsigned retry = 0;
    struct address here = address_of(4, 1), there = address_of(4, 2);
    assert_int_equal(throttle_new(&throttle, 10), ERR_OK);
    for (unsigned i = 0; i < 10; i++) {
        assert_true(throttle_allows(throttle, &here, 1000, &retry));
        throttle_charge(throttle, &here, 1000);
    }
    assert_false(throttle_allows(throttle, &here, 1000, &retry));
    assert_int_equal(retry, 6);
    assert_true(throttle_allows(throttle, &there, 1000, &retry));
    assert_true(throttle_allows(throttle, &here, 1000 + 6000000, &retry));
    /* An IPv6 /64 is one. */
    struct address six = address_of(16, 1), neighbour = address_of(16, 9);
    for (unsigned i = 0; i < 10; i++)
        throttle_charge(throttle, &six, 1000);
    assert_false(throttle_allows(throttle, &neighbour, 1000, &retry));
    neighbour.bytes[0] = 0x20;
    assert_true(throttle_allows(throttle, &neighbour, 1000, &retry));
    throttle_free(&throttle);
}

static void a_flood_of_networks_does_no_harm(void **state)
{
    (void)state;
    struct throttle *throttle;
    unsigned retry = 0, refused = 0;
    assert_int_equal(throttle_new(&throttle, 1), ERR_OK);
    for (unsigned i = 0; i < 100000; i++) {
        struct address address = {
            .length = 4,
            .bytes = {10, (unsigned char)(i >> 16), (unsigned char)(i >> 8), (unsigned char)i}};
        refused += !throttle_allows(throttle, &address, i, &retry);
        throttle_charge(throttle, &address, i);
    }
    assert_int_equal(refused, 0);
    throttle_free(&throttle);
}

int main(void)
{
    if (sodium_init() < 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_a_minute_of_a_network),
        cmocka_unit_test(a_flood_of_networks_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
