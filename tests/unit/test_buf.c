/* base/buf: what it appends, and that the cap is kept. */
#include "base/buf.h"

#include "unit.h"

static void appends_and_escapes(void **state)
{
    (void)state;
    struct buf buf = {0};
    buf_add_i64(&buf, INT64_MIN);
    buf_add_char(&buf, ' ');
    buf_add_json_string(&buf, SPAN("a\"\\\n\xC3\xA4\xFF\xED\xA0\x80"));
    assert_true(span_is(buf_span(&buf),
                        "-9223372036854775808 \"a\\\"\\\\\\u000a\xC3\xA4\xEF\xBF\xBD"
                        "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""));
    buf_done(&buf);
}

static void remembers_that_the_cap_was_reached(void **state)
{
    (void)state;
    struct buf buf = {.limit = 4};
    buf_add_text(&buf, "abcd");
    assert_false(buf.failed);
    buf_add_char(&buf, 'e');
    assert_true(buf.failed);
    assert_int_equal(buf.length, 4);
    buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_escapes),
        cmocka_unit_test(remembers_that_the_cap_was_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
