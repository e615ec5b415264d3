/* Rotation and regeneration, on the committer's thread inside key_change_run. What always holds: in
 * the same transaction that gives the old secret its end the new one exists, so there is never a
 * moment without a working secret; and a secret that has ended leaves no hash behind once the next
 * one is made. */
#include "service/rotate.h"

#include "base/clock.h"
#include "base/json.h"
#include "core/period.h"
#include "core/rotation.h"
#include "service/context.h"
#include "service/notice.h"
#include "service/rotation_rows.h"
#include "service/secret_mail.h"
#include "store/claim.h"
#include "store/customer.h"
#include "store/rotation.h"
#include "store/tier.h"

static enum err refuse_dead(struct operation *operation, const struct api_key_row *row)
{
    enum err error = key_change_refuse_revoked(operation, row);
    if (error || !row->expires_at || row->expires_at > operation->now_ms) return error;
    return problem_set(&operation->problem, 409, "key_expired",
                       "The key has expired; set a later expires_at first.");
}

/* The next secret's row, where it is made now, and the steps of its life. ends_at: the former
 * one's; 0: it is dead. */
static enum err next_secret(struct db *db, struct key_change *change, struct api_key_row *row,
                            int64_t ends_at)
{
    struct tier_row tier;
    struct key_secret_row made;
    struct operation *operation = &change->operation;
    int64_t now_ms = operation->now_ms;
    enum err error = key_change_tier(db, row->customer_id, &change->arena, &tier);
    if (error) return error;
    row->secret_version++;
    row->rotates_at = row->rotation_off ? 0 : rotation_date(&tier.tier, now_ms);
    error = change->delivery.secret
                ? key_change_add(db, operation, row, change->delivery.secret, &made)
                : key_change_mint(db, operation, row, &made, &change->secret);
    if (!error)
        error = ends_at ? rotation_rows_replace(db, row, ends_at, now_ms)
                        : rotation_rows_end(db, row, now_ms);
    return error ? error : rotation_rows_begin(db, row, &tier.tier, now_ms);
}

/* By mail, and without a key to encrypt to. */
static bool by_link(const struct key_change *change)
{
    return change->delivery.by_mail && !change->delivery.secret;
}

/* Whom to tell. By mail it must be possible, and the customer as it was when the mail was made. */
static enum err customer_of(struct db *db, struct key_change *change, const struct api_key_row *row,
                            struct customer_row *customer)
{
    struct customer_name name = {.id = row->customer_id};
    enum err error = customer_find(db, &name, &change->arena, customer);
    if (error || !change->delivery.by_mail) return error;
    return delivery_check(&change->operation, &change->delivery, customer);
}

/* Links of this generation were announced under the numbers before. */
static enum err number_take(struct db *db, struct notice *notice, const struct api_key_row *row)
{
    int64_t first_at;
    bool live;
    return claim_count(db, row->id, notice->generation, &notice->number, &live, &first_at);
}

/* The mail with the new secret, with the link to it, or, when the answer has it, without. */
static enum err tell(struct db *db, struct key_change *change, struct notice *notice)
{
    struct operation *operation = &change->operation;
    if (change->delivery.by_mail) return delivery_tell(db, operation, &change->delivery, notice);
    if (!operation->service->mails) return ERR_OK;
    enum err error = notice_queue(db, operation, notice, NULL);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

/* ---- rotation ---- */

/* As the scheduled rotation does it: the old secret works on until the link was used. */
static enum err rotate_by_link(struct db *db, struct key_change *change, struct api_key_row *row,
                               const struct tier *tier, struct notice *notice)
{
    int64_t now_ms = change->operation.now_ms;
    struct rotation_row rows[] = {
        {.key_id = row->id,
         .generation = row->secret_version,
         .step = ROTATION_RETIRE,
         .status = ROTATION_ROTATED,
         .look_at = now_ms + tier->max_overlap_days * DAY_MS,
         .created_at = now_ms},
        {0},
    };
    notice->generation = row->secret_version;
    enum err error = number_take(db, notice, row);
    rotation_rows_reminder(row, notice->number, now_ms, &rows[1]);
    if (!error) error = rotation_rows_end(db, row, now_ms);
    if (!error) error = rotation_put(db, rows, COUNT_OF(rows));
    row->rotates_at = 0;
    return error ? error : tell(db, change, notice);
}

static enum err rotate_now(struct db *db, struct key_change *change, struct api_key_row *row,
                           struct notice *notice, int64_t ends_at)
{
    int64_t now_ms = change->operation.now_ms;
    enum err error = key_secret_retire(db, row->id, ends_at);
    if (!error) error = key_secret_remove(db, row->id, row->secret_version + 1, now_ms, NULL);
    if (!error) error = next_secret(db, change, row, ends_at);
    notice->generation = row->secret_version - 1;
    if (!error) error = number_take(db, notice, row);
    if (!error) json_put_i64(&notice->context, "old_ends_at", ends_at);
    return error ? error : tell(db, change, notice);
}

static enum err refuse_rotating(struct db *db, struct key_change *change,
                                const struct api_key_row *row, const struct rotation_secret *old)
{
    bool overlaps = false;
    struct problem *problem = &change->operation.problem;
    enum err error = key_secret_overlaps(db, row->id, change->operation.now_ms, &overlaps);
    if (error) return error;
    if (overlaps)
        return problem_set(problem, 409, "rotation_in_progress",
                           "Two secrets of the key work already; end the overlap first or wait "
                           "for its end.");
    if (old->there) return ERR_OK;
    return problem_set(problem, 409, "claim_pending",
                       "The key has no secret yet that could be replaced: its claim link waits. "
                       "Send another one (resend-claim), or regenerate the key.");
}

static enum err rotate_apply(struct db *db, struct key_change *change, struct api_key_row *row)
{
    const struct rotate *rotate = CONTAINER_OF(change, struct rotate, change);
    struct rotation_secret old, next;
    struct customer_row customer;
    struct tier_row tier;
    struct notice notice CLEANUP(notice_done) = {.customer = &customer};
    int64_t ends_at = change->operation.now_ms + (int64_t)rotate->grace_s * 1000;
    if (change->delivery.secret) ends_at = change->delivery.ends_at;
    enum err error = refuse_dead(&change->operation, row);
    if (!error) error = rotation_secrets(db, row->id, row->secret_version, &old, &next);
    if (!error) error = refuse_rotating(db, change, row, &old);
    if (!error) error = customer_of(db, change, row, &customer);
    if (!error) error = key_change_tier(db, row->customer_id, &change->arena, &tier);
    if (error) return error;
    change->action = "key.rotate";
    secret_mail_rotated(&notice, row, old.start, &tier.tier);
    return by_link(change) ? rotate_by_link(db, change, row, &tier.tier, &notice)
                           : rotate_now(db, change, row, &notice, ends_at);
}

static enum err rotate_prepare(struct db *db, struct key_change *change)
{
    const struct rotate *rotate = CONTAINER_OF(change, struct rotate, change);
    int64_t ends_at = clock_wall_ms() + (int64_t)rotate->grace_s * 1000;
    return delivery_prepare_next(db, change->operation.service, &change->delivery, change->key_id,
                                 "rotated", ends_at);
}

void rotate_init(struct rotate *rotate, uint32_t grace_s)
{
    rotate->grace_s = grace_s;
    rotate->change.apply = rotate_apply;
    rotate->change.prepare = rotate_prepare;
    rotate->change.operation.run = key_change_run;
    rotate->change.operation.done = key_change_finish;
}

static enum err end_apply(struct db *db, struct key_change *change, struct api_key_row *row)
{
    uint64_t removed = 0;
    enum err error = key_change_refuse_revoked(&change->operation, row);
    if (!error) error = key_secret_remove(db, row->id, row->secret_version, 0, &removed);
    if (error || !removed) return error;
    change->action = "key.end_overlap";
    return rotation_rows_retired(db, row, change->operation.now_ms);
}

void rotate_end_init(struct key_change *change)
{
    change->apply = end_apply;
    change->operation.run = key_change_run;
    change->operation.done = key_change_finish;
}

/* Until the link is used the key has no secret at all. */
static enum err regenerate_by_link(struct db *db, struct key_change *change,
                                   struct api_key_row *row, uint32_t made)
{
    int64_t now_ms = change->operation.now_ms;
    struct rotation_row reminder;
    rotation_rows_reminder(row, made, now_ms, &reminder);
    row->rotates_at = 0;
    enum err error = rotation_rows_end(db, row, now_ms);
    return error ? error : rotation_put(db, &reminder, 1);
}

static enum err regenerate_apply(struct db *db, struct key_change *change, struct api_key_row *row)
{
    struct rotation_secret old, next;
    struct customer_row customer;
    struct notice notice CLEANUP(notice_done) = {
        .kind = "regenerated", .customer = &customer, .generation = row->secret_version};
    enum err error = refuse_dead(&change->operation, row);
    if (!error) error = rotation_secrets(db, row->id, row->secret_version, &old, &next);
    if (!error) error = customer_of(db, change, row, &customer);
    if (!error) error = number_take(db, &notice, row);
    if (!error) error = key_secret_remove(db, row->id, row->secret_version + 1, 0, NULL);
    if (error) return error;
    error = by_link(change) ? regenerate_by_link(db, change, row, notice.number)
                            : next_secret(db, change, row, 0);
    change->action = "key.regenerate";
    if (error) return error;
    notice_open(&notice, row, old.start);
    json_put_i64(&notice.context, "regenerated_at", change->operation.now_ms);
    return tell(db, change, &notice);
}

static enum err regenerate_prepare(struct db *db, struct key_change *change)
{
    return delivery_prepare_next(db, change->operation.service, &change->delivery, change->key_id,
                                 "regenerated", 0);
}

void regenerate_init(struct key_change *change)
{
    change->apply = regenerate_apply;
    change->prepare = regenerate_prepare;
    change->operation.run = key_change_run;
    change->operation.done = key_change_finish;
}

/* ---- moving what is due ---- */

/* Notified, and so late now that it is told again: back to the notice, under a number of its own.
 */
static enum err notice_again(struct db *db, struct rotation_row *rotate, int64_t notice_at,
                             int64_t now_ms)
{
    struct rotation_row notice = {.key_id = rotate->key_id,
                                  .generation = rotate->generation,
                                  .step = ROTATION_NOTICE,
                                  .status = ROTATION_SCHEDULED,
                                  .number = rotate->number + 1,
                                  .due_at = notice_at,
                                  .look_at = notice_at,
                                  .created_at = now_ms};
    enum err error = rotation_remove(db, rotate);
    return error ? error : rotation_put(db, &notice, 1);
}

static enum err move_step(struct db *db, struct rotation_row *step, int64_t rotates_at,
                          int64_t notice_at, int64_t now_ms)
{
    bool notified = step->step == ROTATION_ROTATE;
    if (notified && notice_at > now_ms) return notice_again(db, step, notice_at, now_ms);
    step->status = notified ? ROTATION_NOTIFIED : ROTATION_SCHEDULED;
    step->due_at = step->look_at = notified ? rotates_at : notice_at;
    return rotation_update(db, step);
}

static enum err postpone_apply(struct db *db, struct key_change *change, struct api_key_row *row)
{
    const struct postpone *postpone = CONTAINER_OF(change, struct postpone, change);
    int64_t now_ms = change->operation.now_ms;
    struct rotation_row step;
    struct tier_row tier;
    enum err error = refuse_dead(&change->operation, row);
    if (!error) error = rotation_lock_main(db, row->id, &step);
    if (error == ERR_NOT_FOUND || (!error && step.step == ROTATION_RETIRE) ||
        (!error && !row->rotates_at))
        return problem_set(&change->operation.problem, 409, "no_rotation_pending",
                           "No rotation of the key is to come that could be moved.");
    if (!error) error = key_change_tier(db, row->customer_id, &change->arena, &tier);
    if (error) return error;
    int64_t from = row->rotates_at > now_ms ? row->rotates_at : now_ms;
    row->rotates_at = from + postpone->days * DAY_MS;
    change->action = "key.postpone";
    int64_t notice_at = rotation_notice_at(&tier.tier, row->rotates_at, step.created_at);
    return move_step(db, &step, row->rotates_at, notice_at, now_ms);
}

void postpone_init(struct postpone *postpone, uint32_t days)
{
    postpone->days = days;
    postpone->change.apply = postpone_apply;
    postpone->change.operation.run = key_change_run;
    postpone->change.operation.done = key_change_finish;
}
