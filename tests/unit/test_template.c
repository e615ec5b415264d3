/* base/template beyond the specification: errors with their place, ways of escaping, limits, and
 * the check of names. */
#include "base/json.h"
#include "base/template.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

static char error[TEMPLATE_ERROR_SIZE];
static struct template_fault fault;

static struct template *compile(const char *file, const char *text)
{
    struct template *template;
    if (template_new(&template, file, 1, span_text(text), error)) fail_msg("%s", error);
    return template;
}

/* Partials "self", "once", "deep" of the tests below. */
static const struct template *partial_self, *partial_once;

static const struct template *partial_find(const void *unused, struct span name)
{
    (void)unused;
    if (span_is(name, "self")) return partial_self;
    return span_is(name, "once") ? partial_once : NULL;
}

static void refuses(const char *text, const char *part)
{
    struct template *template;
    assert_int_equal(template_new(&template, "mail.txt", 3, span_text(text), error), ERR_INVALID);
    assert_null(template);
    if (!strstr(error, part)) fail_msg("\"%s\" does not tell \"%s\"", error, part);
}

static void mistakes_are_named_with_file_and_line(void **state)
{
    (void)state;
    refuses("a\nb {{name\n",
            "mail.txt:4: the tag that opens here is not closed; \"}}\" is missing");
    refuses("{{{name}}\n", "mail.txt:3: the tag that opens here is not closed; \"}}}\" is missing");
    refuses("\n\n{{#a}}\n", "mail.txt:5: the section \"a\" is not closed");
    refuses("{{/a}}", "mail.txt:3: \"a\" is closed but not open");
    refuses("{{#a}}\n{{#b}}\n{{/a}}",
            "mail.txt:5: \"a\" is closed while \"b\", opened on line 4, is");
    refuses("{{}}", "mail.txt:3: \"\" cannot be a name");
    refuses("{{ #a}}", "\"#a\" cannot be a name");
    refuses("{{a b}}", "\"a b\" cannot be a name");
    refuses("{{a..b}}", "cannot be a name");
    refuses("{{.a}}", "cannot be a name");
    refuses("{{a.}}", "cannot be a name");
    refuses("{{<parent}}{{/parent}}", "\"<parent\" cannot be a name");
    refuses("{{> }}", "\"\" cannot be a name");
    refuses("{{=<%=}}", "mail.txt:3: delimiters are set as {{=<% %>=}}");
    refuses("{{=a b c=}}", "delimiters are set as");
    refuses("{{=123456789 }}=}}", "delimiters are set as");
    refuses("{{=<= =>=}}", "delimiters are set as");
    refuses("{{! \n \n }}{{x", "mail.txt:5: ");
    char deep[8 * TEMPLATE_SECTIONS_MAX + 8] = "";
    for (size_t i = 0; i <= TEMPLATE_SECTIONS_MAX; i++)
        memcpy(deep + 6 * i, "{{#a}}", 7);
    refuses(deep, "sections within each other more than 32 deep");
    struct template *template;
    assert_int_equal(template_new(&template, "x", 1, span_of("a\0b", 3), error), ERR_INVALID);
    assert_non_null(strstr(error, "NUL"));
}

static void a_text_is_bounded(void **state)
{
    (void)state;
    struct template *template;
    size_t size = TEMPLATE_TEXT_MAX + 1;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'a', size);
    assert_int_equal(template_new(&template, "x", 1, span_of(text, size - 1), error), ERR_OK);
    template_free(&template);
    assert_int_equal(template_new(&template, "x", 1, span_of(text, size), error), ERR_INVALID);
    assert_non_null(strstr(error, "longer than 256 KiB"));
    memset(text, '\n', size);
    assert_int_equal(template_new(&template, "x", 1, span_of(text, size - 1), error), ERR_INVALID);
    assert_non_null(strstr(error, "x:65537: more than 65536 lines and tags"));
    free(text);
}

/* Renders `text` with the context of `json` and compares. */
static void renders(enum template_escape escape, const char *text, const char *json,
                    const char *expected)
{
    struct template *template = compile("t", text);
    struct template_options options = {.escape = escape, .partial = partial_find};
    struct buf out = {0};
    json_t *context = json_loads(json, JSON_ALLOW_NUL, NULL);
    assert_non_null(context);
    assert_int_equal(template_render(template, context, &options, &out, &fault), ERR_OK);
    assert_string_equal(fault.text, "");
    buf_add_char(&out, '\0');
    assert_string_equal(out.data, expected);
    buf_done(&out);
    json_decref(context);
    template_free(&template);
}

static void values_are_escaped_as_asked(void **state)
{
    (void)state;
    const char *hostile = "{\"n\":\"<script src='x'>\\\"&amp;\\r\\nBcc: a\\u0000\\u007f\\u00e9\"}";
    renders(TEMPLATE_HTML, "{{n}}", hostile,
            "&lt;script src=&#39;x&#39;&gt;&quot;&amp;amp;\r\nBcc: a");
    renders(
        TEMPLATE_ONE_LINE, "{{n}}\n{{{n}}}\n", hostile,
        "<script src='x'>\"&amp;  Bcc: a  \xC3\xA9\n<script src='x'>\"&amp;  Bcc: a  \xC3\xA9\n");
    renders(TEMPLATE_PLAIN, "{{n}}", "{\"n\":\"<a>\\n&\"}", "<a>\n&");
    renders(TEMPLATE_HTML, "{{&n}}{{{n}}}", "{\"n\":\"<a>&\"}", "<a>&<a>&");
}

static void what_the_specification_leaves_open(void **state)
{
    (void)state;
    renders(TEMPLATE_HTML, "{{#s}}yes{{/s}}{{^s}}no{{/s}}", "{\"s\":\"\"}", "no");
    renders(TEMPLATE_HTML, "{{#s}}yes{{/s}}{{^s}}no{{/s}}", "{\"s\":0}", "yes");
    renders(TEMPLATE_HTML, "[{{o}}{{l}}]{{t}}{{f}}", "{\"o\":{},\"l\":[1],\"t\":true,\"f\":false}",
            "[]truefalse");
    renders(TEMPLATE_HTML, "{{a}} {{b}} {{c}}", "{\"a\":0.1,\"b\":1e21,\"c\":9007199254740993}",
            "0.1 1e+21 9007199254740993");
    renders(TEMPLATE_HTML, "", "{}", "");
    /* A shown item of a list knows the names outside of it. */
    renders(TEMPLATE_HTML, "{{#l}}{{a}}{{b}};{{/l}}", "{\"a\":1,\"b\":2,\"l\":[{\"a\":3},{}]}",
            "32;12;");
}

static void partials_keep_their_margin(void **state)
{
    (void)state;
    struct template *once = compile("once", "{{#l}}\n- {{.}}\n{{/l}}\n{{! c }}x{{#l}}y\n{{/l}}z\n");
    partial_once = once;
    renders(TEMPLATE_PLAIN, "a\n  {{> once}}\nb", "{\"l\":[1,\"2\\n3\"]}",
            "a\n  - 1\n  - 2\n3\n  xy\n  y\n  z\nb");
    struct template *self = compile("self", "(\n {{> once}}\n)\n");
    partial_self = self;
    renders(TEMPLATE_PLAIN, "  {{> self}}\n", "{}", "  (\n   xz\n  )\n");
    template_free(&once);
    template_free(&self);
}

/* Renders until a limit, of which the fault tells `part`. */
static void stops(const char *text, json_t *context, size_t limit, const char *part)
{
    struct template *template = compile("t", text);
    struct template_options options = {.partial = partial_find};
    struct buf out = {.limit = limit};
    assert_int_equal(template_render(template, context, &options, &out, &fault), ERR_FULL);
    if (!strstr(fault.text, part)) fail_msg("\"%s\" does not tell \"%s\"", fault.text, part);
    assert_true(out.length <= limit);
    buf_done(&out);
    template_free(&template);
}

static void no_template_runs_away(void **state)
{
    (void)state;
    json_t *context = json_pack("{s:[]}", "l"), *list = json_object_get(context, "l");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(json_array_append_new(list, json_object()), 0);
    struct template *self = compile("self.txt", "x\n{{> self}}\n");
    partial_self = self;
    stops("\n{{> self}}", context, 200, "self.txt:1: sections and partials within each other");
    assert_ptr_equal(fault.within[0], self);
    stops("{{#l}}{{#l}}{{#l}}{{/l}}{{/l}}{{/l}}", context, 1 << 20, "t:1: more than 200000 lines");
    stops("{{#l}}1234567890{{/l}}", context, 5000, "t:1: the output gets too large");
    stops("1234567890", context, 5, "t:1: the output gets too large");
    template_free(&self);
    json_decref(context);
}

static const struct template_variable item[] = {
    {.name = "network"}, {.name = "last"}, {.name = NULL}};
static const struct template_variable time_members[] = {{.name = "date"}, {.name = NULL}};
static const struct template_variable inner[] = {
    {.name = "title"},
    {.name = "urgent", .type = TEMPLATE_FLAG},
    {.name = "due", .type = TEMPLATE_GROUP, .members = time_members},
    {.name = "networks", .type = TEMPLATE_LIST, .members = item},
    {.name = "words", .type = TEMPLATE_LIST},
    {.name = NULL}};
static const struct template_variable common[] = {{.name = "product"}, {.name = NULL}};

/* `part` NULL: it is right. */
static void checks(const char *text, const char *part)
{
    struct template *template = compile("m.txt", text);
    struct template_options options = {.partial = partial_find};
    struct template_scope outer = {.variables = common}, scope = {inner, NULL, &outer};
    enum err result = template_check(template, &scope, &options, &fault);
    if (part && !strstr(fault.text, part))
        fail_msg("\"%s\" does not tell \"%s\"", fault.text, part);
    if (!part && result) fail_msg("%s", fault.text);
    assert_int_equal(result, part ? ERR_INVALID : ERR_OK);
    template_free(&template);
}

static void names_are_checked(void **state)
{
    (void)state;
    checks("{{title}} {{{product}}} {{due.date}} {{#due}}{{date}}{{/due}}", NULL);
    checks("{{#networks}}{{network}} {{last}} {{title}} {{product}}{{/networks}}", NULL);
    checks("{{#words}}{{.}}{{/words}}{{^words}}none{{/words}}", NULL);
    checks("{{#title}}{{title}} {{.}}{{/title}}{{#urgent}}!{{/urgent}}{{^urgent}}{{/urgent}}",
           NULL);
    checks("a\n{{ tilte }}", "m.txt:2: unknown name \"tilte\"; known here: title, urgent, due, "
                             "networks, words, product");
    checks("{{#x}}{{/x}}", "m.txt:1: unknown name \"x\"");
    checks("{{^x}}{{/x}}", "m.txt:1: unknown name \"x\"");
    checks("{{network}}", "unknown name \"network\"");
    checks("{{#networks}}{{x}}{{/networks}}", "known here: network, last, title, ");
    checks("{{due.time}}", "unknown name \"due.time\"; known of due: date");
    checks("{{title.x}}", "unknown name \"title.x\"; known of title: nothing");
    checks("{{networks.last}}", "known of networks: nothing");
    checks("{{due}}", "\"due\" is not a text but a group; write its name, a dot and one of date");
    checks("{{networks}}", "\"networks\" is not a text but a list; open a section");
    checks("{{&urgent}}", "\"urgent\" is not a text but a flag; open a section");
    checks("{{.}}", "unknown name \".\"");
    checks("{{#networks}}{{.}}{{/networks}}", "unknown name \".\"");
    checks("{{#urgent}}{{.}}{{/urgent}}", "unknown name \".\"");
    checks("\n{{> gone}}", "m.txt:2: the partial \"gone\" does not exist");
}

static void partials_are_checked_where_they_are_included(void **state)
{
    (void)state;
    struct template *once = compile("once.txt", "\n{{network}}"),
                    *self = compile("self.txt", "{{> self}}");
    partial_once = once;
    partial_self = self;
    checks("{{#networks}}{{> once}}{{/networks}}", NULL);
    checks("\n{{> once}}", "once.txt:2: unknown name \"network\"; known here: title, urgent, due, "
                           "networks, words, product (included by m.txt:2)");
    assert_ptr_equal(fault.within[0], once);
    assert_true(fault.within[1] && fault.within[1] != once && !fault.within[2]);
    checks("{{> self}}", "self.txt:1: the partial \"self\" includes itself");
    template_free(&once);
    template_free(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_named_with_file_and_line),
        cmocka_unit_test(a_text_is_bounded),
        cmocka_unit_test(values_are_escaped_as_asked),
        cmocka_unit_test(what_the_specification_leaves_open),
        cmocka_unit_test(partials_keep_their_margin),
        cmocka_unit_test(no_template_runs_away),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(partials_are_checked_where_they_are_included),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
