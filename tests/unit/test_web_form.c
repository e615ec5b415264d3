/* Forms and session cookies of pages, as a handler sees them. */
#include "api/web_form.h"
#include "api/web_session.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct http_header typed;

static bool open_form(struct web_form *form, struct http_request *request, const char *text,
                      const char *csrf)
{
    request->body = span_text(text);
    return web_form_open(form, request, csrf);
}

static void expect_refused(struct http_request request, const char *text, const char *csrf,
                           int status, const char *code)
{
    struct web_form form CLEANUP(web_form_done) = {0};
    assert_false(open_form(&form, &request, text, csrf));
    assert_int_equal(form.body.problem.status, status);
    assert_string_equal(form.body.problem.code, code);
    arena_done(&request.arena);
}

static void fields_of_a_form(void **state)
{
    (void)state;
    struct http_request request = {.method = HTTP_M_POST, .headers = &typed, .header_count = 1};
    struct web_form form CLEANUP(web_form_done) = {0};
    const char *title = "", *text = "", *names = "";
    uint64_t cap = 0;
    assert_true(open_form(&form, &request,
                          "csrf=abc&title=a%20b+%C3%A9&text=one%0D%0Atwo&p%5B%5D=x&p[]=y&cap=42"
                          "&none=&box=on",
                          "abc"));
    assert_int_equal(field_text(&form.body.fields, "title", 0, 9, &title), FIELD_SET);
    assert_string_equal(title, "a b \xc3\xa9");
    assert_int_equal(field_lines(&form.body.fields, "text", 0, 9, &text), FIELD_SET);
    assert_string_equal(text, "one\ntwo");
    assert_int_equal(field_names(&form.body.fields, "p", 5, 9, &names), FIELD_SET);
    assert_string_equal(names, "x,y");
    assert_int_equal(web_form_u64(&form, "cap", 1, 100, &cap), FIELD_SET);
    assert_int_equal(cap, 42);
    assert_int_equal(field_text(&form.body.fields, "none", 1, 9, &title), FIELD_ABSENT);
    assert_true(web_form_is_empty(&form, "none") && !web_form_is_empty(&form, "title"));
    assert_true(web_form_box(&form, "box") && !web_form_box(&form, "other"));
    assert_true(web_form_finish(&form));
    arena_done(&request.arena);
}

static void errors_beside_their_fields(void **state)
{
    (void)state;
    struct http_request request = {.method = HTTP_M_POST, .headers = &typed, .header_count = 1};
    struct web_form form CLEANUP(web_form_done) = {0};
    const char *title = "";
    uint64_t cap = 0;
    assert_true(open_form(&form, &request, "title=abcdef&cap=-1&unknown=1", NULL));
    assert_int_equal(field_text(&form.body.fields, "title", 0, 5, &title), FIELD_WRONG);
    assert_int_equal(web_form_u64(&form, "cap", 0, 9, &cap), FIELD_WRONG);
    assert_false(web_form_finish(&form));
    json_t *errors = web_form_errors(&form);
    assert_non_null(json_string_value(json_object_get(errors, "title")));
    assert_non_null(json_string_value(json_object_get(errors, "cap")));
    assert_non_null(json_string_value(json_object_get(errors, "unknown")));
    json_decref(errors);
    arena_done(&request.arena);
}

static void what_is_refused(void **state)
{
    (void)state;
    struct http_request request = {.method = HTTP_M_POST, .headers = &typed, .header_count = 1};
    expect_refused(request, "a=1&a=2", NULL, 400, "malformed_form");
    expect_refused(request, "a=%zz", NULL, 400, "malformed_form");
    expect_refused(request, "a=%00", NULL, 400, "malformed_form");
    expect_refused(request, "a=%ff", NULL, 400, "malformed_form");
    expect_refused(request, "a=1&a[]=2", NULL, 400, "malformed_form");
    expect_refused(request, "a=1", "abc", 403, "form_expired");
    expect_refused(request, "csrf=abd", "abc", 403, "form_expired");
    expect_refused(request, "csrf[]=abc", "abc", 403, "form_expired");
    struct http_header cross[] = {typed, {SPAN("Sec-Fetch-Site"), SPAN("cross-site")}};
    request.headers = cross;
    request.header_count = 2;
    expect_refused(request, "csrf=abc", "abc", 403, "cross_site");
    cross[1].value = span_text("same-site");
    expect_refused(request, "csrf=abc", "abc", 403, "cross_site");
    request.header_count = 0;
    expect_refused(request, "csrf=abc", "abc", 415, "unsupported_media_type");
}

static struct span read_cookie(const char *value, bool secure)
{
    struct http_header header = {SPAN("cookie"), span_text(value)};
    struct http_request request = {.headers = &header, .header_count = 1};
    return web_session_read(&request, "km_test", secure);
}

#define TEXT "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

static void cookies(void **state)
{
    (void)state;
    struct buf out CLEANUP(buf_done) = {0};
    assert_true(span_is(read_cookie("a=b; km_test=" TEXT "; c", false), TEXT));
    assert_true(span_is(read_cookie("__Host-km_test=" TEXT, true), TEXT));
    assert_int_equal(read_cookie("km_test=" TEXT, true).length, 0);
    assert_int_equal(read_cookie("km_test=" TEXT "; km_test=" TEXT, false).length, 0);
    assert_int_equal(read_cookie("km_testx=" TEXT, false).length, 0);
    assert_int_equal(read_cookie("km_test=" TEXT "x", false).length, 0);
    assert_int_equal(read_cookie("km_test=", false).length, 0);
    web_session_write(&out, "km_test", true, span_text(TEXT), 60);
    assert_true(span_is(buf_span(&out), "Set-Cookie: __Host-km_test=" TEXT "; Path=/; Max-Age=60; "
                                        "HttpOnly; SameSite=Lax; Secure\r\n"));
    buf_clear(&out);
    web_session_write(&out, "km_test", false, (struct span){0}, 60);
    assert_true(span_is(buf_span(&out),
                        "Set-Cookie: km_test=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax\r\n"));
}

int main(void)
{
    typed.name = span_text("Content-Type");
    typed.value = span_text("application/x-www-form-urlencoded");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_a_form),
        cmocka_unit_test(errors_beside_their_fields),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(cookies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
