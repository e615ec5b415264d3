/* Webhooks of payment providers. The checks are called by the webhooks' handlers on the loop;
 * taking an event is an operation. What always holds: signatures are computed over the bytes that
 * came, and compared in constant time; an event is taken once, in the transaction that makes its
 * customers due. */
#include "service/webhook.h"

#include "base/codec.h"
#include "base/secret.h"
#include "service/payment.h"
#include "store/payment_charge.h"

#include <sodium.h>
#include <stdio.h>

enum { MAC = crypto_auth_hmacsha256_BYTES, SIGNATURES_MAX = 16 };

/* The next part of *rest up to `separator`; false at the end. */
static bool part_next(struct span *rest, char separator, struct span *part)
{
    if (!rest->length) return false;
    const char *end = memchr(rest->data, separator, rest->length);
    size_t length = end ? (size_t)(end - rest->data) : rest->length;
    *part = span_of(rest->data, length);
    size_t past = end ? length + 1 : length;
    *rest = span_of(rest->data + past, rest->length - past);
    return true;
}

static bool is_fresh(struct span text, int64_t now_s)
{
    uint64_t at;
    if (!u64_parse(text, INT64_MAX, &at)) return false;
    int64_t away_s = now_s - (int64_t)at;
    return away_s <= WEBHOOK_TOLERANCE_S && away_s >= -WEBHOOK_TOLERANCE_S;
}

/* ---- Stripe ---- */

static void stripe_mac(struct span secret, struct span at, struct span body, unsigned char out[MAC])
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret.data, secret.length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)at.data, at.length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)".", 1);
    if (body.length)
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)body.data, body.length);
    crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

/* The time and the signatures of scheme v1; how many, 0 when the header is none. */
static size_t stripe_parse(struct span header, struct span *at, unsigned char out[][MAC])
{
    struct span part;
    size_t count = 0, decoded;
    *at = (struct span){0};
    while (part_next(&header, ',', &part)) {
        if (span_starts(part, "t=") && !at->data) *at = span_of(part.data + 2, part.length - 2);
        if (!span_starts(part, "v1=") || part.length != 3 + 2 * MAC || count == SIGNATURES_MAX)
            continue;
        if (sodium_hex2bin(out[count], MAC, part.data + 3, 2 * MAC, NULL, &decoded, NULL) == 0 &&
            decoded == MAC)
            count++;
    }
    return at->length ? count : 0;
}

enum err webhook_check_stripe(struct span secrets, struct span header, struct span body,
                              int64_t now_s)
{
    unsigned char given[SIGNATURES_MAX][MAC], wanted[MAC];
    struct span at, secret;
    bool good = false;
    size_t count = stripe_parse(header, &at, given);
    if (!count || !is_fresh(at, now_s)) return ERR_DENIED;
    while (payment_webhook_next(&secrets, &secret)) {
        stripe_mac(secret, at, body, wanted);
        for (size_t i = 0; i < count; i++)
            good |= sodium_memcmp(given[i], wanted, MAC) == 0;
    }
    sodium_memzero(wanted, sizeof wanted);
    return good ? ERR_OK : ERR_DENIED;
}

/* ---- Standard Webhooks ---- */

bool webhook_is_graphic(struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~') return false;
    return text.length != 0;
}

static bool is_among(struct span signatures, const char *wanted)
{
    struct span part;
    bool good = false;
    size_t length = strlen(wanted);
    while (part_next(&signatures, ' ', &part))
        good |= part.length == length && sodium_memcmp(part.data, wanted, length) == 0;
    return good;
}

enum err webhook_check_standard(struct span secrets, struct span id, struct span timestamp,
                                struct span signature, struct span body, int64_t now_s)
{
    char name[65], wanted[64];
    struct span secret;
    uint64_t at = 0;
    bool good = false;
    if (!webhook_is_graphic(id) || id.length >= sizeof name || !is_fresh(timestamp, now_s))
        return ERR_DENIED;
    if (!u64_parse(timestamp, INT64_MAX, &at)) return ERR_DENIED;
    snprintf(name, sizeof name, "%.*s", (int)id.length, id.data);
    while (payment_webhook_next(&secrets, &secret)) {
        if (payment_sign(secret, name, (int64_t)at, body, wanted) == ERR_OK)
            good |= is_among(signature, wanted);
    }
    return good ? ERR_OK : ERR_DENIED;
}

/* ---- taking ---- */

static enum err webhook_run(struct db *db, struct operation *operation)
{
    struct webhook *webhook = CONTAINER_OF(operation, struct webhook, operation);
    webhook->found = 0;
    enum err error =
        provider_event_insert(db, webhook->provider, webhook->event_id, operation->now_ms);
    webhook->duplicate = error == ERR_EXISTS;
    if (error) return webhook->duplicate ? ERR_OK : error;
    const struct payment_subject *subject = &webhook->subject;
    bool named =
        subject->reference.length || subject->customer.length || subject->external_id.length;
    if (named || !subject->charge.length)
        return payment_read_ask(db, webhook->provider, subject, operation->now_ms, &webhook->found);
    webhook->found = 1;
    return payment_charge_ask(db, webhook->provider, subject->charge, operation->now_ms);
}

static void webhook_taken(struct operation *operation, enum err error)
{
    struct webhook *webhook = CONTAINER_OF(operation, struct webhook, operation);
    webhook->done(webhook, error);
}

enum err webhook_take(struct webhook *webhook)
{
    webhook->operation.run = webhook_run;
    webhook->operation.done = webhook_taken;
    return operation_submit(&webhook->operation);
}
