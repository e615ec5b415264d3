/* The judge before the parser: heads and chunked bodies. What must hold: the verdict and the length
 * do not depend on how the bytes came in.
 * Input: one byte that says how it is cut, then a head, then a chunked body. */
#include "fuzz.h"
#include "io/http_scan.h"

static size_t check_head(struct span text, struct cutter cutter)
{
    struct http_scan at_once = {0}, by_pieces = {0};
    size_t head = 0, head_by_pieces = 0, seen = 0;
    enum http_scan_result whole = http_scan_head(&at_once, text.data, text.length, &head), result;
    do {
        if (seen < text.length) seen += cutter_next(&cutter, text.length - seen);
        result = http_scan_head(&by_pieces, text.data, seen, &head_by_pieces);
    } while (result == HTTP_SCAN_MORE && seen < text.length);
    FUZZ_CHECK(result == whole);
    if (whole != HTTP_SCAN_DONE) return 0;
    FUZZ_CHECK(head == head_by_pieces && head > 0 && head <= text.length);
    FUZZ_CHECK(at_once.lines == by_pieces.lines && at_once.lines > 0);
    return head;
}

static void check_chunked(struct span text, struct cutter cutter)
{
    struct http_chunk_scan at_once = {0}, by_pieces = {0};
    size_t used = 0, used_by_pieces = 0;
    enum http_scan_result whole = http_scan_chunked(&at_once, text.data, text.length, &used);
    enum http_scan_result result = HTTP_SCAN_MORE;
    for (size_t at = 0; at < text.length && result == HTTP_SCAN_MORE;) {
        size_t piece = cutter_next(&cutter, text.length - at), taken = 0;
        result = http_scan_chunked(&by_pieces, text.data + at, piece, &taken);
        FUZZ_CHECK(taken <= piece && (result != HTTP_SCAN_MORE || taken == piece));
        used_by_pieces += taken;
        at += piece;
    }
    FUZZ_CHECK(result == whole);
    if (whole == HTTP_SCAN_BAD) return;
    FUZZ_CHECK(used == used_by_pieces && used <= text.length);
    FUZZ_CHECK(at_once.raw == by_pieces.raw && at_once.raw == used);
    FUZZ_CHECK(at_once.decoded == by_pieces.decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    struct span text = span_of(data + 1, size - 1);
    size_t head = check_head(text, cutter_of(data[0]));
    check_chunked(span_of(text.data + head, text.length - head), cutter_of(data[0]));
    return 0;
}
