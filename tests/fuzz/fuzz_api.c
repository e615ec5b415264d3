/* Each call of the API and the gateway, from the request to where the database is asked: targets,
 * queries, JSON bodies, headers. The database, the token cache and the meter are replaced at link
 * time (--wrap, tests/programs.cmake): the caller is an admin, jobs are refused, verifies get each
 * code in turn. What must hold: one whole answer, never 500, its body JSON or a page.
 * Input: "METHOD TARGET\n", then lines that begin with A to Z, which become header lines, then the
 * body. $K stands for a key and $T for a token, whose check digits no mutation would hit. */
#include "api/auth.h"
#include "api/gateway.h"
#include "api/problem.h"
#include "api/routes.h"
#include "api/web.h"
#include "conf/settings.h"
#include "core/api_key.h"
#include "service/client_address.h"
#include "service/context.h"
#include "service/meter_private.h"
#include "service/token_cache.h"
#include "wire.h"

#include <jansson.h>
#include <string.h>

enum { CALLS_MAX = 1024 };

static struct verify_call *calls[CALLS_MAX];
static size_t call_count;

/* ---- what is replaced ---- */

enum err __wrap_db_submit(struct db_pool *pool, struct db_job *job);
const struct token_entry *__wrap_token_cache_find(struct token_cache *cache,
                                                  const unsigned char hash[32]);
uint64_t __wrap_token_cache_generation(const struct token_cache *cache);
bool __wrap_token_cache_changed_since(const struct token_cache *cache, uint64_t since,
                                      uint64_t token_id);
void __wrap_key_hash(const struct keyring *keyring, struct span text, unsigned char out[32]);
const char *__wrap_keyring_pepper_id(const struct keyring *keyring);
void __wrap_meter_verify(struct meter *meter, struct verify_call *call);
unsigned __wrap_meter_room(const struct meter *meter);
bool __wrap_meter_identity(const struct meter *meter, unsigned *node, unsigned *incarnation);

enum err __wrap_db_submit(struct db_pool *pool, struct db_job *job)
{
    (void)pool;
    (void)job;
    return ERR_FULL;
}

const struct token_entry *__wrap_token_cache_find(struct token_cache *cache,
                                                  const unsigned char hash[32])
{
    (void)cache;
    (void)hash;
    static const struct token_entry admin = {.id = 1, .scopes = SCOPE_ADMIN};
    return &admin;
}

uint64_t __wrap_token_cache_generation(const struct token_cache *cache)
{
    (void)cache;
    return 0;
}

bool __wrap_token_cache_changed_since(const struct token_cache *cache, uint64_t since,
                                      uint64_t token_id)
{
    (void)cache;
    return since == 0 && token_id == 0;
}

void __wrap_key_hash(const struct keyring *keyring, struct span text, unsigned char out[32])
{
    (void)keyring;
    memset(out, (int)text.length, 32);
}

const char *__wrap_keyring_pepper_id(const struct keyring *keyring)
{
    (void)keyring;
    return "00000000";
}

void __wrap_meter_verify(struct meter *meter, struct verify_call *call)
{
    (void)meter;
    FUZZ_CHECK(call->cost <= 1000000);
    FUZZ_CHECK(call_count < CALLS_MAX);
    calls[call_count++] = call;
}

unsigned __wrap_meter_room(const struct meter *meter)
{
    (void)meter;
    return CALLS_MAX;
}

bool __wrap_meter_identity(const struct meter *meter, unsigned *node, unsigned *incarnation)
{
    (void)meter;
    *node = *incarnation = 0;
    return false;
}

static void finish_calls(void)
{
    static const struct verify_key key = {.key_id = 1,
                                          .customer_id = 2,
                                          .external_id = "acme",
                                          .tier = "free",
                                          .permissions = "a,b",
                                          .metadata_json = "{\"a\":1}",
                                          .live = true,
                                          .secret_expires_at = 1};
    while (call_count) {
        struct verify_call *call = calls[--call_count];
        call->code = (enum verify_code)(call->cost % VERIFY_CODES);
        if (call->code != VERIFY_NOT_FOUND) call->key = key;
        call->quota = (struct verify_quota){.known = true, .limited = call->cost & 1, .limit = 9};
        call->rate_count = 1;
        call->rate_limits[0] = (struct rate_limit){.name = "minute", .limit = 5, .window_s = 60};
        call->done(call);
    }
}

/* ---- the stand ---- */

static struct settings settings;
static struct meter idle_meter; /* never started: for what is only counted or looked up */
static struct service service = {.settings = &settings, .meter = &idle_meter};
static char token[API_KEY_TEXT_SIZE], key_text[API_KEY_TEXT_SIZE];
static unsigned api, gateway;
static unsigned header_lines; /* of the input at hand */

/* These two look into what is not there. */
static struct verdict handle(struct http_request *request)
{
    struct http_response response = {.status = 204};
    if (span_is(request->path, "/metrics") || span_is(request->path, "/readyz"))
        return http_reply(request, &response);
    return api_handle(request);
}

static void stand_begin(void)
{
    char error[SETTINGS_ERROR_SIZE], network_error[NETWORK_ERROR_SIZE];
    char web_error[TEMPLATE_ERROR_SIZE];
    FUZZ_CHECK(settings_load(&settings, "/dev/null", NULL, 0, error) == ERR_OK);
    FUZZ_CHECK(web_new(&service.web, &settings, web_error) == ERR_OK);
    FUZZ_CHECK(client_address_trust("10.0.0.0/8", network_error) == ERR_OK);
    FUZZ_CHECK(api_key_make(API_LABEL_TOKEN, token) > 0);
    FUZZ_CHECK(api_key_make(API_LABEL_LIVE, key_text) > 0);
    api = wire_listen((struct http_listen_config){.handler = handle,
                                                  .error_body = problem_error_body,
                                                  .body_limit = api_body_limit,
                                                  .context = &service});
    gateway = wire_listen((struct http_listen_config){
        .handler = gateway_handle, .error_body = problem_error_body, .context = &service});
    wire_after_turn(finish_calls);
}

static void expand(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.length; i++) {
        char next = i + 1 < text.length ? text.data[i + 1] : 0;
        if (text.data[i] != '$' || (next != 'K' && next != 'T')) {
            buf_add_char(out, text.data[i]);
            continue;
        }
        buf_add_text(out, next == 'K' ? key_text : token);
        i++;
    }
}

/* The next line, without its end, which `text` moves past. */
static struct span line_take(struct span *text)
{
    const char *end = memchr(text->data, '\n', text->length);
    size_t length = end ? (size_t)(end - text->data) : text->length;
    struct span line = span_of(text->data, length);
    length += end != NULL;
    *text = span_of(text->data + length, text->length - length);
    return line;
}

/* The input as a request. False: none of ours. */
static bool request_write(struct span input, struct buf *out, bool *to_gateway)
{
    static struct buf body;
    struct span line = line_take(&input);
    const char *space = memchr(line.data, ' ', line.length);
    if (!space || span_starts(line, "HEAD ")) return false;
    size_t method = (size_t)(space - line.data);
    *to_gateway = span_starts(span_of(space + 1, line.length - method - 1), "/v1/gateway");
    buf_clear(out);
    buf_clear(&body);
    buf_add_span(out, line);
    buf_add_text(out, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    if (!*to_gateway)
        buf_printf(out, "Authorization: Bearer %s\r\nContent-Type: application/json\r\n", token);
    for (header_lines = 0; input.length && input.data[0] >= 'A' && input.data[0] <= 'Z';
         header_lines++) {
        expand(line_take(&input), out);
        buf_add_text(out, "\r\n");
    }
    expand(input, &body);
    buf_printf(out, "Content-Length: %zu\r\n\r\n", body.length);
    buf_add_span(out, buf_span(&body));
    return true;
}

/* Pages and their files. */
static bool is_for_people(struct span head)
{
    return memmem(head.data, head.length, "Content-Type: text/", 19) ||
           memmem(head.data, head.length, "Content-Type: image/", 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf request, answers;
    static bool begun;
    bool to_gateway = false;
    if (!begun) stand_begin();
    begun = true;
    if (!request_write(span_of(data, size), &request, &to_gateway)) return 0;
    wire_talk(to_gateway ? gateway : api, buf_span(&request), cutter_of(0), &answers);
    struct span left = buf_span(&answers);
    struct wire_answer answer;
    /* Only header lines that announce a body which does not come remain without an answer. */
    if (!wire_answer_next(&left, &answer)) {
        FUZZ_CHECK(header_lines > 0);
        return 0;
    }
    FUZZ_CHECK(left.length == 0 && answer.body.length == answer.announced);
    FUZZ_CHECK(answer.status >= 200 && answer.status < 600 && answer.status != 500);
    if (!answer.body.length || is_for_people(answer.head)) return 0;
    json_t *json = json_loadb(answer.body.data, answer.body.length, JSON_REJECT_DUPLICATES, NULL);
    FUZZ_CHECK(json != NULL);
    json_decref(json);
    return 0;
}
