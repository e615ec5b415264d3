/* Rotation and regeneration, on the committer's thread inside key_change_run. What always holds: in
 * the same transaction that gives the old secret its end the new one exists, so there is never a
 * moment without a working secret; and a secret that has ended leaves no hash behind once the next
 * one is made. */
#include "service/rotate.h"

#include "base/json.h"
#include "core/period.h"
#include "core/rotation.h"
#include "service/context.h"
#include "service/notice.h"
#include "service/rotation_rows.h"
#include "service/secret_mail.h"
#include "store/rotation.h"
#include "store/tier.h"

static enum err refuse_dead(struct operation *operation, const struct api_key_row *row)
{
    enum err error = key_change_refuse_revoked(operation, row);
    if (error || !row->expires_at || row->expires_at > operation->now_ms) return error;
    return problem_set(&operation->problem, 409, "key_expired",
                       "The key has expired; set a later expires_at first.");
}

/* What a mail names: the secret that was in use, read before it goes. */
static enum err start_of(struct db *db, const struct api_key_row *row, char start[11])
{
    struct rotation_secret current, next;
    enum err error = rotation_secrets(db, row->id, row->secret_version, &current, &next);
    if (!error) memcpy(start, current.start, sizeof current.start);
    return error;
}

/* The next secret, and the steps of its life. ends_at: the former one's; 0: it is dead. */
static enum err next_secret(struct db *db, struct key_change *change, struct api_key_row *row,
                            int64_t ends_at)
{
    struct tier_row tier;
    int64_t now_ms = change->operation.now_ms;
    enum err error = key_change_tier(db, row->customer_id, &change->arena, &tier);
    if (error) return error;
    row->secret_version++;
    row->rotates_at = row->rotation_off ? 0 : rotation_date(&tier.tier, now_ms);
    struct key_secret_row made;
    error = key_change_mint(db, &change->operation, row, &made, &change->secret);
    if (!error)
        error = ends_at ? rotation_rows_replace(db, row, ends_at, now_ms)
                        : rotation_rows_end(db, row, now_ms);
    return error ? error : rotation_rows_begin(db, row, &tier.tier, now_ms);
}

static enum err tell_rotated(struct db *db, struct key_change *change,
                             const struct api_key_row *row, const char *start, int64_t ends_at)
{
    struct tier_row tier;
    struct notice notice CLEANUP(notice_done) = {.generation = row->secret_version - 1};
    if (!change->operation.service->mails) return ERR_OK;
    enum err error = key_change_tier(db, row->customer_id, &change->arena, &tier);
    if (error) return error;
    secret_mail_rotated(&notice, row, start, &tier.tier);
    json_put_i64(&notice.context, "old_ends_at", ends_at);
    return notice_tell(db, &change->operation, &notice, row->customer_id);
}

static enum err rotate_apply(struct db *db, struct key_change *change, struct api_key_row *row)
{
    const struct rotate *rotate = CONTAINER_OF(change, struct rotate, change);
    int64_t now_ms = change->operation.now_ms;
    bool overlaps;
    enum err error = refuse_dead(&change->operation, row);
    if (!error) error = key_secret_overlaps(db, row->id, now_ms, &overlaps);
    if (error) return error;
    if (overlaps)
        return problem_set(&change->operation.problem, 409, "rotation_in_progress",
                           "Two secrets of the key work already; end the overlap first or wait "
                           "for its end.");
    char start[11];
    int64_t ends_at = now_ms + (int64_t)rotate->grace_s * 1000;
    error = start_of(db, row, start);
    if (!error) error = key_secret_retire(db, row->id, ends_at);
    if (!error) error = key_secret_remove(db, row->id, row->secret_version + 1, now_ms, NULL);
    if (!error) error = next_secret(db, change, row, ends_at);
    change->action = "key.rotate";
    if (error) return error;
    return tell_rotated(db, change, row, start, ends_at);
}

void rotate_init(struct rotate *rotate, uint32_t grace_s)
{
    rotate->grace_s = grace_s;
    rotate->change.apply = rotate_apply;
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

static enum err regenerate_apply(struct db *db, struct key_change *change, struct api_key_row *row)
{
    char start[11];
    enum err error = refuse_dead(&change->operation, row);
    if (!error) error = start_of(db, row, start);
    if (!error) error = key_secret_remove(db, row->id, row->secret_version + 1, 0, NULL);
    if (!error) error = next_secret(db, change, row, 0);
    change->action = "key.regenerate";
    if (error) return error;
    return notice_of_key(db, &change->operation, "regenerated", row, row->secret_version - 1, start,
                         "regenerated_at", change->operation.now_ms);
}

void regenerate_init(struct key_change *change)
{
    change->apply = regenerate_apply;
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
