/* Reminders, and the notice before a key's own end. Called by rotation_work.c on the committer's
 * thread with everything locked. What always holds: a day has one row and one mail at most; a
 * reminder of a link brings a link of its own, because the former one's token is known to nobody
 * any more; both lead to the same secret, and the first that is used ends the other. */
#include "service/rotation_work.h"

#include "base/json.h"
#include "core/network.h"
#include "core/period.h"
#include "service/claim.h"
#include "service/notice.h"
#include "service/rotation_rows.h"
#include "store/alert.h"
#include "store/claim.h"
#include "store/secret_network.h"

#include <stdio.h>

enum { NETWORKS_NAMED = 10 };

void rotation_remind_begin(struct rotation_work *work, const struct rotation_row *retirement)
{
    struct rotation_row row;
    rotation_rows_reminder(&work->key, 0, work->operation.now_ms, &row);
    row.generation = retirement->generation; /* the key's own is the next one's already */
    rotation_work_put(work, &row);
}

/* Tomorrow's. */
static void remind_again(struct rotation_work *work)
{
    int64_t now_ms = work->operation.now_ms;
    struct rotation_row next = {.key_id = work->key.id,
                                .generation = work->row.generation,
                                .step = work->row.step + 1,
                                .due_at = now_ms + DAY_MS,
                                .look_at = now_ms + DAY_MS,
                                .created_at = now_ms};
    rotation_work_put(work, &next);
}

/* old_ends_at 0: not before the new one is claimed, or there is no old one. */
static enum err remind_claim(struct rotation_work *work, int64_t issued_at, int64_t old_ends_at)
{
    struct notice notice CLEANUP(notice_done) = {.kind = "claim_reminder",
                                                 .customer = &work->customer,
                                                 .generation = work->row.generation,
                                                 .number =
                                                     (uint32_t)(work->row.step - ROTATION_REMIND)};
    rotation_work_link(work, &notice);
    notice_open(&notice, &work->key, work->state.old.start);
    json_put_i64(&notice.context, "issued_at", issued_at);
    if (old_ends_at) json_put_i64(&notice.context, "old_ends_at", old_ends_at);
    enum err error = rotation_work_mail(work, &notice, NULL);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

static void network_put(struct buf *out, const struct secret_network *row)
{
    char text[ADDRESS_TEXT_SIZE], cidr[ADDRESS_TEXT_SIZE + 4];
    struct address address = {.length = row->length};
    memcpy(address.bytes, row->network, row->length);
    address_format(&address, text);
    snprintf(cidr, sizeof cidr, "%s/%d", text, row->length == 4 ? 24 : 64);
    json_open(out, NULL, '{');
    json_put_string(out, "network", cidr);
    json_put_i64(out, "last_used_at", row->last_used_at);
    json_close(out, '}');
}

/* Those of the day that the reminder is about. */
static enum err networks_put(struct db *db, const struct rotation_work *work, struct buf *out)
{
    struct secret_network rows[NETWORKS_NAMED];
    size_t count, total;
    enum err error = secret_networks(db, work->key.id, work->row.generation, work->row.created_at,
                                     rows, COUNT_OF(rows), &count, &total);
    if (error) return error;
    json_open(out, "networks", '[');
    for (size_t i = 0; i < count; i++)
        network_put(out, &rows[i]);
    json_close(out, ']');
    if (total > count) json_put_u64(out, "more_networks", total - count);
    return ERR_OK;
}

static enum err remind_old(struct db *db, struct rotation_work *work,
                           const struct rotation_row *retirement)
{
    char shown[16];
    struct notice notice CLEANUP(notice_done) = {.kind = "old_secret_in_use",
                                                 .customer = &work->customer,
                                                 .generation = work->row.generation,
                                                 .number =
                                                     (uint32_t)(work->row.step - ROTATION_REMIND)};
    notice_open(&notice, &work->key, work->state.old.start);
    snprintf(shown, sizeof shown, "%.10s...", work->state.next.start);
    json_put_string(&notice.context, "new_key_start", shown);
    json_put_i64(&notice.context, "old_ends_at", retirement->due_at);
    enum err error = networks_put(db, work, &notice.context);
    if (!error) error = rotation_work_mail(work, &notice, NULL);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

/* The key has no secret at all, only a link to one. */
static enum err remind_waiting(struct db *db, struct rotation_work *work)
{
    const struct api_key_row *key = &work->key;
    int64_t now_ms = work->operation.now_ms, since = 0;
    bool waits = key->secret_version == work->row.generation && !work->state.old.there &&
                 (!key->expires_at || key->expires_at > now_ms);
    enum err error = ERR_OK;
    if (waits) error = claim_waiting_since(db, key->id, work->row.generation, &since);
    if (error) return error;
    if (!since) return rotation_work_drop(db, work);
    bool goes_on = now_ms < since + work->tier->max_overlap_days * DAY_MS;
    bool asleep = key->disabled || key->suspended || work->suspended;
    if (goes_on && !asleep) error = remind_claim(work, since, 0);
    if (!error && !goes_on) error = rotation_work_unclaimed(db, work, "link_not_used");
    if (error) return error;
    rotation_work_finish(work, ROTATION_HIDDEN);
    work->did = ROTATION_REMIND;
    if (goes_on) remind_again(work);
    return ERR_OK;
}

enum err rotation_remind(struct db *db, struct rotation_work *work)
{
    const struct rotation_row *retirement = &work->state.retirement;
    int64_t now_ms = work->operation.now_ms, ends_at = retirement->due_at;
    bool claimed = work->state.next.there, goes_on = true;
    enum err error = ERR_OK;
    if (!retirement->key_id) return remind_waiting(db, work);
    if (!claimed) {
        bool retires = work->tier->on_unclaimed == ON_UNCLAIMED_RETIRE;
        ends_at = retirement->created_at + work->tier->max_overlap_days * DAY_MS;
        goes_on = now_ms < ends_at;
        if (goes_on) error = remind_claim(work, retirement->created_at, retires ? ends_at : 0);
    } else if (ends_at) {
        goes_on = now_ms < ends_at;
        bool used = work->state.old.last_used_at > work->row.created_at;
        if (goes_on && used) error = remind_old(db, work, retirement);
    }
    if (error) return error;
    rotation_work_finish(work, ROTATION_HIDDEN);
    work->did = ROTATION_REMIND;
    if (goes_on) remind_again(work);
    return ERR_OK;
}

enum err rotation_expiring(struct rotation_work *work)
{
    int64_t now_ms = work->operation.now_ms;
    struct notice notice CLEANUP(notice_done) = {
        .kind = "expiring", .customer = &work->customer, .number = work->row.number};
    enum err error = ERR_OK;
    if (work->key.expires_at > now_ms) {
        notice_open(&notice, &work->key, work->state.old.start);
        json_put_i64(&notice.context, "expires_at", work->key.expires_at);
        if (work->state.old.last_used_at)
            json_put_i64(&notice.context, "last_used_at", work->state.old.last_used_at);
        error = rotation_work_mail(work, &notice, NULL);
        if (error == ERR_NOT_FOUND) error = ERR_OK;
    }
    if (error) return error;
    work->did = ROTATION_EXPIRING;
    rotation_work_finish(work, ROTATION_HIDDEN);
    return ERR_OK;
}
