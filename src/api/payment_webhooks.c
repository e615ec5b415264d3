/* Webhooks of payment providers. Called by the routing on the loop thread, without a service token:
 * the signature over the raw bytes says who sends. What always holds: nothing is looked at before
 * its signature was found good, an answer of 200 stands behind the commit of the event's work, and
 * Stripe itself is never waited for. */
#include "api/payments.h"

#include "api/request.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "conf/settings.h"
#include "service/context.h"
#include "service/payment.h"
#include "service/reconciler.h"
#include "service/webhook.h"

static void secret_release(struct secret **secret)
{
    secret_free(secret);
}

static void webhook_answer(struct webhook *webhook, enum err error)
{
    struct http_request *request = webhook->operation.request;
    struct service *service = webhook->operation.service;
    struct problem problem = webhook->operation.problem;
    struct buf out = {0};
    if (error) {
        problem_finish_error(request, error, &problem);
        return;
    }
    if (webhook->found) reconciler_wake(service->reconciler);
    json_open(&out, NULL, '{');
    json_put_bool(&out, "received", true);
    json_put_bool(&out, "duplicate", webhook->duplicate);
    json_close(&out, '}');
    finish_json(request, 200, &out);
}

static struct verdict submit(struct http_request *request, struct webhook *webhook)
{
    webhook->operation.service = request_service(request);
    webhook->operation.request = request;
    webhook->done = webhook_answer;
    enum err error = webhook_take(webhook);
    return error ? problem_reply_error(request, error, NULL) : http_pending(request);
}

/* Whether the provider of that path is the one that is set, with its secrets read. */
static bool secrets_open(struct http_request *request, enum payment_provider provider,
                         struct secret **secrets, struct problem *problem)
{
    const struct settings *settings = request_service(request)->settings;
    const char *file = settings->payment.webhook_secret_file;
    enum err error = ERR_DENIED;
    if (settings->payment.provider != provider || !file[0])
        error = problem_set(problem, 404, "not_found",
                            "This webhook is off: payment.provider and "
                            "payment.webhook_secret_file turn it on.");
    else if (payment_secret(file, secrets) == ERR_OK &&
             !payment_webhook_wrong(request_service(request)->settings, secret_span(*secrets)))
        return true;
    else {
        log_event(LOG_ERROR, "webhook_secret",
                  "payment.webhook_secret_file cannot be used: keymeterd config check");
        error = problem_set(problem, 503, "unavailable", "The webhook cannot be checked just now.");
        problem->retry_after = PROBLEM_RETRY_AFTER_S;
    }
    (void)error;
    return false;
}

static struct verdict refuse(struct http_request *request, const char *code, const char *detail)
{
    struct problem problem = {0};
    enum err denied = problem_set(&problem, 400, code, "%s", detail);
    (void)denied;
    return problem_reply(request, &problem);
}

static struct verdict refuse_signature(struct http_request *request)
{
    return refuse(request, "signature_invalid",
                  "The signature is not one of the body by a known secret within 5 minutes.");
}

/* ---- Stripe ---- */

/* A charge is looked at only where a taken back one has an effect. */
static bool wants_charge(const struct settings *settings, const char *type)
{
    return (settings->payment.on_refund == SETTINGS_REFUND_LAPSES &&
            strcmp(type, "charge.refunded") == 0) ||
           (settings->payment.on_dispute == SETTINGS_REFUND_LAPSES &&
            strcmp(type, "charge.dispute.created") == 0); /* not when it ends, which may be late */
}

struct verdict handle_stripe_webhook(struct http_request *request)
{
    struct secret *secrets CLEANUP(secret_release) = NULL;
    struct problem problem = {0};
    struct stripe_event *event = ARENA_NEW(&request->arena, struct stripe_event);
    struct webhook *webhook = ARENA_NEW(&request->arena, struct webhook);
    if (!event || !webhook) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!secrets_open(request, PAYMENT_PROVIDER_STRIPE, &secrets, &problem))
        return problem_reply(request, &problem);
    if (http_header_count(request, "Stripe-Signature") != 1 ||
        webhook_check_stripe(secret_span(secrets), http_header(request, "Stripe-Signature"),
                             request->body, clock_wall_ms() / 1000) != ERR_OK)
        return refuse_signature(request);
    if (!stripe_event_read(request->body, event))
        return refuse(request, "malformed_event", "The body is no event of Stripe's.");
    webhook->provider = "stripe";
    webhook->event_id = event->id;
    webhook->subject = (struct payment_subject){
        .reference = span_text(event->subscription),
        .customer = span_text(event->customer),
        .external_id = span_text(event->client_reference),
    };
    if (strncmp(event->type, "checkout.session.", 17) == 0)
        webhook->subject.session = span_text(event->session);
    if (wants_charge(request_service(request)->settings, event->type))
        webhook->subject.charge = span_text(event->charge);
    return submit(request, webhook);
}

/* ---- the http provider ---- */

static struct span member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return span_of(json_string_value(value), json_string_length(value));
}

/* {"external_id"?, "reference"?}, at the top or in `data`; at least one. An external_id that none
 * can have is nobody's. */
static bool subject_read(struct http_request *request, struct payment_subject *out)
{
    char error[JSON_ERROR_SIZE];
    json_t *object = NULL;
    if (json_parse_strict(request->body, &object, error) != ERR_OK) return false;
    const json_t *data = json_object_get(object, "data");
    const json_t *at = json_is_object(data) ? data : object;
    struct span external_id = member(at, "external_id"), reference = member(at, "reference");
    out->external_id = span_of(arena_copy(&request->arena, external_id), external_id.length);
    out->reference = span_of(arena_copy(&request->arena, reference), reference.length);
    json_decref(object);
    bool named = out->external_id.length || out->reference.length;
    if (!webhook_is_graphic(out->external_id)) out->external_id = (struct span){0};
    return named;
}

struct verdict handle_payment_webhook(struct http_request *request)
{
    struct secret *secrets CLEANUP(secret_release) = NULL;
    struct problem problem = {0};
    struct webhook *webhook = ARENA_NEW(&request->arena, struct webhook);
    struct span id = http_header(request, "webhook-id");
    if (!webhook) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!secrets_open(request, PAYMENT_PROVIDER_HTTP, &secrets, &problem))
        return problem_reply(request, &problem);
    if (http_header_count(request, "webhook-id") != 1 ||
        http_header_count(request, "webhook-timestamp") != 1 ||
        http_header_count(request, "webhook-signature") != 1 ||
        webhook_check_standard(secret_span(secrets), id, http_header(request, "webhook-timestamp"),
                               http_header(request, "webhook-signature"), request->body,
                               clock_wall_ms() / 1000) != ERR_OK)
        return refuse_signature(request);
    if (!subject_read(request, &webhook->subject))
        return refuse(request, "malformed_event",
                      "The body must be a JSON object with external_id or reference, at its top or "
                      "in data.");
    webhook->provider = "http";
    webhook->event_id = arena_copy(&request->arena, id);
    if (!webhook->event_id) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    return submit(request, webhook);
}
