/* Rotation and regeneration, on the committer's thread inside key_change_run. What always holds: in
 * the same transaction that gives the old secret its end the new one exists, so there is never a
 * moment without a working secret; and a secret that has ended leaves no hash behind once the next
 * one is made. */
#include "service/rotate.h"

#include "core/period.h"
#include "store/tier.h"

static enum err refuse_dead(struct operation *operation, const struct api_key_row *row)
{
    enum err error = key_change_refuse_revoked(operation, row);
    if (error || !row->expires_at || row->expires_at > operation->now_ms) return error;
    return problem_set(&operation->problem, 409, "key_expired",
                       "The key has expired; set a later expires_at first.");
}

/* The next secret, and when it is due to be followed. */
static enum err next_secret(struct db *db, struct key_change *change, struct api_key_row *row)
{
    struct tier_row tier;
    enum err error = key_change_tier(db, row->customer_id, &change->arena, &tier);
    if (error) return error;
    row->secret_version++;
    row->rotates_at =
        tier.tier.rotation_days ? change->operation.now_ms + tier.tier.rotation_days * DAY_MS : 0;
    struct key_secret_row made;
    return key_change_mint(db, &change->operation, row, &made, &change->secret);
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
    error = key_secret_retire(db, row->id, now_ms + (int64_t)rotate->grace_s * 1000);
    if (!error) error = key_secret_remove(db, row->id, row->secret_version + 1, now_ms, NULL);
    if (!error) error = next_secret(db, change, row);
    change->action = "key.rotate";
    return error;
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
    if (!error && removed) change->action = "key.end_overlap";
    return error;
}

void rotate_end_init(struct key_change *change)
{
    change->apply = end_apply;
    change->operation.run = key_change_run;
    change->operation.done = key_change_finish;
}

static enum err regenerate_apply(struct db *db, struct key_change *change, struct api_key_row *row)
{
    enum err error = refuse_dead(&change->operation, row);
    if (!error) error = key_secret_remove(db, row->id, row->secret_version + 1, 0, NULL);
    if (!error) error = next_secret(db, change, row);
    change->action = "key.regenerate";
    return error;
}

void regenerate_init(struct key_change *change)
{
    change->apply = regenerate_apply;
    change->operation.run = key_change_run;
    change->operation.done = key_change_finish;
}
