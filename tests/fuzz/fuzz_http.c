/* HTTP from its bytes: scan, llhttp and the connection's states, pipelining and answers that come
 * late. What must hold: however the bytes are cut into pieces, the server takes the same requests
 * and gives the same answers, and the connection comes to its end.
 * Input: one byte that says how it is cut, then what the client sends. */
#include "wire.h"

#include <string.h>

enum { HELD_MAX = 16, HEAD_MAX = 1024, HEADERS_MAX = 16, BODY_MAX = 256, PIPELINED_MAX = 4 };

static struct http_request *held[HELD_MAX];
static size_t held_count;

/* Last come, first answered: the connection puts them in order again. */
static void release_held(void)
{
    while (held_count) {
        struct http_request *request = held[--held_count];
        struct http_response response = {.status = 202};
        http_finish(request, &response);
    }
}

static enum err query_part(struct span name, struct span value, void *context)
{
    buf_printf(context, "[%zu=%zu]", name.length, value.length);
    return ERR_OK;
}

/* Tells all that the server understood, so that two readings can be compared. */
static struct verdict describe(struct http_request *request)
{
    struct buf out CLEANUP(buf_done) = {0};
    struct span host = http_header(request, "host");
    buf_printf(&out, "%d %zu %zu ", (int)request->method, request->header_count, host.length);
    buf_add_json_string(&out, request->path);
    buf_add_json_string(&out, request->query);
    for (size_t i = 0; i < request->header_count; i++) {
        buf_add_json_string(&out, request->headers[i].name);
        buf_add_json_string(&out, request->headers[i].value);
    }
    buf_add_json_string(&out, request->body);
    if (http_query_each(request, query_part, &out) != ERR_OK) buf_add_text(&out, "?");
    struct http_response response = {.status = 200, .body = buf_span(&out)};
    if (request->method == HTTP_M_HEAD) response.body.length = 0;
    response.close = span_is(request->path, "/close");
    return http_reply(request, &response);
}

static struct verdict handle(struct http_request *request)
{
    if (span_is(request->path, "/nothing")) return (struct verdict){0};
    if (!span_starts(request->path, "/held")) return describe(request);
    FUZZ_CHECK(held_count < HELD_MAX);
    held[held_count++] = request;
    return http_pending(request);
}

static void error_body(int status, const char *request_id, struct buf *out)
{
    buf_printf(out, "%d %zu", status, strlen(request_id));
}

static size_t body_limit(const struct http_request *request)
{
    return span_is(request->path, "/more") ? 4 * BODY_MAX : BODY_MAX;
}

/* The answers without what differs from time to time. Which refusal it is may depend on the cut
 * (too long and malformed at once); that it is one may not. */
static void normalise(struct span answers, struct buf *out)
{
    struct wire_answer answer;
    buf_clear(out);
    while (wire_answer_next(&answers, &answer)) {
        if (answer.status >= 400) {
            buf_add_text(out, "refused");
            FUZZ_CHECK(answers.length == 0);
            return;
        }
        FUZZ_CHECK(answer.status == 200 || answer.status == 202);
        bool closes = memmem(answer.head.data, answer.head.length, "Connection: close", 17);
        buf_printf(out, "%d %d ", answer.status, closes);
        buf_add_span(out, answer.body);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf answers, whole, cut;
    static bool listens;
    if (!listens) {
        whole.limit = cut.limit = 32 << 20;
        struct http_limits limits = {.head_bytes = HEAD_MAX,
                                     .headers = HEADERS_MAX,
                                     .body_bytes = BODY_MAX,
                                     .pipelined = PIPELINED_MAX};
        wire_listen((struct http_listen_config){.handler = handle,
                                                .limits = limits,
                                                .error_body = error_body,
                                                .body_limit = body_limit});
        wire_after_turn(release_held);
        listens = true;
    }
    if (size < 2) return 0;
    struct span bytes = span_of(data + 1, size - 1);
    wire_talk(0, bytes, cutter_of(0), &answers);
    normalise(buf_span(&answers), &whole);
    if (data[0] % 8 == 0) return 0;
    wire_talk(0, bytes, cutter_of(data[0]), &answers);
    normalise(buf_span(&answers), &cut);
    FUZZ_CHECK(span_equal(buf_span(&whole), buf_span(&cut)));
    return 0;
}
