/* base/buf: what it appends, and that the cap is kept. */
#include "base/buf.h"

#include "unit.h"

#include <malloc.h>
#include <stdlib.h>

/* The buffer itself is compiled here, so that what it gives back can be looked at. */
static void (*buf_on_free)(void *data, size_t size);

static void free_seen(void *data)
{
    if (buf_on_free && data) buf_on_free(data, malloc_usable_size(data));
    free(data);
}
#define free free_seen
#include "base/buf.c"
#undef free

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

/* What realloc and free would leave behind is looked at when memory is given back. */
static const char canary[] = "km_live_canary";
static unsigned freed;

static void freed_look(void *data, size_t size)
{
    freed++;
    assert_null(memmem(data, size, canary, 7));
}

static void one_that_wipes_leaves_nothing(void **state)
{
    (void)state;
    struct buf buf = {.wipe = true};
    buf_on_free = freed_look;
    buf_add_text(&buf, canary);
    for (int i = 0; i < 1000; i++)
        buf_add_text(&buf, canary);
    assert_int_equal(buf.length, 1001 * strlen(canary));
    for (int i = 0; i < 1001; i++)
        assert_memory_equal(buf.data + (size_t)i * strlen(canary), canary, strlen(canary));
    buf_clear(&buf);
    assert_null(memmem(buf.data, buf.capacity, canary, 7));
    buf_add_text(&buf, canary);
    buf_done(&buf);
    assert_true(buf.wipe && freed > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_escapes),
        cmocka_unit_test(remembers_that_the_cap_was_reached),
        cmocka_unit_test(one_that_wipes_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
