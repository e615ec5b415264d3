/* base/json and base/secret: what is refused, what is written, what is shown. */
#include "base/json.h"
#include "base/secret.h"

#include "unit.h"

static bool takes(struct span text)
{
    json_t *json;
    char error[JSON_ERROR_SIZE];
    enum err result = json_parse_strict(text, &json, error);
    assert_true((result == ERR_OK) == (json != NULL) && (result == ERR_OK) == (error[0] == '\0'));
    assert_null(strstr(error, "canary"));
    json_decref(json);
    return result == ERR_OK;
}

static struct span nested(char *out, size_t depth)
{
    memset(out, '[', depth);
    memset(out + depth, ']', depth);
    return span_of(out, 2 * depth);
}

static void parses_strictly(void **state)
{
    (void)state;
    char text[256];
    assert_true(takes(SPAN("{\"a\":\"[[[[\\\"[\",\"b\":[1]}")));
    assert_true(takes(SPAN(" [] ")));
    assert_true(takes(nested(text, JSON_DEPTH_MAX)));
    assert_false(takes(nested(text, JSON_DEPTH_MAX + 1)));
    static const char *bad[] = {"",
                                "1",
                                "\"canary\"",
                                "{\"a\":1,\"a\":2}",
                                "{\"canary\":1,\"canary\":2}",
                                "{\"a\":canary}",
                                "{} x",
                                "{\"a\":\"\xFF\"}",
                                "{\"a\":\"\xED\xA0\x80\"}",
                                "{\"a\":\"\\u0000\"}",
                                "{\"a\":\"\\ud800\"}",
                                "{\"a\":99999999999999999999}",
                                "{\"a\":1e999}",
                                "{\"a\":NaN}",
                                "[1,]",
                                "{'a':1}",
                                "\xEF\xBB\xBF{}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (takes(span_text(bad[i]))) fail_msg("took %s", bad[i]);
    assert_false(takes(SPAN("{}\0")));
    assert_false(takes((struct span){NULL, 0}));
}

static void writes_commas_where_they_belong(void **state)
{
    (void)state;
    struct buf buf = {0};
    json_open(&buf, NULL, '{');
    json_put_text(&buf, "a", SPAN("x\""));
    json_open(&buf, "b", '[');
    json_put_u64(&buf, NULL, 1);
    json_put_null(&buf, NULL);
    json_open(&buf, NULL, '{');
    json_close(&buf, '}');
    json_put_bool(&buf, NULL, false);
    json_close(&buf, ']');
    json_put_string(&buf, "c", NULL);
    json_put_i64(&buf, "d", -1);
    json_put_time(&buf, "e", 1000);
    json_put_time(&buf, "f", 0);
    json_put_id(&buf, "g", "key", 1);
    json_put_raw(&buf, "h", SPAN("{}"));
    json_close(&buf, '}');
    assert_true(span_is(buf_span(&buf), "{\"a\":\"x\\\"\",\"b\":[1,null,{},false],\"c\":null,"
                                        "\"d\":-1,\"e\":\"1970-01-01T00:00:01Z\",\"f\":null,"
                                        "\"g\":\"key_0000000000001\",\"h\":{}}"));
    assert_true(takes(buf_span(&buf)));
    buf_done(&buf);
}

static void a_secret_is_a_copy_that_goes(void **state)
{
    (void)state;
    struct secret *secret = secret_copy(SPAN("abc"));
    assert_non_null(secret);
    assert_true(span_is(secret_span(secret), "abc") && secret->text[3] == '\0');
    secret_free(&secret);
    assert_null(secret);
    secret_free(&secret);
    assert_null(secret_new(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_strictly),
        cmocka_unit_test(writes_commas_where_they_belong),
        cmocka_unit_test(a_secret_is_a_copy_that_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
