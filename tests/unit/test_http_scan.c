/* io/http_scan: the same verdict however the bytes are cut, and where a message ends. */
#include "io/http_scan.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static const char good_head[] =
    "\r\nPOST /v1/keys?a=b HTTP/1.1\r\nHost: x\r\nX-Name:\tv \xC3\xA4 \r\n"
    "Empty:\r\n\r\n";

static enum http_scan_result scan_cut(const char *data, size_t length, size_t cut, size_t *head)
{
    struct http_scan scan = {0};
    enum http_scan_result first = http_scan_head(&scan, data, cut, head);
    return first == HTTP_SCAN_MORE ? http_scan_head(&scan, data, length, head) : first;
}

static void a_head_ends_at_the_empty_line_wherever_it_is_cut(void **state)
{
    (void)state;
    char data[256];
    int length = snprintf(data, sizeof data, "%sBODY", good_head);
    for (size_t cut = 0; cut < strlen(good_head); cut++) {
        struct http_scan scan = {0};
        size_t head = 0;
        assert_int_equal(http_scan_head(&scan, data, cut, &head), HTTP_SCAN_MORE);
        assert_int_equal(scan_cut(data, (size_t)length, cut, &head), HTTP_SCAN_DONE);
        assert_int_equal(head, strlen(good_head));
    }
}

static void counts_the_lines(void **state)
{
    (void)state;
    struct http_scan scan = {0};
    size_t head;
    assert_int_equal(http_scan_head(&scan, good_head, strlen(good_head), &head), HTTP_SCAN_DONE);
    assert_int_equal(scan.lines, 4);
}

static void bad_heads_are_bad_wherever_they_are_cut(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\n\r\n",
        "GET / HTTP/1.1\r\nA: b\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\rB: c\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n\tA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nA: \x7F\r\n\r\n",
        "GET / HTTP/1.1\r\nA\xC3\xA4: b\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /  HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "GET\t/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "GET /#a HTTP/1.1\r\n\r\n",
        "GET /\xC3\xA4 HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t length = strlen(bad[i]), head;
        for (size_t cut = 0; cut <= length; cut++)
            if (scan_cut(bad[i], length, cut, &head) != HTTP_SCAN_BAD)
                fail_msg("taken for good when cut at %zu: %s", cut, bad[i]);
    }
}

static void a_nul_byte_is_bad(void **state)
{
    (void)state;
    struct http_scan scan = {0};
    size_t head;
    static const char data[] = "GET / HTTP/1.1\r\nA: \0b\r\n\r\n";
    assert_int_equal(http_scan_head(&scan, data, sizeof data - 1, &head), HTTP_SCAN_BAD);
}

static enum http_scan_result chunks_cut(const char *data, size_t cut, size_t *used,
                                        struct http_chunk_scan *scan)
{
    size_t length = strlen(data);
    *scan = (struct http_chunk_scan){0};
    enum http_scan_result result = http_scan_chunked(scan, data, cut, used);
    if (result != HTTP_SCAN_MORE) return result;
    size_t first = *used;
    result = http_scan_chunked(scan, data + first, length - first, used);
    *used += first;
    return result;
}

static void a_chunked_body_ends_behind_its_trailers(void **state)
{
    (void)state;
    static const char body[] = "5;ext=\"a b\"\r\nhello\r\n0A\r\n0123456789\r\n0\r\nT: v\r\n\r\n";
    char data[128];
    snprintf(data, sizeof data, "%sGET", body);
    for (size_t cut = 0; cut <= strlen(data); cut++) {
        struct http_chunk_scan scan;
        size_t used;
        assert_int_equal(chunks_cut(data, cut, &used, &scan), HTTP_SCAN_DONE);
        assert_int_equal(used, strlen(body));
        assert_int_equal(scan.decoded, 15);
        assert_int_equal(scan.raw, strlen(body));
    }
}

static void bad_chunks_are_bad_wherever_they_are_cut(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\nhello",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n",
        "5\r\nhelloX\r\n",
        "0x5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "123456789\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5;a\nhello\r\n",
        "5;a\x01\r\nhello",
        "5\r\r\nhello\r\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA\r\n\r\n",
        "0\r\n\rX",
        "g\r\n",
        "5\r\nhello\r\r\n0\r",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t cut = 0; cut <= strlen(bad[i]); cut++) {
            struct http_chunk_scan scan;
            size_t used;
            if (chunks_cut(bad[i], cut, &used, &scan) != HTTP_SCAN_BAD)
                fail_msg("taken for good when cut at %zu: %s", cut, bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_ends_at_the_empty_line_wherever_it_is_cut),
        cmocka_unit_test(counts_the_lines),
        cmocka_unit_test(bad_heads_are_bad_wherever_they_are_cut),
        cmocka_unit_test(a_nul_byte_is_bad),
        cmocka_unit_test(a_chunked_body_ends_behind_its_trailers),
        cmocka_unit_test(bad_chunks_are_bad_wherever_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
