/* Signing up. The look runs on a reader's thread, the payment is asked on the loop, the commit is
 * an operation of the committer. What always holds: the unique keys of external_id and of the
 * resolved payment reference decide between two that come at once, and a paid tier is committed
 * only behind a confirmed payment. */
#include "service/signup.h"

#include "base/clock.h"
#include "base/codec.h"
#include "crypto/envelope.h"
#include "service/context.h"
#include "store/payment_read.h"
#include "store/tier.h"
#include "store/token.h"

static enum err refuse_existing(struct db *db, struct signup *signup, struct problem *problem)
{
    struct customer_name name = {.external_id = span_text(signup->external_id)};
    struct customer_row row;
    enum err error = customer_find(db, &name, &signup->arena, &row);
    if (error) return error;
    id_format(problem->customer_id, "cus", row.id);
    return problem_set(problem, 409, "customer_exists",
                       "There is a customer of this external_id already: see customer_id.");
}

/* ---- look ---- */

/* The mail with the first secret, to a customer who is to be. */
static enum err prepare_delivery(struct db *db, struct signup *signup, const struct tier_row *tier)
{
    struct arena arena CLEANUP(arena_done) = {0};
    struct service *service = signup->operation.service;
    struct customer_row customer = {.id = signup->customer_id,
                                    .external_id = signup->external_id,
                                    .language = signup->language};
    struct customer_keys keys = {0};
    bool changed[MAIL_KEY_KINDS];
    enum err error =
        customer_seal(service->keyring, signup->email, signup->name, &arena, &customer);
    if (error) return error;
    encryption_apply(&signup->encryption, &keys, changed);
    bool encrypts = changed[MAIL_KEY_OPENPGP] || changed[MAIL_KEY_SMIME];
    return issue_deliver(db, service, &signup->key, &customer, encrypts ? &keys : NULL, tier,
                         &signup->made.delivery);
}

static enum err look(struct db *db, struct signup *signup, struct problem *problem)
{
    struct tier_row tier;
    enum err error = ERR_OK;
    if (signup->operation.token_id)
        error = token_is_live(db, signup->operation.token_id, clock_wall_ms());
    if (error == ERR_DENIED)
        return problem_set(problem, 401, "invalid_token",
                           "The service token has been revoked or has expired; use another one.");
    if (!error) error = tier_row_find(db, span_text(signup->tier), &tier);
    if (error == ERR_NOT_FOUND) {
        problem_add_field(problem, "body.tier", "there is no such tier; GET /v1/tiers lists them");
        return ERR_DENIED;
    }
    if (error) return error;
    error = refuse_existing(db, signup, problem);
    if (error != ERR_NOT_FOUND) return error;
    if (signup->with_key && (!issue_permissions_allowed(problem, &signup->key, &tier) ||
                             !issue_limits_allowed(problem, &signup->key, &tier)))
        return ERR_DENIED;
    signup->requires_payment = tier.tier.requires_payment;
    memcpy(signup->prices, tier.tier.price_references, sizeof signup->prices);
    error = encryption_check(signup->operation.service, &signup->encryption, problem);
    if (error || !signup->made.delivery.by_mail) return error;
    return prepare_delivery(db, signup, &tier);
}

static enum err look_run(struct db *db, struct db_job *job)
{
    struct signup *signup = CONTAINER_OF(job, struct signup, look_job);
    signup->operation.problem = (struct problem){0};
    arena_done(&signup->arena);
    return look(db, signup, &signup->operation.problem);
}

/* ---- commit ---- */

enum err customer_seal(const struct keyring *keyring, const char *email, const char *name,
                       struct arena *arena, struct customer_row *row)
{
    struct buf sealed CLEANUP(buf_done) = {0};
    if (email) {
        enum err error = envelope_seal(keyring, CUSTOMER_EMAIL, row->id, span_text(email), &sealed);
        if (error) return error;
        unsigned char index[BLIND_INDEX_SIZE];
        blind_index(keyring, span_text(email), index);
        row->email_sealed = span_of(arena_copy(arena, buf_span(&sealed)), sealed.length);
        row->email_index = span_of(arena_copy(arena, span_of(index, sizeof index)), sizeof index);
        if (!row->email_sealed.data || !row->email_index.data) return ERR_NO_MEMORY;
    }
    if (name) {
        buf_clear(&sealed);
        enum err error = envelope_seal(keyring, CUSTOMER_NAME, row->id, span_text(name), &sealed);
        if (error) return error;
        row->name_sealed = span_of(arena_copy(arena, buf_span(&sealed)), sealed.length);
        if (!row->name_sealed.data) return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

enum err payment_follow(struct db *db, uint64_t customer_id, const struct payment_ask *confirmed,
                        int64_t now_ms)
{
    enum { SOON_MS = 5000 };
    const char *customer = confirmed->reading.customer;
    return payment_read_begin(db, customer_id, customer[0] ? customer : NULL, now_ms + SOON_MS);
}

/* What a confirmed payment (or none, for a tier that wants none) entitles to. The months of the
 * quota follow the payment's period. */
static void entitlement_fill(struct entitlement_row *row, const struct signup *signup,
                             int64_t now_ms)
{
    const struct pay_reading *reading = &signup->ask.reading;
    bool paid = signup->requires_payment;
    *row = (struct entitlement_row){
        .customer_id = signup->customer_id,
        .tier = signup->tier,
        .provider = paid ? signup->ask.provider : "none",
        .reference = signup->reference,
        .status = "active",
        .updated_at = now_ms,
    };
    if (!paid) return;
    row->resolved_reference = reading->reference[0] ? reading->reference : NULL;
    row->payment_status = pay_status_name(reading->status);
    row->paid_tier = signup->tier;
    row->period_start = reading->period_start;
    row->period_end = row->paid_until = reading->period_end;
    if (reading->period_start)
        row->months = period_anchor(&row->months, reading->period_start, now_ms);
}

static enum err insert_keys(struct db *db, struct signup *signup)
{
    struct customer_keys keys = {0};
    bool changed[MAIL_KEY_KINDS];
    if (!encryption_given(&signup->encryption)) return ERR_OK;
    encryption_apply(&signup->encryption, &keys, changed);
    return customer_keys_update(db, signup->operation.service->keyring, signup->customer_id, &keys);
}

static enum err insert_customer(struct db *db, struct signup *signup, struct customer_row *row)
{
    struct operation *operation = &signup->operation;
    *row = (struct customer_row){.id = signup->customer_id,
                                 .external_id = signup->external_id,
                                 .metadata = signup->metadata ? signup->metadata : "{}",
                                 .language = signup->language,
                                 .created_at = operation->now_ms,
                                 .updated_at = operation->now_ms};
    enum err error = customer_seal(operation->service->keyring, signup->email, signup->name,
                                   &signup->arena, row);
    if (!error) error = customer_insert(db, row);
    if (error == ERR_EXISTS) return refuse_existing(db, signup, &operation->problem);
    if (!error) error = insert_keys(db, signup);
    if (error) return error;
    struct entitlement_row entitlement;
    entitlement_fill(&entitlement, signup, operation->now_ms);
    signup->months = entitlement.months;
    error = entitlement_insert(db, &entitlement);
    if (!error && signup->requires_payment)
        error = payment_follow(db, row->id, &signup->ask, operation->now_ms);
    if (error != ERR_EXISTS) return error;
    return problem_set(&operation->problem, 409, "payment_reference_used",
                       "This payment reference pays for another customer already.");
}

static enum err load_customer(struct db *db, struct signup *signup)
{
    struct customer_name name = {.id = signup->customer_id};
    int64_t now_ms = signup->operation.now_ms;
    return customer_view_find(db, signup->operation.service->keyring, &name, now_ms, &signup->arena,
                              &signup->customer);
}

static enum err signup_run(struct db *db, struct operation *operation)
{
    struct signup *signup = CONTAINER_OF(operation, struct signup, operation);
    struct tier_row tier;
    struct customer_row row;
    char subject[ID_TEXT_SIZE];
    arena_done(&signup->arena);
    enum err error = tier_row_find(db, span_text(signup->tier), &tier);
    if (!error && tier.tier.requires_payment && !signup->requires_payment)
        return problem_set(&operation->problem, 409, "conflict",
                           "The tier was changed while the call ran; try again.");
    if (!error) error = insert_customer(db, signup, &row);
    if (error) return error;
    id_format(subject, "cus", signup->customer_id);
    operation_feed(operation, FEED_CUSTOMER, signup->customer_id);
    operation_audit(operation, "customer.create", subject, signup->customer_id, NULL);
    if (signup->with_key)
        error = issue_key(db, operation, &signup->key, &row, &tier, &signup->months, &signup->arena,
                          &signup->made);
    return error ? error : load_customer(db, signup);
}

static void signup_committed(struct operation *operation, enum err error)
{
    struct signup *signup = CONTAINER_OF(operation, struct signup, operation);
    signup->done(signup, error);
}

/* ---- the steps ---- */

static void signup_commit(struct signup *signup)
{
    signup->operation.run = signup_run;
    signup->operation.gathers = true;
    signup->operation.done = signup_committed;
    enum err error = operation_submit(&signup->operation);
    if (error) signup->done(signup, error);
}

static void signup_answered(struct payment_ask *ask, enum payment_result result)
{
    struct signup *signup = ask->context;
    if (result == PAYMENT_CONFIRMED) {
        signup_commit(signup);
        return;
    }
    signup->operation.problem = ask->problem;
    signup->done(signup, ERR_DENIED);
}

static void look_done(struct db_job *job, enum err error)
{
    struct signup *signup = CONTAINER_OF(job, struct signup, look_job);
    if (error) {
        signup->done(signup, error);
        return;
    }
    if (!signup->requires_payment) {
        signup_commit(signup);
        return;
    }
    signup->ask = (struct payment_ask){.external_id = signup->external_id,
                                       .email = signup->email,
                                       .tier = signup->tier,
                                       .reference = signup->reference,
                                       .prices = signup->prices,
                                       .context = signup,
                                       .done = signup_answered};
    error = payment_check(signup->operation.service, &signup->ask);
    if (!error) return;
    signup->operation.problem = signup->ask.problem;
    signup->done(signup, error);
}

enum err signup_start(struct signup *signup)
{
    signup->key.at = "body.key";
    signup->customer_id = id_new();
    signup->look_job = (struct db_job){.run = look_run, .done = look_done};
    return db_submit(signup->operation.service->readers, &signup->look_job);
}

void signup_done(struct signup *signup)
{
    key_change_done(&signup->made);
    arena_done(&signup->arena);
}
