/* The frame of an operation on one key. run is on the committer's thread, done and the count's done
 * on the loop. What always holds: a secret exists only in guarded memory and in the answer, the
 * database gets its keyed hash; and a change that was committed is answered as done, even when the
 * usage around it could not be counted any more. */
#include "service/key_change.h"

#include "base/clock.h"
#include "base/codec.h"
#include "core/api_key.h"
#include "core/permission.h"
#include "crypto/key_hash.h"
#include "crypto/keyring.h"
#include "service/context.h"
#include "service/idempotency.h"
#include "service/precondition.h"
#include "store/entitlement.h"
#include "store/names.h"
#include "store/tier.h"
#include "store/usage_snapshot.h"

static struct key_change *change_of(struct operation *operation)
{
    return CONTAINER_OF(operation, struct key_change, operation);
}

enum err key_change_refuse_revoked(struct operation *operation, const struct api_key_row *row)
{
    if (!row->revoked_at) return ERR_OK;
    return problem_set(&operation->problem, 409, "key_revoked",
                       "The key has been revoked, which is final; issue a new one.");
}

enum err key_change_tier(struct db *db, uint64_t customer_id, struct arena *arena,
                         struct tier_row *tier)
{
    struct entitlement_row entitlement;
    enum err error = entitlement_find(db, customer_id, arena, &entitlement);
    return error ? error : tier_row_find(db, span_text(entitlement.tier), tier);
}

void key_change_secret(struct operation *operation, const struct api_key_row *row,
                       const struct secret *secret, struct key_secret_row *made)
{
    const struct keyring *keyring = operation->service->keyring;
    *made = (struct key_secret_row){.id = id_new(),
                                    .key_id = row->id,
                                    .version = row->secret_version,
                                    .created_at = operation->now_ms,
                                    .algorithm = KEY_HASH_ALGORITHM,
                                    .pepper_id = keyring_pepper_id(keyring)};
    key_hash(keyring, secret_span(secret), made->hash);
    key_fingerprint(made->hash, made->fingerprint);
    api_key_start(secret_span(secret), made->start);
    operation_feed_hash(operation, row->id, made->hash);
}

enum err key_change_add(struct db *db, struct operation *operation, const struct api_key_row *row,
                        const struct secret *secret, struct key_secret_row *made)
{
    key_change_secret(operation, row, secret, made);
    return key_secret_insert(db, made, 1);
}

enum err key_change_make(struct operation *operation, const struct api_key_row *row,
                         struct key_secret_row *made, struct secret **secret)
{
    secret_free(secret);
    *secret = secret_new(API_KEY_TEXT_SIZE);
    if (!*secret) return ERR_NO_MEMORY;
    (*secret)->length = api_key_make(row->label, (*secret)->text);
    key_change_secret(operation, row, *secret, made);
    return ERR_OK;
}

enum err key_change_mint(struct db *db, struct operation *operation, const struct api_key_row *row,
                         struct key_secret_row *made, struct secret **secret)
{
    enum err error = key_change_make(operation, row, made, secret);
    return error ? error : key_secret_insert(db, made, 1);
}

/* Loads the view behind the change, in the transaction. */
static enum err view_load(struct db *db, struct key_change *change)
{
    return key_view_find(db, change->key_id, change->operation.now_ms, &change->arena,
                         &change->view);
}

/* A token held to some permissions gets no hand on a key that has more: not its secret, not its
 * networks. */
static enum err refuse_beyond_token(struct key_change *change, const struct api_key_row *row)
{
    if (!change->within || change->reduces) return ERR_OK;
    const char *has;
    enum err error = names_from_json(span_text(row->permissions), &change->arena, &has);
    if (error || permission_all(span_text(change->within), span_text(has))) return error;
    return problem_set(
        &change->operation.problem, 403, "permission_not_allowed",
        "The key has permissions that your token may not grant; use a token that may.");
}

/* Usage cannot be counted within the transaction, whose statements see the fold at work: an answer
 * that is kept takes what was counted right before. */
static void take_count(struct key_change *change)
{
    struct key_view *view = &change->view;
    if (change->counted_start == view->period.start_ms && change->counted > view->used)
        view->used = change->counted;
}

enum err key_change_run(struct db *db, struct operation *operation)
{
    struct key_change *change = change_of(operation);
    struct api_key_row row;
    char subject[ID_TEXT_SIZE];
    arena_done(&change->arena);
    enum err error = api_key_lock(db, change->key_id, &change->arena, &row);
    if (error == ERR_NOT_FOUND ||
        (!error && change->customer_id && change->customer_id != row.customer_id))
        return problem_set(&operation->problem, 404, "not_found", "There is no such key.");
    change->action = NULL;
    if (!error) error = refuse_beyond_token(change, &row);
    if (!error) error = change->apply(db, change, &row);
    if (!error && change->action) {
        row.updated_at = version_next(row.updated_at, operation->now_ms);
        id_format(subject, "key", row.id);
        operation_feed(operation, FEED_KEY, row.id);
        operation_audit(operation, change->action, subject, row.customer_id, NULL);
        error = api_key_update(db, &row);
    }
    if (!error) error = view_load(db, change);
    if (!error) take_count(change);
    return error;
}

static enum err count_run(struct db *db, struct db_job *job)
{
    struct key_change *change = CONTAINER_OF(job, struct key_change, count_job);
    enum err error = usage_snapshot_begin(db);
    if (!error) error = key_view_count(db, &change->view, 1, &change->arena);
    usage_snapshot_end(db);
    return error;
}

static void count_done(struct db_job *job, enum err error)
{
    (void)error; /* then the view has what is folded */
    struct key_change *change = CONTAINER_OF(job, struct key_change, count_job);
    change->done(change, ERR_OK);
}

void key_change_finish(struct operation *operation, enum err error)
{
    struct key_change *change = change_of(operation);
    /* A key made by this very operation has no usage to be counted; a kept answer stands. */
    if (!error && !operation->reservation && change->view.row.created_at != operation->now_ms) {
        change->count_job = (struct db_job){.run = count_run, .done = count_done};
        if (db_submit(operation->service->readers, &change->count_job) == ERR_OK) return;
    }
    change->done(change, error);
}

/* Best effort: without it the view has what is folded. */
static void precount(struct db *db, struct key_change *change)
{
    int64_t now_ms = clock_wall_ms();
    enum err error = usage_snapshot_begin(db);
    if (!error) error = key_view_find(db, change->key_id, now_ms, &change->arena, &change->view);
    if (!error) error = key_view_count(db, &change->view, 1, &change->arena);
    usage_snapshot_end(db);
    if (error) return;
    change->counted = change->view.used;
    change->counted_start = change->view.period.start_ms;
}

static enum err before_run(struct db *db, struct db_job *job)
{
    struct key_change *change = CONTAINER_OF(job, struct key_change, count_job);
    bool prepares = change->prepare && change->delivery.by_mail;
    enum err error = prepares ? change->prepare(db, change) : ERR_OK;
    if (!error && change->key_id && reservation_of(change->operation.request)) precount(db, change);
    return error;
}

static void before_done(struct db_job *job, enum err error)
{
    struct key_change *change = CONTAINER_OF(job, struct key_change, count_job);
    if (!error) error = operation_submit(&change->operation);
    if (error) change->done(change, error);
}

enum err key_change_submit(struct key_change *change)
{
    const struct operation *operation = &change->operation;
    bool counts = change->key_id && reservation_of(operation->request);
    if (!counts && !(change->prepare && change->delivery.by_mail))
        return operation_submit(&change->operation);
    change->count_job = (struct db_job){.run = before_run, .done = before_done};
    return db_submit(operation->service->readers, &change->count_job);
}

void key_change_done(struct key_change *change)
{
    delivery_done(&change->delivery);
    secret_free(&change->secret);
    arena_done(&change->arena);
}
