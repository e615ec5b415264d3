/* core/network and core/period. */
#include "core/network.h"
#include "core/period.h"

#include "base/codec.h"

#include "unit.h"

#include <netinet/in.h>

static struct address address_of(const char *text)
{
    struct address address = {0};
    if (!address_parse(span_text(text), &address)) fail_msg("refused %s", text);
    return address;
}

static bool matches(const char *network_text, const char *address_text)
{
    struct network network;
    char error[NETWORK_ERROR_SIZE];
    if (network_parse(span_text(network_text), &network, error) != ERR_OK)
        fail_msg("%s %s", network_text, error);
    struct address address = address_of(address_text);
    return network_contains(&network, &address);
}

static void parses_addresses_strictly(void **state)
{
    (void)state;
    static const char *bad[] = {"",          "1.2.3",    "1.2.3.4.5", "01.2.3.4",   "1.2.3.256",
                                "0x1.2.3.4", "1.2.3.4 ", " 1.2.3.4",  "1.2.3.4:80", "[::1]",
                                "::1%lo",    ":::",      "1::2::3",   "12345::",    "fe80::1/64"};
    struct address address;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (address_parse(span_text(bad[i]), &address)) fail_msg("took %s", bad[i]);
    assert_false(address_parse(SPAN("1.2.3.4\0"), &address));
    char text[ADDRESS_TEXT_SIZE];
    address = address_of("::ffff:192.0.2.7");
    assert_int_equal(address.length, 4);
    address_format(&address, text);
    assert_string_equal(text, "192.0.2.7");
    address = address_of("2001:DB8:0::1");
    address_format(&address, text);
    assert_string_equal(text, "2001:db8::1");
    address_prefix(&address, &address);
    address_format(&address, text);
    assert_string_equal(text, "2001:db8::");
    address = address_of("203.0.113.77");
    address_prefix(&address, &address);
    address_format(&address, text);
    assert_string_equal(text, "203.0.113.0");
    address = (struct address){0};
    address_prefix(&address, &address);
    address_format(&address, text);
    assert_string_equal(text, "");
    address = address_of("::1");
    assert_true(address_is_loopback(&address));
    address = address_of("::ffff:127.9.9.9");
    assert_true(address_is_loopback(&address));
    address = address_of("128.0.0.1");
    assert_false(address_is_loopback(&address));
}

static void takes_addresses_of_sockets(void **state)
{
    (void)state;
    struct address address;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xFF;
    in6.sin6_addr.s6_addr[12] = 10;
    assert_true(address_from_sockaddr((struct sockaddr *)&in6, &address));
    assert_int_equal(address.length, 4);
    assert_int_equal(address.bytes[0], 10);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F000001)};
    assert_true(address_from_sockaddr((struct sockaddr *)&in, &address));
    assert_true(address_is_loopback(&address));
    in.sin_family = AF_UNIX;
    assert_false(address_from_sockaddr((struct sockaddr *)&in, &address));
    assert_int_equal(address.length, 0);
}

static void networks_contain(void **state)
{
    (void)state;
    assert_true(matches("10.0.0.0/8", "10.255.0.1"));
    assert_true(matches("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_false(matches("10.0.0.0/8", "11.0.0.0"));
    assert_true(matches("203.0.113.128/25", "203.0.113.255"));
    assert_false(matches("203.0.113.128/25", "203.0.113.127"));
    assert_true(matches("203.0.113.7", "203.0.113.7"));
    assert_false(matches("203.0.113.7", "203.0.113.6"));
    assert_true(matches("0.0.0.0/0", "255.255.255.255"));
    assert_false(matches("0.0.0.0/0", "2001:db8::1"));
    assert_true(matches("::/0", "2001:db8::1"));
    assert_false(matches("::/0", "10.0.0.1"));
    assert_true(matches("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(matches("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(matches("::ffff:10.0.0.0/104", "10.9.9.9"));
    assert_true(matches("2001:db8::1/128", "2001:db8::1"));
    struct network all = {{{0}, 4}, 0};
    struct address unknown = {0};
    assert_false(network_contains(&all, &unknown));
}

static void bad_networks_are_told_what_is_good(void **state)
{
    (void)state;
    struct network network;
    char error[NETWORK_ERROR_SIZE];
    static const char *bad[] = {"",
                                "/8",
                                "10.0.0.0/",
                                "10.0.0.0/33",
                                "10.0.0.0/08",
                                "10.0.0.0/+8",
                                "10.0.0.0/8/8",
                                "::/129",
                                "10.0.0/8",
                                "10.0.0.0 /8",
                                "2001:db8::/-1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(network_parse(span_text(bad[i]), &network, error), ERR_INVALID);
        assert_non_null(strstr(error, "203.0.113.0/24"));
    }
    assert_int_equal(network_parse(SPAN("10.1.2.3/8"), &network, error), ERR_INVALID);
    assert_non_null(strstr(error, "write 10.0.0.0/8 "));
    assert_int_equal(network_parse(SPAN("2001:db8::1/64"), &network, error), ERR_INVALID);
    assert_non_null(strstr(error, "write 2001:db8::/64 "));
    assert_int_equal(network_parse(SPAN("::ffff:10.0.0.1/104"), &network, error), ERR_INVALID);
    assert_non_null(strstr(error, "write 10.0.0.0/8 "));
}

static int64_t ms_of(const char *text)
{
    int64_t ms;
    assert_true(time_parse(span_text(text), &ms));
    return ms;
}

static void months_and_hours(void **state)
{
    (void)state;
    assert_int_equal(period_month_start(ms_of("2026-11-21T08:30:00.5Z")),
                     ms_of("2026-11-01T00:00:00Z"));
    assert_int_equal(period_month_start(ms_of("2026-11-01T00:00:00Z")),
                     ms_of("2026-11-01T00:00:00Z"));
    assert_int_equal(period_month_start(ms_of("2026-11-01T00:00:00Z") - 1),
                     ms_of("2026-10-01T00:00:00Z"));
    assert_int_equal(period_month_next(ms_of("2024-02-01T00:00:00Z")),
                     ms_of("2024-03-01T00:00:00Z"));
    assert_int_equal(period_month_next(ms_of("2024-12-31T23:59:59Z")),
                     ms_of("2025-01-01T00:00:00Z"));
    assert_int_equal(period_month_start(-5), 0);
    int64_t start = 0;
    for (int month = 0; month < 12 * 200; month++) {
        int64_t next = period_month_next(start);
        assert_in_range((next - start) / DAY_MS, 28, 31);
        assert_int_equal(period_month_start(next - 1), start);
        start = next;
    }
    assert_int_equal(start, ms_of("2170-01-01T00:00:00Z"));
    assert_int_equal(period_hour_start(ms_of("2026-11-21T08:59:59.9Z")),
                     ms_of("2026-11-21T08:00:00Z"));
    assert_int_equal(period_day_start(ms_of("2026-11-21T23:59:59Z")),
                     ms_of("2026-11-21T00:00:00Z"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_addresses_strictly),
        cmocka_unit_test(takes_addresses_of_sockets),
        cmocka_unit_test(networks_contain),
        cmocka_unit_test(bad_networks_are_told_what_is_good),
        cmocka_unit_test(months_and_hours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
