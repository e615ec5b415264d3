/* Queries, path arguments and references to customers. What must hold: a value that is handed out
 * has no NUL, and a page is within its bounds.
 * Input: a query; the same bytes are taken for a path argument. */
#include "api/request.h"
#include "fuzz.h"

#include <string.h>

static enum err look(struct span name, struct span value, void *context)
{
    (void)context;
    FUZZ_CHECK(!memchr(name.data, 0, name.length) && !memchr(value.data, 0, value.length));
    return ERR_OK;
}

static void check_page(struct http_request *request)
{
    static const char *const names[] = {"customer_id", "status", "tier", "q", NULL};
    struct problem problem = {0};
    struct page page;
    if (!page_read(request, names, &page, &problem)) {
        FUZZ_CHECK(problem.field_count > 0);
        return;
    }
    FUZZ_CHECK(page.limit >= 1 && page.limit <= PAGE_LIMIT_MAX);
    for (size_t i = 0; names[i]; i++) {
        struct span text = query_text(request, names[i]);
        if (text.data) look(text, text, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const none[] = {NULL};
    struct span text = span_of(data, size);
    struct http_request request = {.query = text, .path_arguments = {text}};
    struct problem problem = {0};
    struct customer_ref ref;
    uint64_t id;
    enum err error = http_query_each(&request, look, NULL);
    FUZZ_CHECK(error == ERR_OK || error == ERR_INVALID || error == ERR_NO_MEMORY);
    check_page(&request);
    if (query_only(&request, none, &problem)) FUZZ_CHECK(error == ERR_OK);
    struct span argument = path_text(&request, 0);
    FUZZ_CHECK(argument.length <= size && !memchr(argument.data, 0, argument.length));
    if (path_id(&request, 0, "key", &id)) FUZZ_CHECK(id <= INT64_MAX);
    if (customer_ref_parse(argument, &ref)) FUZZ_CHECK(ref.id || ref.external_id.length <= 200);
    arena_done(&request.arena);
    return 0;
}
