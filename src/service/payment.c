/* Asks the operator's billing system whether a customer has paid (contract, "Billing over HTTP").
 * Called by sign-ups and tier changes between their reserve and their commit, on the loop thread.
 * What always holds: only a well-formed answer of 200 that says active or trialing, and no other
 * tier, confirms; whatever cannot be understood is "cannot be asked", never "paid"; the signing
 * secret is read for each ask and wiped after it. */
#include "service/payment.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret_file.h"
#include "conf/settings.h"
#include "service/context.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { API_KEY_MAX = 512, ANSWER_MAX = 65536, RETRY_AFTER_S = 5 };
#define SECRET_PREFIX "whsec_"

static void secret_release(struct secret **secret)
{
    secret_free(secret);
}

/* ---- signing (standardwebhooks.com, symmetric) ---- */

static enum err key_decode(struct span text, struct secret **out)
{
    struct secret *key = secret_new(text.length + 1);
    if (!key) return ERR_NO_MEMORY;
    size_t prefix = sizeof SECRET_PREFIX - 1;
    bool good = true;
    if (span_starts(text, SECRET_PREFIX)) {
        good = sodium_base642bin((unsigned char *)key->text, key->capacity, text.data + prefix,
                                 text.length - prefix, NULL, &key->length, NULL,
                                 sodium_base64_VARIANT_ORIGINAL) == 0 ||
               sodium_base642bin((unsigned char *)key->text, key->capacity, text.data + prefix,
                                 text.length - prefix, NULL, &key->length, NULL,
                                 sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0;
    } else {
        memcpy(key->text, text.data, text.length);
        key->length = text.length;
    }
    if (good && key->length) {
        *out = key;
        return ERR_OK;
    }
    secret_free(&key);
    return ERR_INVALID;
}

enum err payment_sign(struct span secret, const char *id, int64_t timestamp_s, struct span body,
                      char out[64])
{
    if (!secret.length) return ERR_INVALID;
    struct secret *key CLEANUP(secret_release) = NULL;
    enum err error = key_decode(secret, &key);
    if (error != ERR_OK) return error;
    char head[96];
    int length = snprintf(head, sizeof head, "%s.%lld.", id, (long long)timestamp_s);
    if (length < 0 || (size_t)length >= sizeof head) return ERR_INVALID;
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)key->text, key->length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)head, (size_t)length);
    if (body.length)
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)body.data, body.length);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof state);
    memcpy(out, "v1,", 3);
    sodium_bin2base64(out + 3, 61, mac, sizeof mac, sodium_base64_VARIANT_ORIGINAL);
    return ERR_OK;
}

enum err payment_secret(const char *path, struct secret **out)
{
    char wrong[SECRET_FILE_ERROR_SIZE];
    struct secret *text = NULL;
    if (secret_file_read(&text, path, wrong) != ERR_OK) {
        log_event(LOG_WARN, "payment_secret", "%s", wrong);
        return ERR_IO;
    }
    while (text->length && memchr("\r\n", text->text[text->length - 1], 2))
        text->text[--text->length] = '\0';
    if (text->length) {
        *out = text;
        return ERR_OK;
    }
    log_event(LOG_WARN, "payment_secret", "%.300s is empty", path);
    secret_free(&text);
    return ERR_IO;
}

static bool is_word(struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~') return false;
    return text.length != 0;
}

static bool signs(struct span secret)
{
    struct secret *key CLEANUP(secret_release) = NULL;
    return key_decode(secret, &key) == ERR_OK;
}

const char *payment_key_wrong(const struct settings *settings, struct span text)
{
    if (settings->payment.provider == PAYMENT_PROVIDER_STRIPE)
        return is_word(text) && text.length <= API_KEY_MAX
                   ? NULL
                   : "is no API key; it is one line, such as sk_live_… or rk_live_…";
    return signs(text) ? NULL : "is no secret; it is whsec_ and base64, or the secret's own bytes";
}

bool payment_webhook_next(struct span *rest, struct span *secret)
{
    while (rest->length) {
        const char *end = memchr(rest->data, '\n', rest->length);
        size_t length = end ? (size_t)(end - rest->data) : rest->length;
        size_t past = end ? length + 1 : length;
        *secret = span_of(rest->data, length);
        *rest = span_of(rest->data + past, rest->length - past);
        while (secret->length && memchr("\r ", secret->data[secret->length - 1], 2))
            secret->length--;
        if (secret->length && secret->data[0] != '#') return true;
    }
    return false;
}

const char *payment_webhook_wrong(const struct settings *settings, struct span text)
{
    bool stripe = settings->payment.provider == PAYMENT_PROVIDER_STRIPE;
    struct span secret;
    size_t count = 0;
    while (payment_webhook_next(&text, &secret)) {
        bool good = stripe ? span_starts(secret, SECRET_PREFIX) && is_word(secret) &&
                                 secret.length > sizeof SECRET_PREFIX - 1
                           : signs(secret);
        if (!good) return "has a line that is no secret; one begins with whsec_";
        count++;
    }
    return count ? NULL : "has no secret in it; put one a line, whsec_…";
}

bool payment_is_answer(long status)
{
    return status == 200 || (status >= 400 && status < 500 && status != 401 && status != 403 &&
                             status != 408 && status != 429);
}

/* ---- asking ---- */

void payment_refuse(struct payment_ask *ask, const char *why)
{
    enum err denied = problem_set(&ask->problem, 402, "payment_required", "%s", why);
    (void)denied;
}

void payment_unknown(struct payment_ask *ask)
{
    enum err denied = problem_set(&ask->problem, 503, "payment_unavailable",
                                  "The billing system could not be asked; nothing was changed, "
                                  "try again.");
    (void)denied;
    ask->problem.retry_after = RETRY_AFTER_S;
}

enum err payment_fail(struct payment_ask *ask, const char *why)
{
    log_event(LOG_WARN, "payment_not_asked", "%s", why);
    payment_unknown(ask);
    return ERR_DENIED;
}

static void body_write(struct payment_ask *ask)
{
    struct buf *out = &ask->body;
    json_open(out, NULL, '{');
    json_open(out, "customer", '{');
    json_put_string(out, "external_id", ask->external_id);
    json_put_string(out, "email", ask->email);
    json_close(out, '}');
    json_put_string(out, "tier", ask->tier);
    json_put_string(out, "reference", ask->reference);
    json_close(out, '}');
}

/* The four header lines; false: the secret file is of no use. */
static bool headers_write(struct payment_ask *ask, const char *secret_file)
{
    struct secret *secret CLEANUP(secret_release) = NULL;
    char id[ID_TEXT_SIZE], signature[64];
    int64_t now_s = clock_wall_ms() / 1000;
    id_format(id, "msg", id_new());
    if (payment_secret(secret_file, &secret) != ERR_OK) return false;
    if (payment_sign(secret_span(secret), id, now_s, buf_span(&ask->body), signature) != ERR_OK)
        return false;
    size_t size = sizeof ask->header_lines[0];
    snprintf(ask->header_lines[0], size, "Content-Type: application/json");
    snprintf(ask->header_lines[1], size, "webhook-id: %s", id);
    snprintf(ask->header_lines[2], size, "webhook-timestamp: %lld", (long long)now_s);
    snprintf(ask->header_lines[3], size, "webhook-signature: %s", signature);
    for (size_t i = 0; i < COUNT_OF(ask->header_lines); i++)
        ask->headers[i] = ask->header_lines[i];
    ask->headers[COUNT_OF(ask->header_lines)] = NULL;
    return true;
}

static void call_done(struct curl_call *call, enum err error)
{
    struct payment_ask *ask = CONTAINER_OF(call, struct payment_ask, call);
    enum payment_result result = PAYMENT_UNKNOWN;
    if (error == ERR_OK) result = payment_read_answer(ask, call->status, buf_span(&call->answer));
    ask->heard = error == ERR_OK && payment_is_answer(call->status);
    if (result == PAYMENT_UNKNOWN) {
        log_event(LOG_WARN, "payment_not_asked", "%s, status %ld: %s", err_name(error),
                  call->status,
                  error == ERR_OK ? "not an answer of the contract" : call->error_text);
        payment_unknown(ask);
    }
    buf_done(&call->answer);
    buf_done(&ask->body);
    ask->done(ask, result);
}

const char *payment_provider_name(const struct service *service)
{
    static const char *const names[] = {
        [PAYMENT_PROVIDER_NONE] = "none",
        [PAYMENT_PROVIDER_HTTP] = "http",
        [PAYMENT_PROVIDER_STRIPE] = "stripe",
    };
    return names[service->settings->payment.provider];
}

enum err payment_check(struct service *service, struct payment_ask *ask)
{
    const struct settings *settings = service->settings;
    ask->service = service;
    ask->problem = (struct problem){0};
    ask->heard = false;
    if (settings->payment.provider == PAYMENT_PROVIDER_NONE) {
        payment_refuse(ask, "This tier requires payment, and no payment provider is set up: it "
                            "needs an approval by an admin.");
        return ERR_DENIED;
    }
    ask->provider = payment_provider_name(service);
    if (settings->payment.provider == PAYMENT_PROVIDER_STRIPE) return stripe_check(service, ask);
    body_write(ask);
    if (ask->body.failed || !headers_write(ask, settings->payment.secret_file)) {
        buf_done(&ask->body);
        return payment_fail(ask, "payment.secret_file cannot be read, is empty or is not base64");
    }
    ask->call = (struct curl_call){
        .url = settings->payment.url,
        .method = "POST",
        .headers = ask->headers,
        .body = buf_span(&ask->body),
        .ca_file = settings->payment.ca_file[0] ? settings->payment.ca_file : NULL,
        .timeout_ms = settings->payment.timeout_ms,
        .answer_limit = ANSWER_MAX,
        .done = call_done,
    };
    enum err error = curl_loop_submit(service->curl, &ask->call);
    if (error == ERR_OK) return ERR_OK;
    buf_done(&ask->body);
    return payment_fail(ask, error == ERR_INVALID
                                 ? "payment.url must be https, or http to a loopback address"
                                 : err_name(error));
}

/* ---- the answer ---- */

/* False when the member is there and is no time. */
static bool time_member(const json_t *object, const char *name, int64_t *wall_ms)
{
    const json_t *value = json_object_get(object, name);
    if (!value || json_is_null(value)) return true;
    return json_is_string(value) &&
           time_parse(span_of(json_string_value(value), json_string_length(value)), wall_ms);
}

static bool answer_take(struct pay_reading *reading, const json_t *object)
{
    const char *status = json_string_value(json_object_get(object, "status"));
    const json_t *tier = json_object_get(object, "tier");
    int64_t start = 0, end = 0;
    if (!status || !time_member(object, "period_start", &start) ||
        !time_member(object, "period_end", &end) || (start && end && end < start))
        return false;
    if (tier && !json_is_null(tier) && !json_is_string(tier)) return false;
    if (!pay_status_parse(span_text(status), &reading->status)) return false;
    const char *slug = json_is_string(tier) ? json_string_value(tier) : "";
    if (slug[0] && !tier_slug_valid(span_text(slug))) return false;
    snprintf(reading->tier, sizeof reading->tier, "%s", slug);
    reading->period_start = start;
    reading->period_end = end;
    return reading->status == PAY_NONE || reading->status == PAY_PAST_DUE ||
           pay_status_pays(reading->status);
}

static enum payment_result answer_judge(struct payment_ask *ask, const json_t *object)
{
    struct pay_reading *reading = &ask->reading;
    *reading = (struct pay_reading){0};
    if (!answer_take(reading, object)) return PAYMENT_UNKNOWN;
    if (ask->reference)
        snprintf(reading->reference, sizeof reading->reference, "%s", ask->reference);
    if (ask->again) return PAYMENT_CONFIRMED;
    if (!pay_status_pays(reading->status)) {
        payment_refuse(ask, "The billing system has no current payment for this customer.");
        return PAYMENT_REFUSED;
    }
    if (reading->tier[0] && strcmp(reading->tier, ask->tier) != 0) {
        payment_refuse(ask, "The billing system says that another tier was paid for.");
        return PAYMENT_REFUSED;
    }
    return PAYMENT_CONFIRMED;
}

enum payment_result payment_read_answer(struct payment_ask *ask, long status, struct span answer)
{
    char error[JSON_ERROR_SIZE];
    json_t *object = NULL;
    if (status != 200) return PAYMENT_UNKNOWN;
    if (json_parse_strict(answer, &object, error) != ERR_OK) return PAYMENT_UNKNOWN;
    enum payment_result result =
        json_is_object(object) ? answer_judge(ask, object) : PAYMENT_UNKNOWN;
    json_decref(object);
    return result;
}
