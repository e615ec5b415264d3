/* Templates. What must hold: a refusal says where and why; rendering ends within its limits; what
 * passed the check of names is never nested too deep; and a partial with a margin gives what its
 * text gives with that margin before each line, which is how the specification puts it.
 * Input: a template, then behind NULs, if there are any, the partial "p" and the context (JSON). */
#include "base/json.h"
#include "base/template.h"
#include "fuzz.h"

#include <string.h>

enum { OUTPUT_MAX = 16384 };

static const char sample[] = "{\"a\":\"<A>\\n&\",\"b\":true,\"g\":{\"a\":1.5,\"c\":\"x\"},\"l\":[{"
                             "\"a\":2},{\"c\":[]}],\"w\":[\"x\",3]}";
static const struct template_variable members[] = {{.name = "a"}, {.name = "c"}, {.name = NULL}};
static const struct template_variable variables[] = {
    {.name = "a"},
    {.name = "b", .type = TEMPLATE_FLAG},
    {.name = "g", .type = TEMPLATE_GROUP, .members = members},
    {.name = "l", .type = TEMPLATE_LIST, .members = members},
    {.name = "w", .type = TEMPLATE_LIST},
    {.name = NULL}};

static struct template *partial;

static const struct template *partial_find(const void *unused, struct span name)
{
    (void)unused;
    return span_is(name, "p") ? partial : NULL;
}

static struct template *compile(struct span text)
{
    struct template *template;
    char error[TEMPLATE_ERROR_SIZE];
    enum err result = template_new(&template, "file", 1, text, error);
    FUZZ_CHECK((result == ERR_OK) == (template != NULL) && (result == ERR_OK) == !error[0]);
    if (result) FUZZ_CHECK(!strncmp(error, "file:", 5) && strlen(error) > 8);
    return template;
}

static enum err render(const struct template *template, const json_t *context,
                       enum template_escape escape, struct buf *out)
{
    struct template_options options = {.escape = escape, .partial = partial_find};
    struct template_fault fault;
    out->limit = OUTPUT_MAX;
    enum err result = template_render(template, context, &options, out, &fault);
    FUZZ_CHECK(result == ERR_OK || (result == ERR_FULL && fault.text[0] && fault.within[0]));
    FUZZ_CHECK(out->length <= OUTPUT_MAX);
    struct template_scope scope = {.variables = variables};
    struct template_fault checked;
    if (result && template_check(template, &scope, &options, &checked) == ERR_OK)
        FUZZ_CHECK(!strstr(fault.text, "within each other"));
    return result;
}

/* " \t{{> p}}" against the partial's text with that margin written out. */
static void check_margin(struct span text, const json_t *context)
{
    struct buf written = {0}, included_out = {0}, written_out = {0};
    for (size_t i = 0; i < text.length; i++) {
        if (i == 0 || text.data[i - 1] == '\n') buf_add_text(&written, " \t");
        buf_add_char(&written, text.data[i]);
    }
    struct template *include = compile(SPAN(" \t{{> p}}\n")), *same = compile(buf_span(&written));
    FUZZ_CHECK(include && same);
    if (render(include, context, TEMPLATE_PLAIN, &included_out) == ERR_OK &&
        render(same, context, TEMPLATE_PLAIN, &written_out) == ERR_OK)
        FUZZ_CHECK(span_equal(buf_span(&included_out), buf_span(&written_out)));
    template_free(&include);
    template_free(&same);
    buf_done(&written);
    buf_done(&included_out);
    buf_done(&written_out);
}

/* What stands before the next NUL. */
static struct span take(struct span *left)
{
    const char *end = left->length ? memchr(left->data, '\0', left->length) : NULL;
    struct span text = span_of(left->data, end ? (size_t)(end - left->data) : left->length);
    *left = end ? span_of(end + 1, left->length - text.length - 1) : (struct span){0};
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span left = span_of(data, size), text = take(&left), included = take(&left);
    json_t *context = left.length ? json_loadb(left.data, left.length, 0, NULL) : NULL;
    if (!context) context = json_loads(sample, 0, NULL);
    FUZZ_CHECK(context != NULL);
    partial = compile(included);
    struct template *template = compile(text);
    for (int escape = TEMPLATE_HTML; template && escape <= TEMPLATE_ONE_LINE; escape++) {
        struct buf out = {0};
        (void)!render(template, context, (enum template_escape)escape, &out);
        buf_done(&out);
    }
    if (partial) check_margin(included, context);
    template_free(&template);
    template_free(&partial);
    json_decref(context);
    return 0;
}
