/* api/request: which bodies and fields pass, and where the errors are said to be. */
#include "api/request.h"

#include "core/rate_limit.h"
#include "unit.h"

static struct http_header headers[2] = {{SPAN("Content-Type"), SPAN("application/json")}};
static size_t header_count = 1;

/* A request that has the body; arena_done it. */
static struct http_request request_of(const char *body)
{
    return (struct http_request){.method = HTTP_M_POST,
                                 .headers = headers,
                                 .header_count = header_count,
                                 .body = span_text(body)};
}

static int status_of(const char *text)
{
    struct http_request request = request_of(text);
    struct body body CLEANUP(body_done) = {0};
    int status = 200;
    if (!body_open(&body, &request) || !body_finish(&body)) status = body.problem.status;
    arena_done(&request.arena);
    return status;
}

static void tells_malformed_from_wrong(void **state)
{
    (void)state;
    assert_int_equal(status_of("{}"), 200);
    assert_int_equal(status_of(""), 400);
    assert_int_equal(status_of("{"), 400);
    assert_int_equal(status_of("{\"a\":1,\"a\":2}"), 400);
    assert_int_equal(status_of("[]"), 422);
    assert_int_equal(status_of("{\"surprise\":1}"), 422);
    headers[0].value = SPAN("text/plain");
    assert_int_equal(status_of("{}"), 415);
    headers[0].value = SPAN("application/json; charset=latin1");
    assert_int_equal(status_of("{}"), 415);
    headers[0].value = SPAN("Application/JSON;  charset=UTF-8");
    assert_int_equal(status_of("{}"), 200);
    headers[0].value = SPAN("application/json \t;\tcharset=utf-8");
    assert_int_equal(status_of("{}"), 200);
    headers[0].value = SPAN("application/json");
    header_count = 2;
    headers[1] = (struct http_header){SPAN("content-type"), SPAN("application/json")};
    assert_int_equal(status_of("{}"), 415);
    headers[1] = (struct http_header){SPAN("Content-Encoding"), SPAN("gzip")};
    assert_int_equal(status_of("{}"), 415);
    headers[1].value = SPAN("identity");
    assert_int_equal(status_of("{}"), 200);
    header_count = 1;
}

static void reads_fields(void **state)
{
    (void)state;
    struct http_request request =
        request_of("{\"t\":\"\xC3\xA4\xC3\xA4\",\"w\":\"a-b\",\"n\":7,\"b\":true,\"z\":null,"
                   "\"l\":[\"x\",\"y\"],\"c\":\"two\",\"at\":\"1970-01-01T00:00:01Z\","
                   "\"m\":{\"k\":\"v\",\"n\":1},\"o\":{\"i\":1},\"nets\":[\"10.0.0.0/8\"],"
                   "\"r\":[{\"name\":\"minute\",\"limit\":5,\"window_seconds\":60}]}");
    struct body body CLEANUP(body_done) = {0};
    assert_true(body_open(&body, &request));
    struct fields *fields = &body.fields, inner;
    const char *text = NULL;
    uint64_t number = 0;
    bool flag = false;
    unsigned choice = 9, count = 0;
    int64_t at = 0;
    struct rate_limit limits[RATE_LIMITS_MAX];
    static const char *const words[] = {"one", "two", NULL};
    assert_int_equal(field_text(fields, "t", 2, 2, &text), FIELD_SET);
    assert_int_equal(field_word(fields, "w", 1, 9, &text), FIELD_SET);
    assert_string_equal(text, "a-b");
    assert_int_equal(field_u64(fields, "n", 1, 7, &number), FIELD_SET);
    assert_int_equal(number, 7);
    assert_int_equal(field_bool(fields, "b", &flag), FIELD_SET);
    assert_int_equal(field_u64(fields, "z", 1, 7, &number), FIELD_NULL);
    assert_int_equal(field_u64(fields, "absent", 1, 7, &number), FIELD_ABSENT);
    assert_int_equal(field_names(fields, "l", 2, 1, &text), FIELD_SET);
    assert_string_equal(text, "x,y");
    assert_int_equal(field_choice(fields, "c", words, &choice), FIELD_SET);
    assert_int_equal(choice, 1);
    assert_int_equal(field_time(fields, "at", &at), FIELD_SET);
    assert_int_equal(at, 1000);
    assert_int_equal(field_metadata(fields, "m", &text), FIELD_SET);
    assert_string_equal(text, "{\"k\":\"v\",\"n\":1}");
    assert_int_equal(field_networks(fields, "nets", &text), FIELD_SET);
    assert_string_equal(text, "[\"10.0.0.0/8\"]");
    assert_int_equal(field_rate_limits(fields, "r", limits, &count), FIELD_SET);
    assert_int_equal(count, 1);
    assert_int_equal(limits[0].window_s, 60);
    assert_int_equal(field_object(fields, "o", &inner), FIELD_SET);
    fields_finish(&inner);
    assert_false(body_finish(&body));
    assert_int_equal(body.problem.field_count, 1);
    assert_string_equal(body.problem.fields[0].location, "body.o.i");
    arena_done(&request.arena);
}

static void collects_errors_with_locations(void **state)
{
    (void)state;
    struct http_request request =
        request_of("{\"t\":\"abc\",\"n\":-1,\"l\":[\"x\",\"x\"],\"e\":\"nobody\","
                   "\"r\":[{\"name\":\"Minute\",\"limit\":0,\"window_seconds\":60}],"
                   "\"m\":{\"k\":[1]},\"nets\":[\"10.0.0.1/8\"]}");
    struct body body CLEANUP(body_done) = {0};
    assert_true(body_open(&body, &request));
    struct fields *fields = &body.fields;
    const char *text = NULL;
    uint64_t number = 0;
    unsigned count = 0;
    struct rate_limit limits[RATE_LIMITS_MAX];
    assert_int_equal(field_text(fields, "t", 0, 2, &text), FIELD_WRONG);
    assert_int_equal(field_u64(fields, "n", 0, 7, &number), FIELD_WRONG);
    assert_int_equal(field_names(fields, "l", 9, 9, &text), FIELD_WRONG);
    assert_int_equal(field_email(fields, "e", &text), FIELD_WRONG);
    assert_int_equal(field_rate_limits(fields, "r", limits, &count), FIELD_WRONG);
    assert_int_equal(field_metadata(fields, "m", &text), FIELD_WRONG);
    assert_int_equal(field_networks(fields, "nets", &text), FIELD_WRONG);
    assert_false(field_required(fields, "gone", field_bool(fields, "gone", &(bool){false})));
    assert_false(body_finish(&body));
    static const char *const where[] = {"body.t", "body.n",         "body.l[1]",
                                        "body.e", "body.r[0].name", "body.r[0].limit",
                                        "body.m", "body.nets[0]",   "body.gone"};
    assert_int_equal(body.problem.field_count, COUNT_OF(where));
    for (size_t i = 0; i < COUNT_OF(where); i++)
        assert_string_equal(body.problem.fields[i].location, where[i]);
    arena_done(&request.arena);
}

static void takes_customer_ids_and_external_ids(void **state)
{
    (void)state;
    struct customer_ref ref;
    assert_true(customer_ref_parse(SPAN("acme-1"), &ref));
    assert_int_equal(ref.id, 0);
    assert_false(customer_ref_parse(SPAN(""), &ref));
    assert_false(customer_ref_parse(SPAN("a b"), &ref));
    struct http_request request = {.path_arguments = {SPAN("a%2Fb%40c"), SPAN("a%0"), SPAN("%00")}};
    assert_true(span_is(path_text(&request, 0), "a/b@c"));
    assert_int_equal(path_text(&request, 1).length, 0);
    assert_int_equal(path_text(&request, 2).length, 0);
    arena_done(&request.arena);
}

static void hides_nothing_it_should_say(void **state)
{
    (void)state;
    struct problem problem = {0};
    assert_int_equal(problem_for_error(ERR_DB_LOST, &problem), ERR_DENIED);
    assert_int_equal(problem.status, 503);
    assert_true(problem.retry_after > 0);
    problem = (struct problem){0};
    problem_for_error(ERR_DB, &problem);
    assert_int_equal(problem.status, 500);
    struct buf out CLEANUP(buf_done) = {0};
    problem_error_body(431, "req-1", &out);
    assert_non_null(strstr(out.data, "\"status\":431"));
    assert_non_null(strstr(out.data, "\"type\":\"urn:keymeter:problem:head_too_large\""));
    assert_non_null(strstr(out.data, "\"request_id\":\"req-1\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_malformed_from_wrong),
        cmocka_unit_test(reads_fields),
        cmocka_unit_test(collects_errors_with_locations),
        cmocka_unit_test(takes_customer_ids_and_external_ids),
        cmocka_unit_test(hides_nothing_it_should_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
