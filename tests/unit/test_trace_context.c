/* traceparent: what is valid is taken, all else is nothing. */
#include "api/trace_context.h"
#include "unit.h"

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static bool parse(const char *text)
{
    struct trace_context out = {0};
    if (!trace_context_parse(span_text(text), &out)) return false;
    assert_true(span_is(out.trace_id, TRACE));
    assert_true(span_is(out.span_id, PARENT));
    return true;
}

static void test_valid(void **state)
{
    (void)state;
    assert_true(parse("00-" TRACE "-" PARENT "-01"));
    assert_true(parse("00-" TRACE "-" PARENT "-00"));
    assert_true(parse("cc-" TRACE "-" PARENT "-01-what-a-later-version-adds"));
    assert_true(parse("cc-" TRACE "-" PARENT "-01"));
}

static void test_invalid(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "00",
        "ff-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-01-more",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-0g",
        "cc-" TRACE "-" PARENT "-01.more",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "0x-" TRACE "-" PARENT "-01",
        "00-\"bf92f3577b34da6a3ce929d0e0e4736-" PARENT "-01",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(parse(wrong[i]));
    assert_false(trace_context_parse((struct span){NULL, 0}, &(struct trace_context){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
