/* libcurl's easy interface, one handle a process, so that a connection serves many calls. The token
 * goes only over https, to loopback or through a Unix socket, and never into argv. */
#include "cli/client.h"

#include "base/json.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADDRESS_DEFAULT "http://127.0.0.1:7070"

enum { PAUSE_S = 1 };
enum { CALL_TIMEOUT_S = 30, CONNECT_TIMEOUT_S = 5, ANSWER_MAX = 4 << 20, SECRET_LINE_SIZE = 512 };

static CURL *kept; /* with its connections; what it was told of a call is reset behind it */

struct exchange {
    CURL *easy;
    struct curl_slist *headers;
    struct buf url, body;
    const char *address;
    bool repeatable; /* it has an Idempotency-Key */
};

static enum exit_code fail(const char *what, const char *more)
{
    fprintf(stderr, "keymeter: %s%s\n", what, more);
    return EXIT_CODE_LOCAL;
}

void client_add_escaped(struct buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++) {
        if (strchr(plain, *text))
            buf_add_char(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
    struct buf *out = context;
    buf_add(out, data, size * count);
    return out->failed ? 0 : size * count;
}

static bool goes_to_loopback(const char *address)
{
    static const char *const starts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    if (strchr(address, '@')) return false; /* http://127.0.0.1:80@example.com */
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        size_t length = strlen(starts[i]);
        if (strncmp(address, starts[i], length) == 0 && strchr(":/", address[length])) return true;
    }
    return false;
}

static enum exit_code set_address(struct exchange *exchange, const char *path)
{
    const char *address = exchange->address;
    if (strncmp(address, "unix:", 5) == 0) {
        curl_easy_setopt(exchange->easy, CURLOPT_UNIX_SOCKET_PATH, address + 5);
        buf_add_text(&exchange->url, "http://localhost");
    } else if (strncmp(address, "https://", 8) == 0 || goes_to_loopback(address)) {
        size_t length = strlen(address);
        while (length > 0 && address[length - 1] == '/')
            length--;
        buf_add(&exchange->url, address, length);
    } else {
        return fail("KEYMETER_ADDR must be https://…, http:// to this machine, or unix:/path, not ",
                    address);
    }
    buf_add_text(&exchange->url, path);
    buf_add_char(&exchange->url, '\0');
    if (exchange->url.failed) return fail("the request is too long", "");
    curl_easy_setopt(exchange->easy, CURLOPT_URL, exchange->url.data);
    curl_easy_setopt(exchange->easy, CURLOPT_PATH_AS_IS, 1L); /* ".." may be somebody's id */
    return EXIT_CODE_OK;
}

static enum exit_code add_header(struct exchange *exchange, const char *name, const char *value)
{
    char line[SECRET_LINE_SIZE];
    if (strpbrk(value, "\r\n")) return fail(name, "holds a line end, where none may be");
    int length = snprintf(line, sizeof line, "%s%s", name, value);
    if (length < 0 || (size_t)length >= sizeof line) return fail(name, "is too long");
    struct curl_slist *longer = curl_slist_append(exchange->headers, line);
    explicit_bzero(line, sizeof line);
    if (!longer) return fail("no memory", "");
    exchange->headers = longer;
    return EXIT_CODE_OK;
}

static enum exit_code set_headers(struct exchange *exchange, const char *idempotency_key)
{
    const char *token = getenv("KEYMETER_TOKEN");
    if (!token || !*token) {
        fail("KEYMETER_TOKEN is not set; `keymeterd token create` makes one", "");
        return EXIT_CODE_UNAUTHORISED;
    }
    enum exit_code code = add_header(exchange, "Authorization: Bearer ", token);
    if (!code) code = add_header(exchange, "Content-Type: ", "application/json");
    if (!code && idempotency_key) code = add_header(exchange, "Idempotency-Key: ", idempotency_key);
    curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->headers);
    return code;
}

static int add_json(const char *data, size_t size, void *context)
{
    struct buf *out = context;
    buf_add(out, data, size);
    return out->failed ? -1 : 0;
}

static enum exit_code set_body(struct exchange *exchange, const json_t *body)
{
    if (!body) return EXIT_CODE_OK;
    if (json_dump_callback(body, add_json, &exchange->body, JSON_COMPACT))
        return fail("the request is too long", "");
    curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDSIZE, (long)exchange->body.length);
    curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDS, exchange->body.data);
    return EXIT_CODE_OK;
}

/* What a problem+json answer says, with each field that is wrong. */
static enum exit_code tell_problem(const struct client_answer *answer)
{
    const char *code = json_string_value(json_object_get(answer->json, "code"));
    const char *detail = json_string_value(json_object_get(answer->json, "detail"));
    fprintf(stderr, "keymeter: %ld %s: %s\n", answer->status, code ? code : "no problem document",
            detail ? detail : "");
    size_t at;
    json_t *error;
    json_array_foreach(json_object_get(answer->json, "errors"), at, error)
    {
        const char *location = json_string_value(json_object_get(error, "location"));
        const char *message = json_string_value(json_object_get(error, "message"));
        fprintf(stderr, "  %s: %s\n", location ? location : "?", message ? message : "?");
    }
    /* "key_limit_reached", "key_suspended": the token is right, and the key's state is not. */
    bool of_key = code && strncmp(code, "key_", 4) == 0;
    return answer->status == 401 || (answer->status == 403 && !of_key) ? EXIT_CODE_UNAUTHORISED
                                                                       : EXIT_CODE_REFUSED;
}

/* The connection broke when the request was on its way: nobody knows whether it was done. */
static bool is_loss(CURLcode result)
{
    return result == CURLE_GOT_NOTHING || result == CURLE_SEND_ERROR ||
           result == CURLE_RECV_ERROR || result == CURLE_PARTIAL_FILE ||
           result == CURLE_OPERATION_TIMEDOUT;
}

static CURLcode perform_or_repeat(struct exchange *exchange, struct client_answer *answer)
{
    CURLcode result = curl_easy_perform(exchange->easy);
    if (!exchange->repeatable || !is_loss(result)) return result;
    answer->lost = true;
    sleep(PAUSE_S);
    buf_clear(&answer->text);
    result = curl_easy_perform(exchange->easy);
    if (result == CURLE_OK) answer->lost = false;
    return result;
}

static enum exit_code perform(struct exchange *exchange, struct client_answer *answer)
{
    char curl_error[CURL_ERROR_SIZE] = "";
    CURL *easy = exchange->easy;
    answer->text.limit = ANSWER_MAX;
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, curl_error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer->text);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, answer->waits ? 0L : (long)CALL_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    CURLcode result = perform_or_repeat(exchange, answer);
    if (result != CURLE_OK) {
        fprintf(stderr, "keymeter: no answer from %s: %s\n", exchange->address,
                curl_error[0] ? curl_error : curl_easy_strerror(result));
        return EXIT_CODE_LOCAL;
    }
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer->status);
    char wrong[JSON_ERROR_SIZE];
    bool is_json = answer->text.length > 0 &&
                   json_parse_strict(buf_span(&answer->text), &answer->json, wrong) == ERR_OK;
    if (answer->raw) return EXIT_CODE_OK;
    if (answer->status < 200 || answer->status > 299) return tell_problem(answer);
    if (answer->text.length > 0 && !is_json) {
        fprintf(stderr, "keymeter: %s answered with something that is not JSON\n",
                exchange->address);
        return EXIT_CODE_REFUSED;
    }
    return EXIT_CODE_OK;
}

enum exit_code client_call(const char *method, const char *path, const json_t *body,
                           const char *idempotency_key, struct client_answer *answer)
{
    const char *address = getenv("KEYMETER_ADDR");
    *answer = (struct client_answer){.waits = answer->waits, .raw = answer->raw};
    if (!kept) kept = curl_easy_init();
    struct exchange exchange = {.easy = kept,
                                .address = address && *address ? address : ADDRESS_DEFAULT,
                                .repeatable = idempotency_key != NULL};
    if (!exchange.easy) return fail("libcurl does not start", "");
    curl_easy_setopt(exchange.easy, CURLOPT_CUSTOMREQUEST, method);
    enum exit_code code = set_address(&exchange, path);
    if (!code) code = set_headers(&exchange, idempotency_key);
    if (!code) code = set_body(&exchange, body);
    if (!code) code = perform(&exchange, answer);
    curl_easy_reset(exchange.easy);
    curl_slist_free_all(exchange.headers);
    if (exchange.body.data) explicit_bzero(exchange.body.data, exchange.body.length);
    buf_done(&exchange.body);
    buf_done(&exchange.url);
    return code;
}

void client_answer_free(struct client_answer *answer)
{
    json_decref(answer->json);
    answer->json = NULL;
    if (answer->text.data) explicit_bzero(answer->text.data, answer->text.length);
    buf_done(&answer->text);
}

void client_done(void)
{
    curl_easy_cleanup(kept);
    kept = NULL;
}
