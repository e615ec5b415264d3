/* service/mail_house: what the settings make every mail say. */
#include "conf/settings.h"
#include "service/mail_context.h"
#include "service/mail_house.h"
#include "service/mail_template.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct settings settings;
static struct mail_house house;
static struct mail_templates *templates;

static void load(const char *const *sets, size_t count)
{
    char error[SETTINGS_ERROR_SIZE];
    settings_done(&settings);
    if (settings_load(&settings, "/dev/null", sets, count, error)) fail_msg("%s", error);
    mail_house_init(&house, &settings);
}
#define LOAD(...)                                                                                  \
    load((const char *const[]){__VA_ARGS__}, COUNT_OF(((const char *const[]){__VA_ARGS__})))

static int set_up(void **state)
{
    (void)state;
    return mail_templates_new(&templates, NULL) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    mail_templates_free(&templates);
    settings_done(&settings);
    return 0;
}

/* Renders the kind with nothing of what every mail says but what the settings add. */
static struct mail_text render(enum mail_kind kind, const char *customer_name)
{
    json_t *context = mail_example(kind, MAIL_SHORTEST);
    struct mail_text out;
    assert_non_null(context);
    for (const struct template_variable *at = mail_common_variables; at->name; at++)
        json_object_del(context, at->name);
    json_object_del(context, "header");
    assert_int_equal(mail_house_add(&house, context, kind, "acme-7", customer_name), ERR_OK);
    if (mail_render(templates, kind, "", context, &out)) fail_msg("%s", out.fault);
    buf_add_char(&out.text, '\0');
    mail_context_free(&context);
    return out;
}

static void check(struct mail_text text, const char *const *parts, bool there)
{
    for (; *parts; parts++)
        if (!!strstr(text.text.data, *parts) != there)
            fail_msg("\"%s\" %s \"%s\"", text.text.data, there ? "lacks" : "has", *parts);
    mail_text_done(&text);
}
#define HAS(text, ...)   check(text, (const char *const[]){__VA_ARGS__, NULL}, true)
#define LACKS(text, ...) check(text, (const char *const[]){__VA_ARGS__, NULL}, false)

static void what_is_set_is_said(void **state)
{
    (void)state;
    LOAD("product.name=M\xC3\xBCller & Co", "product.support=Help <help@mueller.example>",
         "product.documentation_url=https://mueller.example/docs",
         "product.endpoint=https://mueller.example/v1", "product.header=X-Mueller-Key",
         "mail.from=Keys <keys@mueller.example>", "mail.reply_to=other@mueller.example");
    HAS(render(MAIL_KEY_ISSUED, "Acme"), "for M\xC3\xBCller & Co is ready",
        "Client ID:      acme-7", "Name:           Acme", "write to help@mueller.example",
        "https://mueller.example/docs",
        "curl https://mueller.example/v1 -H 'X-Mueller-Key: YOUR_KEY'");
    HAS(render(MAIL_REVOKED, NULL), "M\xC3\xBCller & Co | client ID acme-7");
}

static void what_is_not_set_is_left_out(void **state)
{
    (void)state;
    LOAD("mail.from=keys@mueller.example");
    HAS(render(MAIL_KEY_ISSUED, ""), "for mueller.example is ready", "X-API-Key: YOUR_KEY");
    LACKS(render(MAIL_KEY_ISSUED, ""), "curl", "Documentation", "Questions", "Name:");
    LOAD("mail.from=Mueller Keys <keys@mueller.example>");
    HAS(render(MAIL_KEY_ISSUED, ""), "for Mueller Keys is ready");
}

static void a_scheme_stands_before_the_key(void **state)
{
    (void)state;
    LOAD("mail.from=a@b.example", "product.header=Authorization: Bearer",
         "product.endpoint=https://b.example");
    HAS(render(MAIL_KEY_ISSUED, ""), "in the header Authorization:",
        "curl https://b.example -H 'Authorization: Bearer YOUR_KEY'");
}

static void support_and_reply_to_stand_in_for_each_other(void **state)
{
    (void)state;
    LOAD("mail.from=Keys <keys@b.example>");
    assert_string_equal(house.from.name, "Keys");
    assert_string_equal(house.from.address, "keys@b.example");
    assert_string_equal(house.reply_to.address, "");
    LOAD("mail.from=keys@b.example", "mail.reply_to=replies@b.example");
    HAS(render(MAIL_REVOKED, ""), "write to replies@b.example");
    LOAD("mail.from=keys@b.example", "product.support=Help <help@b.example>");
    assert_string_equal(house.reply_to.name, "Help");
    assert_string_equal(house.reply_to.address, "help@b.example");
    HAS(render(MAIL_REVOKED, ""), "write to help@b.example");
    LOAD("mail.from=keys@b.example", "product.support=help@b.example",
         "mail.reply_to=replies@b.example");
    assert_string_equal(house.reply_to.address, "replies@b.example");
    HAS(render(MAIL_REVOKED, ""), "write to help@b.example");
}

static void a_kind_gets_only_what_it_knows(void **state)
{
    (void)state;
    char error[TEMPLATE_ERROR_SIZE];
    LOAD("mail.from=keys@b.example", "product.endpoint=https://b.example");
    for (int kind = 0; kind < MAIL_KIND_COUNT; kind++) {
        json_t *context = mail_example((enum mail_kind)kind, MAIL_WITH_NEITHER);
        assert_int_equal(mail_house_add(&house, context, (enum mail_kind)kind, "acme", "Acme"),
                         ERR_OK);
        if (mail_context_check((enum mail_kind)kind, context, error)) fail_msg("%s", error);
        mail_context_free(&context);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_set_is_said),
        cmocka_unit_test(what_is_not_set_is_left_out),
        cmocka_unit_test(a_scheme_stands_before_the_key),
        cmocka_unit_test(support_and_reply_to_stand_in_for_each_other),
        cmocka_unit_test(a_kind_gets_only_what_it_knows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
