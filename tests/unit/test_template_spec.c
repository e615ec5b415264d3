/* base/template against the public mustache specification: every case of every file of
 * tests/data/mustache-spec. */
#include "base/template.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const files[] = {"comments", "delimiters", "interpolation",
                                    "inverted", "partials",   "sections"};
enum { CASES = 136, PARTIALS_MAX = 8 };

static struct {
    const char *name;
    struct template *template;
} partials[PARTIALS_MAX];
static size_t partial_count;

static const struct template *partial_find(const void *unused, struct span name)
{
    (void)unused;
    for (size_t i = 0; i < partial_count; i++)
        if (span_is(name, partials[i].name)) return partials[i].template;
    return NULL;
}

static struct template *compile(const json_t *text)
{
    struct template *template;
    char error[TEMPLATE_ERROR_SIZE];
    struct span span = {json_string_value(text), json_string_length(text)};
    if (template_new(&template, "case", 1, span, error)) fail_msg("%s", error);
    return template;
}

/* false: it rendered something else, which is printed. */
static bool run_case(const char *file, json_t *test)
{
    const char *name;
    json_t *value, *expected = json_object_get(test, "expected");
    struct template *template = compile(json_object_get(test, "template"));
    partial_count = 0;
    json_object_foreach(json_object_get(test, "partials"), name, value)
    {
        assert_true(partial_count < PARTIALS_MAX);
        partials[partial_count].name = name;
        partials[partial_count++].template = compile(value);
    }
    struct template_options options = {.escape = TEMPLATE_HTML, .partial = partial_find};
    struct template_fault fault;
    struct buf out = {0};
    enum err result =
        template_render(template, json_object_get(test, "data"), &options, &out, &fault);
    bool good = result == ERR_OK &&
                span_equal(buf_span(&out),
                           span_of(json_string_value(expected), json_string_length(expected)));
    if (!good)
        print_error("%s: %s: %s\n  expected \"%s\"\n  rendered \"%.*s\"\n", file,
                    json_string_value(json_object_get(test, "name")), fault.text,
                    json_string_value(expected), (int)out.length, out.data ? out.data : "");
    buf_done(&out);
    template_free(&template);
    while (partial_count)
        template_free(&partials[--partial_count].template);
    return good;
}

static void every_case_of_the_specification(void **state)
{
    (void)state;
    unsigned cases = 0, bad = 0;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[256];
        json_error_t error;
        json_t *test;
        size_t index;
        snprintf(path, sizeof path, SOURCE_DIR "/tests/data/mustache-spec/%s.json", files[i]);
        json_t *json = json_load_file(path, 0, &error);
        if (!json) fail_msg("%s: %s", path, error.text);
        json_array_foreach(json_object_get(json, "tests"), index, test)
        {
            cases++;
            if (!run_case(files[i], test)) bad++;
        }
        json_decref(json);
    }
    assert_int_equal(cases, CASES);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case_of_the_specification)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
