/* core/plain_text: what may stand in a title, and where the first wrong character is. */
#include "base/plain_text.h"

#include "unit.h"

static void good_texts_pass(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
    } good[] = {
        {"", 0},
        {"batch jobs (EU) 100%", 20},
        {"J\u00FCrgen \u00D8", 8},
        {"\u05E9\u05DC\u05D5\u05DD \u0645\u0631\u062D\u0628\u0627", 10},
        {"\u0645\u06CC\u200C\u062E\u0648\u0627\u0647\u0645", 8}, /* Persian, with a non-joiner */
        {"\U0001F468\u200D\U0001F469", 3},                       /* an emoji of two */
        {"\u2764\uFE0F\u200D\U0001F525", 4},
        {"\u00A0\u2013\uFFFD\U0010FFFD", 4},
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct plain_text seen = plain_text_check(span_text(good[i].text), false);
        assert_int_equal(seen.wrong_at, 0);
        assert_int_equal(seen.length, good[i].length);
    }
}

static void what_hides_or_turns_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t wrong;
        size_t at;
    } bad[] = {
        {"a\nb", '\n', 2},
        {"a\tb", '\t', 2},
        {"\x1b[31m", 0x1B, 1},
        {"del\x7f", 0x7F, 4},
        {"c1 \xC2\x9B", 0x9B, 4},
        {"\xC2\x85", 0x85, 1},
        {"\u00AD", 0xAD, 1},
        {"\u00E9\u061C", 0x61C, 2},
        {"\u200B", 0x200B, 1},
        {"x\u200E", 0x200E, 2},
        {"x\u200F", 0x200F, 2},
        {"invoice\u202Efdp.exe", 0x202E, 8},
        {"\u202A", 0x202A, 1},
        {"\u2028", 0x2028, 1},
        {"\u2029", 0x2029, 1},
        {"\u2060", 0x2060, 1},
        {"\u2066x\u2069", 0x2066, 1},
        {"x\u2069", 0x2069, 2},
        {"\uFEFFx", 0xFEFF, 1},
        {"\U000E0041", 0xE0041, 1},
        {"ad\u200Dmin", 0x200D, 3},              /* between ASCII it only hides */
        {"\u0645\u200C", 0x200C, 2},             /* at the end */
        {"\u200D\u0645", 0x200D, 1},             /* at the beginning */
        {"\u0645\u200D\u200D\u0645", 0x200D, 2}, /* two of them */
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct plain_text seen = plain_text_check(span_text(bad[i].text), false);
        assert_int_equal(seen.wrong, bad[i].wrong);
        assert_int_equal(seen.wrong_at, bad[i].at);
    }
    assert_int_equal(plain_text_check(span_of("a\0b", 3), true).wrong_at, 2);
}

static void lines_are_allowed_where_asked(void **state)
{
    (void)state;
    struct plain_text seen = plain_text_check(SPAN("one\n\ttwo"), true);
    assert_int_equal(seen.wrong_at, 0);
    assert_int_equal(seen.length, 8);
    assert_int_equal(plain_text_check(SPAN("one\r\n"), true).wrong, '\r');
    assert_int_equal(plain_text_check(SPAN("\n\u202E\n\u200B"), true).wrong_at, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_pass),
        cmocka_unit_test(what_hides_or_turns_is_found),
        cmocka_unit_test(lines_are_allowed_where_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
