/* Deciding a step and saying what is to be written for it. Called by a page (rotation_page.c) on
 * the committer's thread, everything that concerns it locked and read. What always holds: it is
 * planned again from what was read under the key's lock, so of several nodes that picked it one
 * does it; the next secret, or the link to it, stands in the transaction that ends the wait for it;
 * and what can fail for this key alone comes before the first statement of its own. */
#include "service/rotation_work.h"

#include "base/codec.h"
#include "base/json.h"
#include "core/api_key.h"
#include "core/period.h"
#include "crypto/key_hash.h"
#include "service/claim.h"
#include "service/context.h"
#include "service/key_change.h"
#include "service/notice.h"
#include "service/rotation_rows.h"
#include "service/secret_mail.h"
#include "store/alert.h"
#include "store/claim.h"

#include <assert.h>
#include <stdio.h>

static int64_t now_of(const struct rotation_work *work)
{
    return work->operation.now_ms;
}

/* ---- what is the case ---- */

static void facts_of(const struct rotation_work *work, struct rotation_facts *facts)
{
    const struct api_key_row *key = &work->key;
    const struct rotation_row *row = &work->row;
    int64_t now_ms = now_of(work);
    bool replaced = work->state.next.there;
    bool ends =
        replaced && work->state.old.expires_at && work->state.old.expires_at != SECRET_END_OPEN;
    *facts = (struct rotation_facts){
        .issued_at = work->state.old.created_at,
        .rotates_at = key->rotates_at,
        .key_expires_at = key->expires_at,
        .off = key->rotation_off,
        .asleep = key->disabled || key->suspended || work->suspended ||
                  (key->expires_at && key->expires_at <= now_ms),
        .overlaps = row->step == ROTATION_ROTATE && work->state.last_end > now_ms,
        .notified = row->step == ROTATION_ROTATE,
        .noticed_at = row->step == ROTATION_ROTATE ? row->waited_at : 0,
        .rotated_at = row->step == ROTATION_RETIRE ? row->created_at : 0,
        .by_claim = !replaced,
        .kept = row->number != 0,
        .delivered_at = row->step == ROTATION_RETIRE ? row->waited_at : 0,
        .used_at = row->used_at,
        .ends_at = ends ? work->state.old.expires_at : 0,
    };
}

/* ---- telling the record ---- */

static void audit(struct rotation_work *work, const char *action, const char *delivery)
{
    char subject[ID_TEXT_SIZE];
    const char *detail = arena_printf(&work->arena, "{\"generation\":%u%s%s%s}",
                                      work->pick.generation, delivery ? ",\"delivery\":\"" : "",
                                      delivery ? delivery : "", delivery ? "\"" : "");
    id_format(subject, "key", work->key.id);
    operation_audit(&work->operation, action, subject, work->customer.id, detail);
}

static enum err alert(struct db *db, struct rotation_work *work, const char *kind,
                      const char *reason)
{
    char subject[ID_TEXT_SIZE];
    const char *detail = arena_printf(&work->arena, "{\"reason\":\"%s\"}", reason);
    id_format(subject, "key", work->key.id);
    work->wrote = true;
    return alert_raise(db, kind, subject, work->customer.id, detail, now_of(work));
}

enum err rotation_work_unclaimed(struct db *db, struct rotation_work *work, const char *reason)
{
    return alert(db, work, ALERT_CLAIM_UNCLAIMED, reason);
}

/* ---- what is to be written ---- */

void rotation_work_put(struct rotation_work *work, const struct rotation_row *row)
{
    assert(work->row_count < ROTATION_WORK_ROWS);
    work->rows[work->row_count++] = *row;
}

void rotation_work_finish(struct rotation_work *work, enum rotation_status status)
{
    work->row.status = status;
    work->row.look_at = 0;
    work->row.done_at = now_of(work);
    rotation_work_put(work, &work->row);
}

enum err rotation_work_drop(struct db *db, struct rotation_work *work)
{
    work->wrote = true;
    return rotation_remove(db, &work->row);
}

enum err rotation_work_mail(struct rotation_work *work, struct notice *notice, uint64_t *mail_id)
{
    enum err error = notice_write(&work->operation, notice, &work->arena, &work->mail);
    work->mails = !error;
    if (!error && mail_id) *mail_id = work->mail.id;
    return error;
}

void rotation_work_link(struct rotation_work *work, struct notice *notice)
{
    claim_announce(&work->operation, work->key.id, work->row.generation, &work->link);
    work->links = notice->with_link = true;
}

/* ---- the notice ---- */

static enum err notice_open_rotation(struct rotation_work *work, int64_t rotates_at,
                                     uint64_t *mail_id)
{
    const struct tier *tier = work->tier;
    struct notice notice CLEANUP(notice_done) = {.kind = "rotation_upcoming",
                                                 .customer = &work->customer,
                                                 .generation = work->row.generation,
                                                 .number = work->row.number};
    notice_open(&notice, &work->key, work->state.old.start);
    struct buf *out = &notice.context;
    json_put_i64(out, "rotates_at", rotates_at);
    if (work->state.old.last_used_at)
        json_put_i64(out, "last_used_at", work->state.old.last_used_at);
    json_put_i64(out, "grace", tier->grace_seconds);
    json_put_i64(out, "overlap", tier->hard_stop_days * DAY_MS / 1000);
    json_put_bool(out, "encrypted", work->customer.encrypts);
    return rotation_work_mail(work, &notice, mail_id);
}

/* Nobody can be told: looked at each day, alerted once. */
static enum err nobody_to_tell(struct db *db, struct rotation_work *work)
{
    bool told = work->row.status == ROTATION_POSTPONED;
    work->row.status = ROTATION_POSTPONED;
    work->row.look_at = now_of(work) + ROTATION_SLEEP_S * INT64_C(1000);
    rotation_work_put(work, &work->row);
    if (told) return ERR_OK;
    return alert(db, work, ALERT_ROTATION_POSTPONED, "no_email");
}

static enum err do_notice(struct db *db, struct rotation_work *work)
{
    int64_t now_ms = now_of(work);
    int64_t soonest = now_ms + work->tier->notice_days * DAY_MS;
    int64_t rotates_at = work->key.rotates_at > soonest ? work->key.rotates_at : soonest;
    struct rotation_row rotate = {.key_id = work->key.id,
                                  .generation = work->row.generation,
                                  .step = ROTATION_ROTATE,
                                  .status = ROTATION_NOTIFIED,
                                  .number = work->row.number,
                                  .due_at = rotates_at,
                                  .look_at = rotates_at,
                                  .created_at = now_ms};
    enum err error = notice_open_rotation(work, rotates_at, &rotate.waits_for);
    if (error == ERR_NOT_FOUND) return nobody_to_tell(db, work);
    if (error) return error;
    rotation_work_put(work, &rotate);
    rotation_work_finish(work, ROTATION_HIDDEN);
    work->key.rotates_at = rotates_at;
    work->key_changed = true;
    work->did = ROTATION_NOTICE;
    audit(work, "key.rotation_notice", NULL);
    return ERR_OK;
}

/* ---- the rotation ---- */

static enum err tell_rotated(struct rotation_work *work, uint64_t *mail_id)
{
    struct notice notice CLEANUP(notice_done) = {.customer = &work->customer,
                                                 .generation = work->row.generation};
    secret_mail_rotated(&notice, &work->key, work->state.old.start, work->tier);
    if (work->secret) {
        notice.id = work->mail_id;
        notice.body = buf_span(&work->body);
    } else {
        rotation_work_link(work, &notice);
    }
    return rotation_work_mail(work, &notice, mail_id);
}

/* The next secret, sealed beforehand: it exists from here on, the old one works on. */
static enum err rotate_sealed(struct db *db, struct rotation_work *work, uint64_t *mail_id)
{
    struct rotation_row notice;
    int64_t now_ms = now_of(work);
    enum err error = tell_rotated(work, mail_id);
    if (error) return error;
    work->wrote = true;
    error = key_secret_retire(db, work->key.id, SECRET_END_OPEN);
    if (!error && work->state.last_end)
        error = key_secret_remove(db, work->key.id, work->key.secret_version, now_ms, NULL);
    work->key.secret_version++;
    work->key.rotates_at = rotation_date(work->tier, now_ms);
    operation_feed(&work->operation, FEED_KEY, work->key.id);
    key_change_secret(&work->operation, &work->key, work->secret, &work->made);
    work->makes = true;
    if (rotation_rows_notice(&work->key, work->tier, now_ms, &notice))
        rotation_work_put(work, &notice);
    return error;
}

/* A link: nothing is minted before it is used. */
static enum err rotate_by_claim(struct rotation_work *work)
{
    work->key.rotates_at = 0;
    return tell_rotated(work, NULL);
}

static enum err do_rotate(struct db *db, struct rotation_work *work)
{
    int64_t now_ms = now_of(work);
    bool sealed = work->secret != NULL;
    if (!work->customer.email_sealed.data) return nobody_to_tell(db, work);
    /* The encryption key may have been replaced since: sealed anew at the next look. */
    if (sealed && work->customer_at != work->customer.updated_at) return ERR_NOT_FOUND;
    struct rotation_row retire = {.key_id = work->key.id,
                                  .generation = work->row.generation,
                                  .step = ROTATION_RETIRE,
                                  .status = ROTATION_ROTATED,
                                  .look_at = now_ms + work->tier->max_overlap_days * DAY_MS,
                                  .created_at = now_ms};
    enum err error = sealed ? rotate_sealed(db, work, &retire.waits_for) : rotate_by_claim(work);
    if (error) return error;
    rotation_work_put(work, &retire);
    rotation_remind_begin(work, &retire);
    rotation_work_finish(work, ROTATION_HIDDEN);
    work->key_changed = true;
    work->did = ROTATION_ROTATE;
    audit(work, "key.rotate", sealed ? "encrypted_mail" : "claim_link");
    return ERR_OK;
}

/* ---- the retirement ---- */

static enum err tell_retired(struct rotation_work *work)
{
    char shown[16];
    struct notice notice CLEANUP(notice_done) = {
        .kind = "retired", .customer = &work->customer, .generation = work->row.generation};
    notice_open(&notice, &work->key, work->state.old.start);
    if (work->state.next.there) {
        snprintf(shown, sizeof shown, "%.10s...", work->state.next.start);
        json_put_string(&notice.context, "new_key_start", shown);
    }
    json_put_i64(&notice.context, "retired_at", now_of(work));
    json_put_bool(&notice.context, "new_in_use", work->state.next.last_used_at != 0);
    enum err error = rotation_work_mail(work, &notice, NULL);
    return error == ERR_NOT_FOUND ? ERR_OK : error; /* no address: then nobody is told */
}

/* A link that nobody used, and the tier says `retire`: the secret keeps its row, and ends. */
static enum err retire_unclaimed(struct db *db, struct rotation_work *work)
{
    int64_t now_ms = now_of(work);
    work->wrote = true;
    enum err error = key_secret_retire(db, work->key.id, now_ms);
    if (!error) error = claim_end(db, work->key.id, now_ms);
    return error ? error : rotation_drop(db, work->key.id, ROTATION_DROP_REMINDERS);
}

static enum err do_retire(struct db *db, struct rotation_work *work)
{
    int64_t now_ms = now_of(work);
    bool by_admin = work->state.old.expires_at && work->state.old.expires_at != SECRET_END_OPEN;
    enum err error = !by_admin || work->operation.service->mails ? tell_retired(work) : ERR_OK;
    if (error) return error;
    work->ends = work->state.next.there;
    if (!work->ends) error = retire_unclaimed(db, work);
    if (error) return error;
    work->row.due_at = work->row.due_at ? work->row.due_at : now_ms;
    rotation_work_finish(work, ROTATION_RETIRED);
    work->did = ROTATION_RETIRE;
    work->key.updated_at = now_ms;
    work->key_changed = true;
    operation_feed(&work->operation, FEED_KEY, work->key.id);
    audit(work, "key.retire", NULL);
    return ERR_OK;
}

/* Nobody used the link for max_overlap_days, and the tier says `keep`. */
static enum err do_keep(struct db *db, struct rotation_work *work)
{
    audit(work, "key.rotation_keep", NULL);
    return rotation_work_unclaimed(db, work,
                                   work->state.next.there ? "mail_not_accepted" : "link_not_used");
}

/* ---- which it is ---- */

/* Not due, or held back: when to look again, and what lists say meanwhile. */
static enum err look_again(struct db *db, struct rotation_work *work,
                           const struct rotation_plan *plan)
{
    struct rotation_row *row = &work->row;
    bool waits = row->step == ROTATION_ROTATE && !row->waited_at;
    bool alerts = plan->held && waits && row->status != ROTATION_POSTPONED;
    if (plan->held) row->status = ROTATION_POSTPONED;
    if (!plan->held && row->step == ROTATION_ROTATE) row->status = ROTATION_NOTIFIED;
    if (!plan->held && row->step == ROTATION_NOTICE) row->status = ROTATION_SCHEDULED;
    row->due_at = plan->due_at;
    row->look_at = plan->look_at;
    if (plan->decide) row->number = 1;
    rotation_work_put(work, row);
    enum err error = ERR_OK;
    if (alerts) error = alert(db, work, ALERT_ROTATION_POSTPONED, "notice_not_accepted");
    if (!error && plan->decide) error = do_keep(db, work);
    if (error || row->step != ROTATION_ROTATE || waits || work->key.rotates_at == plan->due_at)
        return error;
    work->key.rotates_at = plan->due_at; /* later than promised: the notice was late */
    work->key_changed = true;
    return ERR_OK;
}

static enum err run_main(struct db *db, struct rotation_work *work)
{
    struct rotation_facts facts;
    facts_of(work, &facts);
    if (work->pick.used_at && !facts.used_at)
        facts.used_at = work->row.used_at = work->pick.used_at;
    struct rotation_plan plan = rotation_plan(work->tier, &facts, now_of(work));
    if (plan.step == ROTATION_NONE) return rotation_work_drop(db, work);
    if (!plan.due) return look_again(db, work, &plan);
    switch (plan.step) {
    case ROTATION_NOTICE:
        return do_notice(db, work);
    case ROTATION_ROTATE:
        return do_rotate(db, work);
    case ROTATION_RETIRE:
        return do_retire(db, work);
    case ROTATION_NONE:
    case ROTATION_EXPIRING:
    case ROTATION_REMIND:
        break;
    }
    return ERR_INVALID;
}

enum err rotation_work_decide(struct db *db, struct rotation_work *work)
{
    if (work->key.revoked_at) return rotation_work_drop(db, work);
    if (work->row.step >= ROTATION_REMIND) return rotation_remind(db, work);
    if (work->row.step == ROTATION_EXPIRING) return rotation_expiring(work);
    return run_main(db, work);
}

void rotation_work_init(struct rotation_work *work)
{
    work->operation.run_many = rotation_page_run;
}

void rotation_work_done(struct rotation_work *work)
{
    secret_free(&work->secret);
    buf_done(&work->body);
    arena_done(&work->arena);
}
