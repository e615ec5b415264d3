/* Cursors and ids. What must hold: what is taken for an id has one form, the one we write.
 * Input: a cursor as the client sends it back; the same bytes are taken for ids. */
#include "api/request.h"
#include "base/codec.h"
#include "fuzz.h"

#include <string.h>

enum { CURSOR_MAX = 4096 };

static void check_id(struct span text, const char *prefix)
{
    uint64_t id = 0;
    char again[ID_TEXT_SIZE];
    if (!id_parse(text, prefix, &id)) return;
    FUZZ_CHECK(id <= INT64_MAX);
    id_format(again, prefix, id);
    FUZZ_CHECK(span_is(text, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char query[CURSOR_MAX + 8] = "cursor=";
    if (size > CURSOR_MAX) return 0;
    memcpy(query + 7, data, size);
    struct http_request request = {.query = span_of(query, size + 7)};
    struct problem problem = {0};
    struct page page;
    if (page_read(&request, NULL, &page, &problem)) FUZZ_CHECK(page.before <= INT64_MAX);
    check_id(span_of(data, size), "cur");
    check_id(span_of(data, size), "key");
    arena_done(&request.arena);
    return 0;
}
