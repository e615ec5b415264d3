/* docs/mail-templates.md lists what the tables of service/mail_kind.c declare. With
 * KEYMETER_WRITE_DOCS set in the environment the page is written anew instead of compared. */
#include "base/buf.h"
#include "service/mail_kind.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE SOURCE_DIR "/docs/mail-templates.md"

static const char *type_name(const struct template_variable *variable)
{
    if (variable->members == mail_time_members) return "time";
    if (variable->members == mail_duration_members) return "duration";
    switch (variable->type) {
    case TEMPLATE_TEXT:
        return "text";
    case TEMPLATE_FLAG:
        return "flag";
    case TEMPLATE_GROUP:
        return "group";
    case TEMPLATE_LIST:
        return "list";
    }
    return "";
}

static void rows_write(struct buf *out, const char *prefix,
                       const struct template_variable *variables)
{
    for (; variables->name; variables++) {
        buf_printf(out, "| `%s%s` | %s%s | %s |\n", prefix, variables->name,
                   variables->optional && variables->type != TEMPLATE_FLAG ? "optional " : "",
                   type_name(variables), variables->help);
        if (variables->type == TEMPLATE_LIST && variables->members)
            rows_write(out, "… ", variables->members);
    }
}

static void table_write(struct buf *out, const struct template_variable *variables)
{
    buf_add_text(out, "\n| name | is | |\n|---|---|---|\n");
    rows_write(out, "", variables);
    buf_add_text(out, "\n");
}

static void members_write(struct buf *out, const struct template_variable *variables)
{
    buf_add_text(out, "\n| member | |\n|---|---|\n");
    for (; variables->name; variables++)
        buf_printf(out, "| `%s` | %s |\n", variables->name, variables->help);
    buf_add_text(out, "\n");
}

static void kinds_write(struct buf *out)
{
    buf_add_text(out, "\n### Every mail\n");
    table_write(out, mail_common_variables);
    for (int kind = 0; kind < MAIL_KIND_COUNT; kind++) {
        buf_printf(out, "### %s\n\n%s\n", mail_kind_name((enum mail_kind)kind),
                   mail_kind_help((enum mail_kind)kind));
        table_write(out, mail_kind_variables((enum mail_kind)kind));
    }
}

/* The page with what stands behind `marker` replaced. */
static void replace(struct buf *page, const char *marker, const struct buf *part)
{
    static const char end[] = "<!-- end -->";
    struct buf next = {0};
    char *begin = strstr(page->data, marker);
    if (!begin) fail_msg("%s lacks %s", PAGE, marker);
    begin += strlen(marker) + 1;
    char *rest = strstr(begin, end);
    if (!rest) fail_msg("%s lacks %s behind %s", PAGE, end, marker);
    buf_add(&next, page->data, (size_t)(begin - page->data));
    buf_add_span(&next, buf_span(part));
    buf_add_text(&next, rest);
    buf_add_char(&next, '\0');
    next.length--;
    buf_done(page);
    *page = next;
}

static void page_read(struct buf *page)
{
    FILE *file = fopen(PAGE, "r");
    assert_non_null(file);
    char *room = buf_reserve(page, 65536);
    assert_non_null(room);
    page->length = fread(room, 1, 65535, file);
    page->data[page->length] = '\0';
    fclose(file);
}

static void the_page_says_what_the_tables_say(void **state)
{
    (void)state;
    struct buf page = {0}, expected = {0}, part = {0};
    page_read(&page);
    page_read(&expected);
    members_write(&part, mail_time_members);
    replace(&expected, "<!-- times -->", &part);
    buf_clear(&part);
    members_write(&part, mail_duration_members);
    replace(&expected, "<!-- durations -->", &part);
    buf_clear(&part);
    kinds_write(&part);
    replace(&expected, "<!-- kinds -->", &part);
    if (getenv("KEYMETER_WRITE_DOCS")) {
        FILE *file = fopen(PAGE, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(expected.data, 1, expected.length, file), expected.length);
        assert_int_equal(fclose(file), 0);
    } else if (!span_equal(buf_span(&page), buf_span(&expected))) {
        fail_msg("docs/mail-templates.md is not up to date: run this test with "
                 "KEYMETER_WRITE_DOCS=1");
    }
    buf_done(&page);
    buf_done(&expected);
    buf_done(&part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_page_says_what_the_tables_say)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
