/* Making, revealing and resending claim links. The look before a reveal runs on a reader's thread,
 * so that wrong tokens reach neither the committer nor a reservation; the rest on the committer's,
 * or the loop. What always holds: a reveal uses the link, mints the secret, lets the old one work
 * on and begins the new one's life in one transaction; of two reveals one gets it, and a token's
 * text is stored nowhere. */
#include "service/claim.h"

#include "base/codec.h"
#include "base/json.h"
#include "core/api_key.h"
#include "core/period.h"
#include "crypto/key_hash.h"
#include "service/context.h"
#include "service/notice.h"
#include "service/rotation_rows.h"
#include "service/rotator.h"
#include "service/secret_mail.h"
#include "store/claim.h"
#include "store/customer.h"
#include "store/node.h"
#include "store/outbox.h"
#include "store/rotation.h"
#include "store/tier.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* ---- making ---- */

void claim_announce(const struct operation *operation, uint64_t key_id, uint32_t generation,
                    struct claim_row *row)
{
    *row = (struct claim_row){
        .key_id = key_id, .generation = generation, .issued_at = operation->now_ms};
    randombytes_buf(row->hash, sizeof row->hash);
}

static enum err link_make(const struct keyring *keyring, const struct outbox_row *mail,
                          int64_t now_ms, struct claim_row *row, struct secret **token)
{
    *row = (struct claim_row){
        .key_id = mail->key_id, .generation = mail->generation, .issued_at = now_ms};
    *token = secret_new(API_KEY_TEXT_SIZE);
    if (!*token) return ERR_NO_MEMORY;
    (*token)->length = api_key_make(CLAIM_LABEL, (*token)->text);
    key_hash(keyring, secret_span(*token), row->hash);
    return ERR_OK;
}

static enum err links_insert(struct db *db, const struct outbox_node *node,
                             const struct claim_row *rows, size_t count)
{
    enum err error = db_begin(db);
    if (!error) error = node_hold(db, node->node, node->incarnation);
    if (!error) error = claim_insert(db, rows, count);
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}

enum err claim_links_make(struct db *db, const struct keyring *keyring,
                          const struct outbox_node *node, const struct outbox_mail *mails,
                          size_t count, int64_t now_ms, struct secret **tokens)
{
    struct arena arena CLEANUP(arena_done) = {0};
    struct claim_row *rows = arena_alloc(&arena, (count + 1) * sizeof *rows);
    size_t made = 0;
    enum err error = rows ? ERR_OK : ERR_NO_MEMORY;
    for (size_t i = 0; !error && i < count; i++) {
        const struct outbox_row *mail = &mails[i].row;
        if (mail->with_link) error = link_make(keyring, mail, now_ms, &rows[made++], &tokens[i]);
    }
    return error || !made ? error : links_insert(db, node, rows, made);
}

/* ---- revealing ---- */

static enum err not_live(struct problem *problem, int64_t used_at)
{
    char when[TIME_TEXT_SIZE];
    if (!used_at)
        return problem_set(problem, 409, "claim_ended",
                           "This link has ended: another link to the same secret was used, or a "
                           "newer secret took its place.");
    time_format(when, used_at);
    return problem_set(problem, 409, "claim_used",
                       "This link was used at %s: the secret was shown then, and is shown once. If "
                       "that was not you, regenerate the key.",
                       when);
}

enum err claim_look(struct db *db, struct claim_reveal *reveal)
{
    struct problem *problem = &reveal->operation.problem;
    struct claim_row row;
    enum err error = claim_find(db, reveal->hash, &row);
    reveal->unknown = error == ERR_NOT_FOUND;
    if (reveal->unknown)
        return problem_set(problem, 404, "claim_not_found",
                           "There is no such link; copy it whole, or ask for a new one.");
    if (error) return error;
    reveal->used_at = row.used_at;
    reveal->ended_at = row.ended_at;
    reveal->key_id = row.key_id;
    reveal->customer_id = row.customer_id;
    reveal->generation = row.generation;
    return ERR_OK;
}

static enum err look_run(struct db *db, struct db_job *job)
{
    return claim_look(db, CONTAINER_OF(job, struct claim_reveal, look_job));
}

/* The old secret works until its retirement, which is known now. */
static enum err retirement_begin(struct db *db, struct claim_reveal *reveal,
                                 const struct api_key_row *key, const struct tier *tier)
{
    int64_t now_ms = reveal->operation.now_ms;
    struct rotation_secret old, next;
    struct rotation_row row;
    reveal->old = (struct claim_old){0};
    enum err error = rotation_lock(db, key->id, reveal->generation, ROTATION_RETIRE, &row);
    /* It has ended before, or there was no secret: then nobody is to be reminded any more. */
    if (error == ERR_NOT_FOUND) return rotation_drop(db, key->id, ROTATION_DROP_REMINDERS);
    if (error) return error;
    row.waited_at = now_ms;
    row.due_at = row.look_at = now_ms + tier->hard_stop_days * DAY_MS;
    error = rotation_update(db, &row);
    if (!error) error = rotation_secrets(db, key->id, reveal->generation, &old, &next);
    if (error || !old.there) return error;
    reveal->old.ends_at = row.due_at;
    reveal->old.grace_s = tier->grace_seconds;
    memcpy(reveal->old.start, old.start, sizeof reveal->old.start);
    return ERR_OK;
}

static enum err mint(struct db *db, struct claim_reveal *reveal, struct api_key_row *key)
{
    struct operation *operation = &reveal->operation;
    struct key_secret_row made;
    struct tier_row tier;
    int64_t now_ms = operation->now_ms;
    enum err error = key_change_tier(db, key->customer_id, &reveal->arena, &tier);
    if (!error) error = key_secret_retire(db, key->id, SECRET_END_OPEN);
    if (!error) error = key_secret_remove(db, key->id, key->secret_version + 1, now_ms, NULL);
    if (!error) error = claim_end(db, key->id, now_ms);
    if (!error) error = retirement_begin(db, reveal, key, &tier.tier);
    if (error) return error;
    key->secret_version++;
    key->rotates_at = key->rotation_off ? 0 : rotation_date(&tier.tier, now_ms);
    key->updated_at = now_ms;
    error = key_change_mint(db, operation, key, &made, &reveal->secret);
    if (!error) error = rotation_rows_begin(db, key, &tier.tier, now_ms);
    return error ? error : api_key_update(db, key);
}

static enum err use(struct db *db, struct claim_reveal *reveal)
{
    struct problem *problem = &reveal->operation.problem;
    struct claim_row row;
    enum err error = claim_use(db, reveal->hash, reveal->operation.now_ms);
    if (error != ERR_NOT_FOUND) return error;
    error = claim_find(db, reveal->hash, &row);
    return error ? error : not_live(problem, row.used_at);
}

enum err claim_run(struct db *db, struct operation *operation)
{
    struct claim_reveal *reveal = CONTAINER_OF(operation, struct claim_reveal, operation);
    struct customer_name name = {.id = reveal->customer_id};
    struct customer_row customer;
    struct api_key_row key;
    char subject[ID_TEXT_SIZE];
    arena_done(&reveal->arena);
    enum err error = customer_lock(db, &name, &reveal->arena, &customer);
    if (!error) error = api_key_lock(db, reveal->key_id, &reveal->arena, &key);
    if (!error) error = key_change_refuse_revoked(operation, &key);
    if (!error) error = use(db, reveal);
    if (error == ERR_NOT_FOUND || (!error && key.secret_version != reveal->generation))
        return not_live(&operation->problem, 0);
    if (!error) error = mint(db, reveal, &key);
    if (error) return error;
    reveal->external_id = customer.external_id;
    reveal->title = key.title;
    reveal->environment = key.environment;
    id_format(subject, "key", key.id);
    operation_feed(operation, FEED_KEY, key.id);
    operation_audit(operation, "claim.reveal", subject, customer.id, NULL);
    return ERR_OK;
}

static void revealed(struct operation *operation, enum err error)
{
    struct claim_reveal *reveal = CONTAINER_OF(operation, struct claim_reveal, operation);
    reveal->done(reveal, error);
}

static void look_done(struct db_job *job, enum err error)
{
    struct claim_reveal *reveal = CONTAINER_OF(job, struct claim_reveal, look_job);
    reveal->looked(reveal, error);
}

enum err claim_look_start(struct claim_reveal *reveal)
{
    struct service *service = reveal->operation.service;
    if (service->rotator && rotator_is_paused(service->rotator))
        return problem_set(
            &reveal->operation.problem, 503, "clock_not_trusted",
            "The server's clock was changed; the link works again when that has been "
            "looked after.");
    reveal->look_job = (struct db_job){.run = look_run, .done = look_done};
    return db_submit(service->readers, &reveal->look_job);
}

enum err claim_reveal_start(struct claim_reveal *reveal)
{
    if (reveal->ended_at) return not_live(&reveal->operation.problem, reveal->used_at);
    snprintf(reveal->operation.actor, sizeof reveal->operation.actor, "claim");
    reveal->operation.run = claim_run;
    reveal->operation.done = revealed;
    return operation_submit(&reveal->operation);
}

void claim_reveal_done(struct claim_reveal *reveal)
{
    secret_free(&reveal->secret);
    arena_done(&reveal->arena);
}

/* ---- sending another link ---- */

/* Where an old secret works on, the mail reminds; a key that has none is told of as at first. */
static enum err resend_open(struct db *db, struct key_change *change, const struct api_key_row *row,
                            struct notice *notice, int64_t first_at)
{
    struct rotation_secret old, next;
    struct tier_row tier;
    enum err error = rotation_secrets(db, row->id, row->secret_version, &old, &next);
    if (!error) error = key_change_tier(db, row->customer_id, &change->arena, &tier);
    if (error) return error;
    if (!row->secret_version) {
        secret_mail_issued(notice, row, "", &tier);
        return ERR_OK;
    }
    notice->kind = old.there ? "claim_reminder" : "regenerated";
    notice_open(notice, row, old.start);
    json_put_i64(&notice->context, old.there ? "issued_at" : "regenerated_at", first_at);
    return ERR_OK;
}

static enum err resend(struct db *db, struct key_change *change, const struct api_key_row *row,
                       uint32_t number, int64_t first_at)
{
    struct operation *operation = &change->operation;
    struct customer_name name = {.id = row->customer_id};
    struct customer_row customer;
    struct claim_row link;
    struct notice notice CLEANUP(notice_done) = {.customer = &customer,
                                                 .generation = row->secret_version,
                                                 .number = OUTBOX_BY_HAND + number};
    enum err error = customer_find(db, &name, &change->arena, &customer);
    if (!error) error = resend_open(db, change, row, &notice, first_at);
    claim_announce(operation, row->id, row->secret_version, &link);
    if (!error) error = claim_insert(db, &link, 1);
    if (error) return error;
    notice.with_link = true;
    error = notice_queue(db, operation, &notice, NULL);
    if (error != ERR_NOT_FOUND) return error;
    return problem_set(&operation->problem, 409, "no_email",
                       "The customer has no e-mail address that a link could go to.");
}

static enum err resend_apply(struct db *db, struct key_change *change, struct api_key_row *row)
{
    uint32_t made = 0;
    int64_t first_at = 0;
    bool live = false;
    enum err error = key_change_refuse_revoked(&change->operation, row);
    if (!error) error = claim_count(db, row->id, row->secret_version, &made, &live, &first_at);
    if (error) return error;
    if (!made)
        return problem_set(&change->operation.problem, 409, "no_claim_pending",
                           "No secret of the key waits to be claimed.");
    change->action = "claim.resend";
    return resend(db, change, row, made, first_at);
}

void claim_resend_init(struct key_change *change)
{
    change->apply = resend_apply;
    change->operation.run = key_change_run;
    change->operation.done = key_change_finish;
}
