/* io/router and the query parameters of io/http_request. */
#include "io/http.h"

#include "unit.h"

#include <string.h>

static const struct http_route routes[] = {
    {HTTP_M_GET, "/", NULL, "root"},
    {HTTP_M_GET, "/v1/keys/{id}", NULL, "get"},
    {HTTP_M_PATCH, "/v1/keys/{id}", NULL, "patch"},
    {HTTP_M_POST, "/v1/keys/lookup", NULL, "lookup"},
    {HTTP_M_POST, "/v1/keys/{id}/rotate", NULL, "rotate"},
    {HTTP_M_GET, "/v1/{kind}/{id}/usage", NULL, "usage"},
    {HTTP_M_GET, "/v1/keys/{id}/usage", NULL, "key usage"},
};

static const char *find(struct http_request *request, enum http_method method, const char *path,
                        unsigned *allowed)
{
    request->method = method;
    request->path = span_text(path);
    struct http_match match = http_route_find(routes, COUNT_OF(routes), request);
    *allowed = match.allowed;
    return match.route ? match.route->context : NULL;
}

static void finds_routes_and_their_arguments(void **state)
{
    (void)state;
    struct http_request request = {0};
    unsigned allowed;
    assert_string_equal(find(&request, HTTP_M_GET, "/", &allowed), "root");
    assert_string_equal(find(&request, HTTP_M_PATCH, "/v1/keys/key_1", &allowed), "patch");
    assert_true(span_is(request.path_arguments[0], "key_1"));
    assert_string_equal(find(&request, HTTP_M_HEAD, "/v1/keys/key_1", &allowed), "get");
    assert_string_equal(find(&request, HTTP_M_POST, "/v1/keys/key_2/rotate", &allowed), "rotate");
    assert_true(span_is(request.path_arguments[0], "key_2"));
    assert_string_equal(find(&request, HTTP_M_GET, "/v1/customers/c/usage", &allowed), "usage");
    assert_true(span_is(request.path_arguments[0], "customers"));
    assert_true(span_is(request.path_arguments[1], "c"));
}

static void literal_segments_beat_arguments(void **state)
{
    (void)state;
    struct http_request request = {0};
    unsigned allowed;
    assert_string_equal(find(&request, HTTP_M_POST, "/v1/keys/lookup", &allowed), "lookup");
    assert_string_equal(find(&request, HTTP_M_GET, "/v1/keys/k/usage", &allowed), "key usage");
    assert_true(span_is(request.path_arguments[0], "k"));
}

static void tells_not_found_from_not_allowed(void **state)
{
    (void)state;
    static const char *const nowhere[] = {
        "/v1", "/v1/",       "/v1/keys/", "/v1/keys/a/b", "/v1/keys/a/", "//v1/keys/a",
        "*",   "/v1//usage", ""};
    struct http_request request = {0};
    unsigned allowed;
    char text[64];
    for (size_t i = 0; i < COUNT_OF(nowhere); i++) {
        assert_null(find(&request, HTTP_M_GET, nowhere[i], &allowed));
        assert_int_equal(allowed, 0);
    }
    assert_null(find(&request, HTTP_M_DELETE, "/v1/keys/a", &allowed));
    http_allow_text(allowed, text);
    assert_string_equal(text, "GET, HEAD, PATCH");
    assert_null(find(&request, HTTP_M_OTHER, "/v1/keys/lookup", &allowed));
    http_allow_text(allowed, text);
    assert_string_equal(text, "POST");
}

static enum err query(struct http_request *request, const char *text, const char *name,
                      struct span *value)
{
    request->query = span_text(text);
    return http_query(request, name, value);
}

static void decodes_query_parameters(void **state)
{
    (void)state;
    struct http_request request = {0};
    struct span value;
    assert_int_equal(query(&request, "a=1&b=x%20y+z%2F&c", "b", &value), ERR_OK);
    assert_true(span_is(value, "x y z/"));
    assert_int_equal(query(&request, "a=1&&%62=2=3", "b", &value), ERR_OK);
    assert_true(span_is(value, "2=3"));
    assert_int_equal(query(&request, "a=1&c", "c", &value), ERR_OK);
    assert_non_null(value.data);
    assert_int_equal(value.length, 0);
    assert_int_equal(query(&request, "a=1", "b", &value), ERR_OK);
    assert_null(value.data);
    arena_done(&request.arena);
}

static void refuses_bad_query_parameters(void **state)
{
    (void)state;
    static const char *const bad[] = {"b=1&b=2", "b=1&%62=1", "b=%", "b=%4",
                                      "b=%zz",   "b=a%00b",   "%=1", "a=%1&b=2"};
    struct http_request request = {0};
    struct span value;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(query(&request, bad[i], "b", &value), ERR_INVALID);
    arena_done(&request.arena);
}

static enum err collect(struct span name, struct span value, void *context)
{
    buf_add_span(context, name);
    buf_add_char(context, ':');
    buf_add_span(context, value);
    buf_add_char(context, ';');
    return span_is(name, "stop") ? ERR_DENIED : ERR_OK;
}

static void goes_through_all_parameters(void **state)
{
    (void)state;
    struct http_request request = {.query = SPAN("a=%31&b&stop=x&c=d")};
    struct buf seen = {0};
    assert_int_equal(http_query_each(&request, collect, &seen), ERR_DENIED);
    assert_true(span_is(buf_span(&seen), "a:1;b:;stop:x;"));
    buf_done(&seen);
    arena_done(&request.arena);
}

static void headers_are_found_whatever_their_case(void **state)
{
    (void)state;
    const struct http_header headers[] = {{SPAN("x-api-key"), SPAN("1")},
                                          {SPAN("X-API-Key"), SPAN("2")}};
    struct http_request request = {.headers = headers, .header_count = 2};
    assert_true(span_is(http_header(&request, "X-Api-Key"), "1"));
    assert_int_equal(http_header_count(&request, "X-API-KEY"), 2);
    assert_null(http_header(&request, "X-Api-Ke").data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_routes_and_their_arguments),
        cmocka_unit_test(literal_segments_beat_arguments),
        cmocka_unit_test(tells_not_found_from_not_allowed),
        cmocka_unit_test(decodes_query_parameters),
        cmocka_unit_test(refuses_bad_query_parameters),
        cmocka_unit_test(goes_through_all_parameters),
        cmocka_unit_test(headers_are_found_whatever_their_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
