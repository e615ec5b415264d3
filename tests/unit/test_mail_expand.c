/* service/mail_expand: what the outbox stores becomes what the templates read, and nothing else. */
#include "service/mail_context.h"
#include "service/mail_expand.h"

#include "unit.h"

#include <string.h>

static json_t *expanded(enum mail_kind kind, const char *stored)
{
    json_t *context = NULL;
    assert_int_equal(mail_expand(kind, span_text(stored), &context), ERR_OK);
    assert_non_null(context);
    return context;
}

static const char *text_at(const json_t *object, const char *name, const char *member)
{
    const json_t *value = json_object_get(object, name);
    return json_string_value(member ? json_object_get(value, member) : value);
}

static void times_durations_and_amounts_become_what_is_promised(void **unused)
{
    (void)unused;
    json_t *context = expanded(
        MAIL_ROTATION_UPCOMING,
        "{\"key_id\":\"key_1\",\"environment\":\"live\",\"key_start\":\"km_live_ab...\","
        "\"rotates_at\":1772546700000,\"grace\":86400,\"overlap\":604800,\"encrypted\":true}");
    assert_string_equal(text_at(context, "rotates_at", "iso"), "2026-03-03T14:05:00Z");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(context, "grace"), "hours")), 24);
    assert_string_equal(text_at(context, "overlap", "text"), "7 days");
    assert_string_equal(text_at(context, "key_id", NULL), "key_1");
    assert_true(json_is_true(json_object_get(context, "encrypted")));
    mail_context_free(&context);
    context = expanded(MAIL_ROTATION_UPCOMING, "{\"grace\":-5,\"overlap\":0}");
    assert_string_equal(text_at(context, "grace", "text"), "0 seconds");
    assert_string_equal(text_at(context, "overlap", "text"), "0 seconds");
    mail_context_free(&context);
    context = expanded(MAIL_QUOTA_80, "{\"used\":1234567,\"limit\":0,\"tier\":\"pro\"}");
    assert_string_equal(text_at(context, "used", NULL), "1,234,567");
    assert_string_equal(text_at(context, "limit", NULL), "0");
    mail_context_free(&context);
}

static void lists_are_expanded_within(void **unused)
{
    (void)unused;
    json_t *context =
        expanded(MAIL_OLD_SECRET_IN_USE,
                 "{\"networks\":[{\"network\":\"192.0.2.0/24\",\"last_used_at\":1772546700000},"
                 "{\"network\":\"2001:db8::/64\",\"last_used_at\":0}]}");
    const json_t *list = json_object_get(context, "networks");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(text_at(json_array_get(list, 0), "last_used_at", "time"), "14:05");
    assert_string_equal(text_at(json_array_get(list, 1), "network", NULL), "2001:db8::/64");
    mail_context_free(&context);
    context = expanded(MAIL_OLD_SECRET_IN_USE, "{\"networks\":[]}");
    mail_context_free(&context);
}

/* What the kind does not know is left to mail_context_check. */
static void what_is_not_declared_stays_as_it_is(void **unused)
{
    (void)unused;
    json_t *context = expanded(MAIL_REVOKED, "{\"in_clear\":true,\"surprise\":5}");
    assert_int_equal(json_integer_value(json_object_get(context, "surprise")), 5);
    assert_int_equal(json_object_size(context), 2);
    mail_context_free(&context);
    context = expanded(MAIL_REVOKED, "{}");
    assert_int_equal(json_object_size(context), 0);
    mail_context_free(&context);
}

static void what_is_no_context_is_refused(void **unused)
{
    (void)unused;
    static const struct {
        enum mail_kind kind;
        const char *stored;
    } wrong[] = {
        {MAIL_REVOKED, ""},
        {MAIL_REVOKED, "{"},
        {MAIL_REVOKED, "[]"},
        {MAIL_REVOKED, "5"},
        {MAIL_REVOKED, "{\"key_id\":1,\"key_id\":2}"},
        {MAIL_REVOKED, "{\"revoked_at\":\"2026-03-03T14:05:00Z\"}"}, /* not a number */
        {MAIL_ROTATION_UPCOMING, "{\"grace\":{}}"},
        {MAIL_QUOTA_80, "{\"used\":-1}"},
        {MAIL_OLD_SECRET_IN_USE, "{\"networks\":[{\"last_used_at\":\"now\"}]}"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        json_t *context = NULL;
        if (mail_expand(wrong[i].kind, span_text(wrong[i].stored), &context) != ERR_INVALID)
            fail_msg("%s", wrong[i].stored);
        assert_null(context);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_durations_and_amounts_become_what_is_promised),
        cmocka_unit_test(lists_are_expanded_within),
        cmocka_unit_test(what_is_not_declared_stays_as_it_is),
        cmocka_unit_test(what_is_no_context_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
