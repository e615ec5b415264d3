/* The charts of pages: scale, bars that can be seen, escaping. */
#include "core/chart.h"

#include "unit.h"

#include <string.h>

static uint64_t top_of(uint64_t a, uint64_t b)
{
    struct chart_bar bar = {.a = a, .b = b};
    return chart_top(&(struct chart){.bars = &bar, .count = 1});
}

static void the_scale(void **state)
{
    (void)state;
    assert_int_equal(chart_top(&(struct chart){0}), 4);
    assert_int_equal(top_of(0, 0), 4);
    assert_int_equal(top_of(4, 1), 8);
    assert_int_equal(top_of(9, 0), 10);
    assert_int_equal(top_of(10, 1), 20);
    assert_int_equal(top_of(0, 41), 50);
    assert_int_equal(top_of(99, 2), 200);
    assert_true(top_of(UINT64_MAX, 1) == UINT64_MAX);
    for (uint64_t value = 1; value < 100000; value += 7) {
        uint64_t top = top_of(value, 0);
        assert_true(top >= value && (top <= 4 || top < 3 * value) && top % 2 == 0);
    }
}

static void drawn(void **state)
{
    (void)state;
    struct buf out CLEANUP(buf_done) = {0};
    struct chart_bar bars[] = {{.a = 1000000, .label = "<b>\"&"}, {.a = 1, .b = 0}, {.b = 1}};
    chart_svg(&out, &(struct chart){.title = "\"><script>", .bars = bars, .count = 3});
    buf_add_char(&out, '\0');
    assert_false(out.failed);
    assert_null(strstr(out.data, "<script"));
    assert_null(strstr(out.data, "<b>"));
    assert_non_null(strstr(out.data, "&lt;b&gt;&quot;&amp;"));
    assert_non_null(strstr(out.data, "height=\"3.0\"")); /* one of a million can be seen */
    assert_null(strstr(out.data, "style"));
}

static void numbers(void **state)
{
    (void)state;
    char text[CHART_NUMBER_SIZE];
    chart_number(text, 0);
    assert_string_equal(text, "0");
    chart_number(text, 999);
    assert_string_equal(text, "999");
    chart_number(text, 1000);
    assert_string_equal(text, "1,000");
    chart_number(text, UINT64_MAX);
    assert_string_equal(text, "18,446,744,073,709,551,615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scale),
        cmocka_unit_test(drawn),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
