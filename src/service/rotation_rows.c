/* Rows of steps around changes of a key. Called by the use cases that make, replace and end
 * secrets, on the committer's thread, under the key's lock. What always holds: a key that lives and
 * rotates has exactly one pending notice, rotation or retirement of its newest generation. */
#include "service/rotation_rows.h"

#include "core/period.h"
#include "store/api_key.h"
#include "store/claim.h"
#include "store/rotation.h"

bool rotation_rows_notice(const struct api_key_row *row, const struct tier *tier, int64_t issued_at,
                          struct rotation_row *notice)
{
    if (!row->rotates_at || row->rotation_off) return false;
    int64_t at = rotation_notice_at(tier, row->rotates_at, issued_at);
    *notice = (struct rotation_row){.key_id = row->id,
                                    .generation = row->secret_version,
                                    .step = ROTATION_NOTICE,
                                    .status = ROTATION_SCHEDULED,
                                    .due_at = at,
                                    .look_at = at,
                                    .created_at = issued_at};
    return true;
}

enum err rotation_rows_begin(struct db *db, const struct api_key_row *row, const struct tier *tier,
                             int64_t issued_at)
{
    struct rotation_row notice;
    if (!rotation_rows_notice(row, tier, issued_at, &notice)) return ERR_OK;
    return rotation_put(db, &notice, 1);
}

void rotation_rows_reminder(const struct api_key_row *row, uint32_t made, int64_t now_ms,
                            struct rotation_row *reminder)
{
    *reminder = (struct rotation_row){.key_id = row->id,
                                      .generation = row->secret_version,
                                      .step = ROTATION_REMIND + (int)made,
                                      .due_at = now_ms + DAY_MS,
                                      .look_at = now_ms + DAY_MS,
                                      .created_at = now_ms};
}

enum err rotation_rows_expiry(struct db *db, const struct api_key_row *row, const struct tier *tier,
                              int64_t now_ms)
{
    struct rotation_row before;
    enum err error = rotation_lock_any(db, row->id, 0, ROTATION_EXPIRING, &before);
    if (error && error != ERR_NOT_FOUND) return error;
    uint32_t number = error ? 0 : before.number + 1;
    if (!row->expires_at) return error ? ERR_OK : rotation_remove(db, &before);
    int64_t at = rotation_notice_at(tier, row->expires_at, now_ms);
    struct rotation_row notice = {.key_id = row->id,
                                  .step = ROTATION_EXPIRING,
                                  .number = number,
                                  .due_at = at,
                                  .look_at = at,
                                  .created_at = now_ms};
    return rotation_put(db, &notice, 1);
}

enum err rotation_rows_replace(struct db *db, const struct api_key_row *row, int64_t ends_at,
                               int64_t now_ms)
{
    struct rotation_row retirement = {.key_id = row->id,
                                      .generation = row->secret_version - 1,
                                      .step = ROTATION_RETIRE,
                                      .status = ROTATION_ROTATED,
                                      .due_at = ends_at,
                                      .look_at = ends_at,
                                      .created_at = now_ms};
    enum err error = rotation_drop(db, row->id, ROTATION_DROP_SECRETS);
    if (!error) error = claim_end(db, row->id, now_ms);
    return error ? error : rotation_put(db, &retirement, 1);
}

enum err rotation_rows_end(struct db *db, const struct api_key_row *row, int64_t now_ms)
{
    enum err error =
        rotation_drop(db, row->id, row->revoked_at ? ROTATION_DROP_ALL : ROTATION_DROP_SECRETS);
    return error ? error : claim_end(db, row->id, now_ms);
}

enum err rotation_rows_retired(struct db *db, const struct api_key_row *row, int64_t now_ms)
{
    struct rotation_row retirement;
    enum err error = rotation_lock_retirement(db, row->id, &retirement);
    if (error) return error == ERR_NOT_FOUND ? ERR_OK : error;
    if (retirement.generation == row->secret_version) return ERR_OK; /* a link is waiting */
    retirement.status = ROTATION_RETIRED;
    retirement.look_at = 0;
    retirement.due_at = retirement.done_at = now_ms;
    error = rotation_drop(db, row->id, ROTATION_DROP_REMINDERS);
    return error ? error : rotation_update(db, &retirement);
}
