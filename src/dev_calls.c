/* Three calls in a row, each begun by the end of the one before: POST /v1/signups (only when there
 * is no key yet), the gateway with the key, GET /v1/keys/{id}/usage. Called by dev.c; everything
 * goes over HTTP as a client's would. */
#include "dev_calls.h"

#include "base/clock.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

enum { CALL_TIMEOUT_MS = 10000, SHOWN_AGAIN = 20 };

static enum err begin_signup(struct dev_calls *calls);
static enum err begin_shown(struct dev_calls *calls);
static enum err begin_usage(struct dev_calls *calls);
static void shown_done(struct curl_call *call, enum err error);

static void end(struct dev_calls *calls, enum err error)
{
    calls->done(calls, error);
}

/* Goes on with the next call, or ends when it cannot begin. */
static void go_on(struct dev_calls *calls, enum err (*begin)(struct dev_calls *calls))
{
    enum err error = begin(calls);
    if (!error) return;
    snprintf(calls->error, sizeof calls->error, "cannot ask %.200s: %s", calls->url,
             err_name(error));
    end(calls, error);
}

const char *dev_calls_socket(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

static void url_set(struct dev_calls *calls, const char *address, const char *path)
{
    calls->socket = dev_calls_socket(address);
    snprintf(calls->url, sizeof calls->url, "%s%s", calls->socket ? "http://localhost" : address,
             path);
}

static enum err submit(struct dev_calls *calls, const char *method, const char *credential,
                       const struct secret *secret, void (*done)(struct curl_call *, enum err))
{
    secret_free(&calls->line);
    calls->line = secret_new(strlen(credential) + secret->length + 1);
    if (!calls->line) return ERR_NO_MEMORY;
    snprintf(calls->line->text, calls->line->capacity, "%s%s", credential, secret->text);
    calls->headers[0] = calls->line->text;
    calls->headers[1] = "Content-Type: application/json";
    calls->headers[2] = NULL;
    buf_done(&calls->call.answer);
    calls->call = (struct curl_call){
        .url = calls->url,
        .unix_socket = calls->socket,
        .method = method,
        .headers = calls->headers,
        .body = buf_span(&calls->body),
        .timeout_ms = CALL_TIMEOUT_MS,
        .with_head = done == shown_done,
        .alone = true, /* a kept one would be waited for when the daemon stops */
        .done = done,
    };
    return curl_loop_submit(calls->curl, &calls->call);
}

static struct dev_calls *calls_of(struct curl_call *call)
{
    return CONTAINER_OF(call, struct dev_calls, call);
}

/* True when the exchange came to an answer; else the error is told and everything ends. */
static bool answered(struct dev_calls *calls, enum err error)
{
    if (!error) return true;
    snprintf(calls->error, sizeof calls->error, "no answer from %.200s: %s %.100s", calls->url,
             err_name(error), calls->call.error_text);
    end(calls, error);
    return false;
}

/* ---- sign-up ---- */

static bool copy_text(char *out, size_t size, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (!text || strlen(text) >= size) return false;
    snprintf(out, size, "%s", text);
    return true;
}

static enum err read_signup(struct dev_calls *calls)
{
    char wrong[JSON_ERROR_SIZE];
    json_t *answer = NULL;
    enum err error = json_parse_strict(buf_span(&calls->call.answer), &answer, wrong);
    if (error) return error;
    const char *key = json_string_value(json_object_get(answer, "secret"));
    bool good = key && copy_text(calls->customer_id, sizeof calls->customer_id,
                                 json_object_get(answer, "customer"), "id");
    good = good &&
           copy_text(calls->key_id, sizeof calls->key_id, json_object_get(answer, "key"), "id");
    if (good) calls->key = secret_copy(span_text(key));
    json_decref(answer);
    if (!good) return ERR_INVALID;
    return calls->key ? ERR_OK : ERR_NO_MEMORY;
}

static void signup_done(struct curl_call *call, enum err error)
{
    struct dev_calls *calls = calls_of(call);
    if (!answered(calls, error)) return;
    if (call->status == 409 && !calls->again) {
        /* A former start ended between the sign-up and the writing of its answer: that key is
         * known to nobody, so a new customer is made. */
        calls->again = true;
        snprintf(calls->name, sizeof calls->name, "dev-%lld", (long long)clock_wall_ms());
        go_on(calls, begin_signup);
        return;
    }
    if (call->status != 201 || read_signup(calls)) {
        snprintf(calls->error, sizeof calls->error, "the sign-up was answered %ld: %.*s",
                 call->status, (int)(call->answer.length < 300 ? call->answer.length : 300),
                 call->answer.length ? call->answer.data : "");
        end(calls, ERR_INVALID);
        return;
    }
    calls->made = true;
    buf_add_span(&calls->signup, buf_span(&call->answer));
    go_on(calls, begin_shown);
}

static enum err begin_signup(struct dev_calls *calls)
{
    buf_clear(&calls->body);
    json_open(&calls->body, NULL, '{');
    json_put_string(&calls->body, "external_id", calls->name);
    json_put_string(&calls->body, "email", "dev@example.com");
    json_put_string(&calls->body, "tier", "free");
    json_open(&calls->body, "key", '{');
    json_put_string(&calls->body, "title", "Development");
    json_close(&calls->body, '}');
    json_close(&calls->body, '}');
    if (calls->body.failed) return ERR_NO_MEMORY;
    url_set(calls, calls->api, "/v1/signups");
    return submit(calls, "POST", "Authorization: Bearer ", calls->token, signup_done);
}

/* ---- the call that is shown ---- */

static void shown_done(struct curl_call *call, enum err error)
{
    struct dev_calls *calls = calls_of(call);
    if (!answered(calls, error)) return;
    /* The daemon and its database have only just begun: as any client of the gateway does, it asks
     * again. Each such answer took metering.max_wait. */
    if (call->status == 503 && calls->unanswered++ < SHOWN_AGAIN) {
        go_on(calls, begin_shown);
        return;
    }
    calls->status = call->status;
    buf_add_span(&calls->shown, buf_span(&call->answer));
    go_on(calls, begin_usage);
}

static enum err begin_shown(struct dev_calls *calls)
{
    buf_clear(&calls->body);
    if (calls->gateway[0] == '\0') {
        calls->status = 200;
        return begin_usage(calls);
    }
    url_set(calls, calls->gateway, "/v1/gateway");
    return submit(calls, "GET", "X-API-Key: ", calls->key, shown_done);
}

/* ---- usage ---- */

static void usage_done(struct curl_call *call, enum err error)
{
    struct dev_calls *calls = calls_of(call);
    if (!answered(calls, error)) return;
    if (call->status == 200) buf_add_span(&calls->usage, buf_span(&call->answer));
    end(calls, ERR_OK);
}

static enum err begin_usage(struct dev_calls *calls)
{
    char path[64];
    snprintf(path, sizeof path, "/v1/keys/%.23s/usage?granularity=month", calls->key_id);
    url_set(calls, calls->api, path);
    return submit(calls, "GET", "Authorization: Bearer ", calls->token, usage_done);
}

enum err dev_calls_start(struct dev_calls *calls)
{
    snprintf(calls->name, sizeof calls->name, "dev");
    return calls->key ? begin_shown(calls) : begin_signup(calls);
}

void dev_calls_done(struct dev_calls *calls)
{
    secret_free(&calls->key);
    secret_free(&calls->line);
    buf_done(&calls->body);
    buf_done(&calls->signup);
    buf_done(&calls->shown);
    buf_done(&calls->usage);
    buf_done(&calls->call.answer);
}
