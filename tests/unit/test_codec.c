/* base/codec: every form both ways, and what must be refused. */
#include "base/codec.h"

#include "base/clock.h"

#include "unit.h"

#include <pthread.h>
#include <stdlib.h>

static int64_t wall = 1700000000000;
static int64_t wall_ms(void)
{
    return wall;
}
static const struct clock_source fixed = {wall_ms, wall_ms, wall_ms};

static void ids_rise_when_the_clock_stands_or_steps_back(void **state)
{
    (void)state;
    clock_install(&fixed);
    id_set_node(511);
    uint64_t last = 0;
    for (int i = 0; i < 10000; i++) {
        if (i == 5000) wall -= 1000;
        uint64_t id = id_new();
        assert_true(id > last);
        assert_int_equal(id >> 12 & 511, 511);
        last = id;
    }
    clock_install(NULL);
}

enum { THREADS = 4, IDS = 5000 };
static void *make_ids(void *ids)
{
    for (int i = 0; i < IDS; i++)
        ((uint64_t *)ids)[i] = id_new();
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void ids_of_several_threads_differ(void **state)
{
    (void)state;
    static uint64_t ids[THREADS][IDS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    qsort(ids, THREADS * IDS, sizeof ids[0][0], by_value);
    for (int i = 1; i < THREADS * IDS; i++)
        assert_true(((uint64_t *)ids)[i] != ((uint64_t *)ids)[i - 1]);
}

static void ids_have_one_text(void **state)
{
    (void)state;
    char text[ID_TEXT_SIZE];
    uint64_t id;
    id_format(text, "key", INT64_MAX);
    assert_string_equal(text, "key_7zzzzzzzzzzzz");
    assert_true(id_parse(span_text(text), "key", &id));
    assert_int_equal(id, INT64_MAX);
    id_format(text, "cus", 33);
    assert_string_equal(text, "cus_0000000000011");
    assert_true(id_parse(span_text(text), "cus", &id) && id == 33);
    const char *bad[] = {"",
                         "key_",
                         "key_8000000000000",
                         "key_7ZZZZZZZZZZZZ",
                         "key_000000000000",
                         "key_00000000000010",
                         "key_000000000001l",
                         "cus_0000000000001",
                         "key-0000000000001",
                         "key_0000000000000"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(id_parse(span_text(bad[i]), "key", &id));
    assert_false(id_parse(SPAN("key_00000000000\0001"), "key", &id));
}

static void times_go_both_ways(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T23:59:59Z", 951868799000},
        {"2026-11-21T08:30:00.1239Z", 1795249800123},
        {"2026-11-21t08:30:00.5z", 1795249800500},
        {"2026-11-21T09:30:00+01:00", 1795249800000},
        {"2026-11-20T23:00:00-09:30", 1795249800000},
        {"9999-12-31T23:59:59Z", 253402300799000},
    };
    static const char *bad[] = {"",
                                "2026-11-21",
                                "2026-11-21T08:30Z",
                                "2026-11-21T08:30:00",
                                "2026-02-29T00:00:00Z",
                                "2100-02-29T00:00:00Z",
                                "2026-13-01T00:00:00Z",
                                "2026-00-01T00:00:00Z",
                                "2026-01-00T00:00:00Z",
                                "2026-01-01T24:00:00Z",
                                "2026-01-01T00:60:00Z",
                                "2026-01-01T00:00:60Z",
                                "2026-01-01T00:00:00.Z",
                                "2026-01-01T00:00:00Z ",
                                "2026-01-01T00:00:00+24:00",
                                "2026-01-01T00:00:00+0100",
                                "1969-12-31T23:59:59Z",
                                "1970-01-01T00:00:00+00:01",
                                "9999-12-31T23:59:59-00:01",
                                "+026-01-01T00:00:00Z",
                                "2026-01-01 00:00:00Z"};
    int64_t ms;
    char text[TIME_TEXT_SIZE];
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_true(time_parse(span_text(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
        time_format(text, ms);
        assert_true(time_parse(span_text(text), &ms));
        assert_int_equal(ms, good[i].ms / 1000 * 1000);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (time_parse(span_text(bad[i]), &ms)) fail_msg("took %s", bad[i]);
    time_format(text, INT64_MAX);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
}

static void dates_go_both_ways_day_by_day(void **state)
{
    (void)state;
    for (int64_t days = -800000; days < 3000000; days += 97) {
        int64_t year;
        unsigned month, day;
        date_from_days(days, &year, &month, &day);
        assert_int_equal(days_from_date(year, month, day), days);
    }
}

static void hex_and_base62(void **state)
{
    (void)state;
    char text[65] = {0};
    unsigned char bytes[32];
    memset(bytes, 0xFF, sizeof bytes);
    hex_encode(text, bytes, 2);
    assert_string_equal(text, "ffff");
    assert_true(hex_decode(bytes, 2, SPAN("0aF9")));
    assert_int_equal(bytes[0], 0x0A);
    assert_int_equal(bytes[1], 0xF9);
    assert_false(hex_decode(bytes, 2, SPAN("0aF")));
    assert_false(hex_decode(bytes, 2, SPAN("0aF90")));
    assert_false(hex_decode(bytes, 2, SPAN("0aFg")));

    memset(text, 0, sizeof text);
    memset(bytes, 0xFF, sizeof bytes);
    base62_encode(text, 43, bytes, 32); /* 2^256 - 1, by Python's divmod */
    assert_string_equal(text, "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
    memset(text, 0, sizeof text);
    base62_encode_u32(text, 6, UINT32_MAX);
    assert_string_equal(text, "4gfFC3");
    memset(text, 0, sizeof text);
    base62_encode(text, 6, bytes, 4);
    assert_string_equal(text, "4gfFC3");
    memset(text, 0, sizeof text);
    base62_encode_u32(text, 3, 61);
    assert_string_equal(text, "00z");
}

static void numbers(void **state)
{
    (void)state;
    uint64_t value;
    assert_true(u64_parse(SPAN("18446744073709551615"), UINT64_MAX, &value));
    assert_true(value == UINT64_MAX);
    assert_true(u64_parse(SPAN("007"), 7, &value) && value == 7);
    assert_false(u64_parse(SPAN("18446744073709551616"), UINT64_MAX, &value));
    assert_false(u64_parse(SPAN("99999999999999999999"), UINT64_MAX, &value));
    assert_false(u64_parse(SPAN("8"), 7, &value));
    assert_false(u64_parse(SPAN(""), 7, &value));
    assert_false(u64_parse(SPAN("+1"), 7, &value));
    assert_false(u64_parse(SPAN("1 "), 7, &value));
}

static void numbers_as_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "7",
                                        "10",
                                        "99",
                                        "100",
                                        "101",
                                        "1009",
                                        "65536",
                                        "1000000000000",
                                        "18446744073709551615"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char digits[U64_DIGITS];
        uint64_t value;
        assert_true(u64_parse(span_text(texts[i]), UINT64_MAX, &value));
        size_t at = u64_format(digits, value);
        assert_true(span_is(span_of(digits + at, sizeof digits - at), texts[i]));
    }
}

static void language_tags_have_a_shape(void **state)
{
    (void)state;
    static const char *const good[] = {"de", "pt-BR", "zh-Hant-TW", "de-1996", "sl-rozaj-1-a"};
    static const char *const bad[] = {"",       "d",     "-de",         "de-",
                                      "de--AT", "de_AT", "deutschland", "d\xC3",
                                      "1a",     "de.",   "de-ab ",      "de-123456789"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        if (!language_tag_is_good(span_text(good[i]))) fail_msg("%s", good[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (language_tag_is_good(span_text(bad[i]))) fail_msg("%s", bad[i]);
    assert_true(language_tag_is_good(SPAN("en-abcdefgh-abcdefgh-abcdefgh-abcde")));
    assert_false(language_tag_is_good(SPAN("en-abcdefgh-abcdefgh-abcdefgh-abcdefgh")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_rise_when_the_clock_stands_or_steps_back),
        cmocka_unit_test(ids_of_several_threads_differ),
        cmocka_unit_test(ids_have_one_text),
        cmocka_unit_test(times_go_both_ways),
        cmocka_unit_test(dates_go_both_ways_day_by_day),
        cmocka_unit_test(hex_and_base62),
        cmocka_unit_test(language_tags_have_a_shape),
        cmocka_unit_test(numbers),
        cmocka_unit_test(numbers_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
