/* Delivering new secrets by mail. Preparing is on a reader's thread, the rest on the committer's,
 * called by the use cases that make secrets. What always holds: a secret made here is in guarded
 * memory and in a ciphertext, and nowhere else; what goes wrong while it is encrypted makes it a
 * claim link. */
#include "service/delivery.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/log.h"
#include "core/api_key.h"
#include "service/claim.h"
#include "service/context.h"
#include "service/key_change.h"
#include "service/mail_maker.h"
#include "service/notice.h"
#include "service/operation.h"
#include "service/secret_mail.h"
#include "store/api_key.h"
#include "store/claim.h"
#include "store/customer.h"
#include "store/customer_keys.h"
#include "store/rotation.h"
#include "store/tier.h"

/* Makes the secret; its text is to be wiped by delivery_done. */
static enum err secret_make(struct delivery *delivery, const char *label)
{
    secret_free(&delivery->secret);
    buf_clear(&delivery->body);
    delivery->secret = secret_new(API_KEY_TEXT_SIZE);
    if (!delivery->secret) return ERR_NO_MEMORY;
    delivery->secret->length = api_key_make(label, delivery->secret->text);
    return ERR_OK;
}

/* Whatever the encryption came to: a secret with its body, or neither. */
static void settle(struct delivery *delivery, enum err error)
{
    if (!error && delivery->body.length && !delivery->body.failed) return;
    if (error != ERR_NOT_FOUND)
        log_event(LOG_WARN, "seal_failed", "%s: a claim link takes its place", err_name(error));
    secret_free(&delivery->secret);
    buf_done(&delivery->body);
}

static enum err seal(struct db *db, struct service *service, struct delivery *delivery,
                     struct notice *notice, const struct customer_keys *keys)
{
    notice->id = delivery->mail_id = id_new();
    delivery->body = (struct buf){.limit = (size_t)4 << 20};
    return mail_maker_seal(service->maker, db, notice, keys, secret_span(delivery->secret),
                           clock_wall_ms(), &delivery->body);
}

enum err delivery_prepare_new(struct db *db, struct service *service, struct delivery *delivery,
                              const struct delivery_key *what)
{
    char start[API_KEY_START_SIZE];
    const struct api_key_row key = {
        .id = id_new(), .title = what->title, .environment = what->environment};
    struct notice notice CLEANUP(notice_done) = {.customer = what->customer};
    delivery->key_id = key.id;
    if (!what->keys && !what->customer->encrypts) return ERR_OK;
    enum err error = secret_make(delivery, what->label);
    if (error) return error;
    api_key_start(secret_span(delivery->secret), start);
    secret_mail_issued(&notice, &key, start, what->tier);
    settle(delivery, seal(db, service, delivery, &notice, what->keys));
    return ERR_OK;
}

/* The mail's words, from what stands in the database. */
static enum err next_open(struct db *db, struct notice *notice, const struct api_key_row *key,
                          const char *kind, int64_t ends_at, struct arena *arena)
{
    struct rotation_secret old, next;
    struct tier_row tier;
    enum err error = key_change_tier(db, key->customer_id, arena, &tier);
    if (!error) error = rotation_secrets(db, key->id, key->secret_version, &old, &next);
    if (error) return error;
    notice->kind = kind;
    if (span_is(span_text(kind), "rotated")) {
        secret_mail_rotated(notice, key, old.start, &tier.tier);
        if (ends_at) json_put_i64(&notice->context, "old_ends_at", ends_at);
        return ERR_OK;
    }
    notice_open(notice, key, old.start);
    json_put_i64(&notice->context, "regenerated_at", clock_wall_ms());
    return ERR_OK;
}

enum err delivery_prepare_next(struct db *db, struct service *service, struct delivery *delivery,
                               uint64_t key_id, const char *kind, int64_t ends_at)
{
    struct arena arena CLEANUP(arena_done) = {0};
    struct customer_row customer;
    struct customer_name name = {0};
    struct api_key_row key;
    enum err error = api_key_find(db, key_id, &arena, &key);
    if (!error) name.id = key.customer_id;
    if (!error) error = customer_find(db, &name, &arena, &customer);
    if (error == ERR_NOT_FOUND) return ERR_OK;
    if (error) return error;
    delivery->customer_at = customer.updated_at;
    delivery->ends_at = ends_at;
    if (!customer.encrypts) return ERR_OK;
    struct notice notice CLEANUP(notice_done) = {.customer = &customer};
    error = secret_make(delivery, key.label);
    if (!error) error = next_open(db, &notice, &key, kind, ends_at, &arena);
    if (error) return error;
    settle(delivery, seal(db, service, delivery, &notice, NULL));
    return ERR_OK;
}

void delivery_done(struct delivery *delivery)
{
    secret_free(&delivery->secret);
    buf_done(&delivery->body);
}

/* ---- the operation's ---- */

enum err delivery_check(struct operation *operation, const struct delivery *delivery,
                        const struct customer_row *customer)
{
    if (!customer->email_sealed.data) {
        problem_add_field(&operation->problem, "body.deliver",
                          "\"email\" needs an address, and the customer has none: set its email");
        operation->problem.code = "delivery_unavailable";
        return ERR_DENIED;
    }
    if (!delivery->customer_at || delivery->customer_at == customer->updated_at) return ERR_OK;
    return problem_set(&operation->problem, 409, "conflict",
                       "The customer was changed while the call ran; try again.");
}

enum err delivery_tell(struct db *db, struct operation *operation, const struct delivery *delivery,
                       struct notice *notice)
{
    if (delivery->secret) {
        notice->id = delivery->mail_id;
        notice->body = buf_span(&delivery->body);
        return notice_queue(db, operation, notice, NULL);
    }
    struct claim_row link;
    claim_announce(operation, notice->key_id, notice->generation, &link);
    enum err error = claim_insert(db, &link, 1);
    notice->with_link = true;
    return error ? error : notice_queue(db, operation, notice, NULL);
}
