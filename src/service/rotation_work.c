/* Doing a step. Runs on the committer's thread as one operation of a batch. What always holds: the
 * node's row is held first, so a fenced node does nothing; the step's row is locked and planned
 * again under the key's lock, so of several nodes that picked it one does it; and the next secret,
 * or the link to it, stands in the transaction that ends the wait for it. Keys and customers that
 * somebody else has locked are left for another time: a job never makes a caller's batch wait. */
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
#include "store/entitlement.h"
#include "store/node.h"

#include <stdio.h>

static int64_t now_of(const struct rotation_work *work)
{
    return work->operation.now_ms;
}

/* ---- what is the case ---- */

static enum err load(struct db *db, struct rotation_work *work)
{
    const struct rotation_pick *pick = &work->pick;
    struct entitlement_row entitlement;
    enum err error = node_hold(db, work->node, work->incarnation);
    if (!error) error = customer_try_lock(db, pick->customer_id, &work->arena, &work->customer);
    if (!error) error = api_key_try_lock(db, pick->key_id, &work->arena, &work->key);
    if (!error) error = rotation_lock(db, pick->key_id, pick->generation, pick->step, &work->row);
    if (!error) error = entitlement_find(db, work->customer.id, &work->arena, &entitlement);
    if (!error) error = tier_row_find(db, span_text(entitlement.tier), &work->tier);
    if (error) return error;
    work->suspended = entitlement_lapsed(&entitlement, now_of(work));
    uint32_t generation = pick->generation ? pick->generation : work->key.secret_version;
    return rotation_secrets(db, pick->key_id, generation, &work->old, &work->next);
}

static enum err facts_read(struct db *db, const struct rotation_work *work,
                           struct rotation_facts *facts)
{
    const struct api_key_row *key = &work->key;
    const struct rotation_row *row = &work->row;
    int64_t now_ms = now_of(work);
    bool replaced = work->next.there;
    bool ends = replaced && work->old.expires_at && work->old.expires_at != SECRET_END_OPEN;
    *facts = (struct rotation_facts){
        .issued_at = work->old.created_at,
        .rotates_at = key->rotates_at,
        .key_expires_at = key->expires_at,
        .off = key->rotation_off,
        .asleep = key->disabled || key->suspended || work->suspended ||
                  (key->expires_at && key->expires_at <= now_ms),
        .notified = row->step == ROTATION_ROTATE,
        .noticed_at = row->step == ROTATION_ROTATE ? row->waited_at : 0,
        .rotated_at = row->step == ROTATION_RETIRE ? row->created_at : 0,
        .by_claim = !replaced,
        .kept = row->number != 0,
        .delivered_at = row->step == ROTATION_RETIRE ? row->waited_at : 0,
        .used_at = row->used_at,
        .ends_at = ends ? work->old.expires_at : 0,
    };
    return row->step == ROTATION_ROTATE ? key_secret_overlaps(db, key->id, now_ms, &facts->overlaps)
                                        : ERR_OK;
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
    return alert_raise(db, kind, subject, work->customer.id, detail, now_of(work));
}

enum err rotation_work_finish(struct db *db, struct rotation_work *work,
                              enum rotation_status status)
{
    work->row.status = status;
    work->row.look_at = 0;
    work->row.done_at = now_of(work);
    return rotation_update(db, &work->row);
}

/* ---- the notice ---- */

static enum err notice_open_rotation(struct db *db, struct rotation_work *work, int64_t rotates_at,
                                     uint64_t *mail_id)
{
    const struct tier *tier = &work->tier.tier;
    struct notice notice CLEANUP(notice_done) = {.kind = "rotation_upcoming",
                                                 .customer = &work->customer,
                                                 .generation = work->row.generation,
                                                 .number = work->row.number};
    notice_open(&notice, &work->key, work->old.start);
    struct buf *out = &notice.context;
    json_put_i64(out, "rotates_at", rotates_at);
    if (work->old.last_used_at) json_put_i64(out, "last_used_at", work->old.last_used_at);
    json_put_i64(out, "grace", tier->grace_seconds);
    json_put_i64(out, "overlap", tier->hard_stop_days * DAY_MS / 1000);
    json_put_bool(out, "encrypted", work->customer.encrypts);
    return notice_queue(db, &work->operation, &notice, mail_id);
}

/* Nobody can be told: looked at each day, alerted once. */
static enum err nobody_to_tell(struct db *db, struct rotation_work *work)
{
    bool told = work->row.status == ROTATION_POSTPONED;
    work->row.status = ROTATION_POSTPONED;
    work->row.look_at = now_of(work) + ROTATION_SLEEP_S * INT64_C(1000);
    enum err error = rotation_update(db, &work->row);
    if (error || told) return error;
    return alert(db, work, ALERT_ROTATION_POSTPONED, "no_email");
}

static enum err do_notice(struct db *db, struct rotation_work *work)
{
    int64_t now_ms = now_of(work);
    int64_t soonest = now_ms + work->tier.tier.notice_days * DAY_MS;
    int64_t rotates_at = work->key.rotates_at > soonest ? work->key.rotates_at : soonest;
    struct rotation_row rotate = {.key_id = work->key.id,
                                  .generation = work->row.generation,
                                  .step = ROTATION_ROTATE,
                                  .status = ROTATION_NOTIFIED,
                                  .number = work->row.number,
                                  .due_at = rotates_at,
                                  .look_at = rotates_at,
                                  .created_at = now_ms};
    enum err error = notice_open_rotation(db, work, rotates_at, &rotate.waits_for);
    if (error == ERR_NOT_FOUND) return nobody_to_tell(db, work);
    if (!error) error = rotation_put(db, &rotate);
    if (!error) error = rotation_work_finish(db, work, ROTATION_HIDDEN);
    if (error) return error;
    work->key.rotates_at = rotates_at;
    work->did = ROTATION_NOTICE;
    audit(work, "key.rotation_notice", NULL);
    return api_key_update(db, &work->key);
}

/* ---- the rotation ---- */

static enum err tell_rotated(struct db *db, struct rotation_work *work, struct span token,
                             uint64_t *mail_id)
{
    struct notice notice CLEANUP(notice_done) = {
        .customer = &work->customer, .generation = work->row.generation, .token = token};
    secret_mail_rotated(&notice, &work->key, work->old.start, &work->tier.tier);
    if (!token.data) {
        notice.id = work->mail_id;
        notice.body = buf_span(&work->body);
    }
    return notice_queue(db, &work->operation, &notice, mail_id);
}

/* The next secret, sealed beforehand: it exists from here on, the old one works on. */
static enum err rotate_sealed(struct db *db, struct rotation_work *work, uint64_t *mail_id)
{
    struct key_secret_row made;
    int64_t now_ms = now_of(work);
    enum err error = key_secret_retire(db, work->key.id, SECRET_END_OPEN);
    if (!error) error = key_secret_remove(db, work->key.id, work->key.secret_version, now_ms, NULL);
    if (error) return error;
    work->key.secret_version++;
    work->key.rotates_at = rotation_date(&work->tier.tier, now_ms);
    operation_feed(&work->operation, FEED_KEY, work->key.id);
    error = key_change_add(db, &work->operation, &work->key, work->secret, &made);
    if (!error) error = tell_rotated(db, work, (struct span){0}, mail_id);
    if (!error) error = rotation_rows_begin(db, &work->key, &work->tier.tier, now_ms);
    return error;
}

/* A link: nothing is minted before it is used. */
static enum err rotate_by_claim(struct db *db, struct rotation_work *work)
{
    struct secret *token = NULL;
    enum err error = claim_issue(db, &work->operation, work->key.id, work->row.generation, &token);
    if (!error) error = tell_rotated(db, work, secret_span(token), NULL);
    secret_free(&token);
    work->key.rotates_at = 0;
    return error;
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
                                  .look_at = now_ms + work->tier.tier.max_overlap_days * DAY_MS,
                                  .created_at = now_ms};
    enum err error =
        sealed ? rotate_sealed(db, work, &retire.waits_for) : rotate_by_claim(db, work);
    if (!error) error = rotation_put(db, &retire);
    if (!error) error = rotation_remind_begin(db, &retire, now_ms);
    if (!error) error = rotation_work_finish(db, work, ROTATION_HIDDEN);
    if (error) return error;
    work->did = ROTATION_ROTATE;
    audit(work, "key.rotate", sealed ? "encrypted_mail" : "claim_link");
    return api_key_update(db, &work->key);
}

/* ---- the retirement ---- */

static enum err tell_retired(struct db *db, struct rotation_work *work)
{
    char shown[16];
    struct notice notice CLEANUP(notice_done) = {
        .kind = "retired", .customer = &work->customer, .generation = work->row.generation};
    notice_open(&notice, &work->key, work->old.start);
    if (work->next.there) {
        snprintf(shown, sizeof shown, "%.10s...", work->next.start);
        json_put_string(&notice.context, "new_key_start", shown);
    }
    json_put_i64(&notice.context, "retired_at", now_of(work));
    json_put_bool(&notice.context, "new_in_use", work->next.last_used_at != 0);
    enum err error = notice_queue(db, &work->operation, &notice, NULL);
    return error == ERR_NOT_FOUND ? ERR_OK : error; /* no address: then nobody is told */
}

static enum err do_retire(struct db *db, struct rotation_work *work)
{
    int64_t now_ms = now_of(work);
    bool by_admin = work->old.expires_at && work->old.expires_at != SECRET_END_OPEN;
    /* A link that nobody used, and the tier says `retire`: the key keeps its row, and ends. */
    enum err error = work->next.there
                         ? key_secret_remove(db, work->key.id, work->row.generation + 1, 0, NULL)
                         : key_secret_retire(db, work->key.id, now_ms);
    if (!error) error = claim_end(db, work->key.id, now_ms);
    if (!error) error = rotation_drop(db, work->key.id, ROTATION_DROP_REMINDERS);
    work->row.due_at = work->row.due_at ? work->row.due_at : now_ms;
    if (!error) error = rotation_work_finish(db, work, ROTATION_RETIRED);
    if (!error && (!by_admin || work->operation.service->mails)) error = tell_retired(db, work);
    if (error) return error;
    work->did = ROTATION_RETIRE;
    work->key.updated_at = now_ms;
    operation_feed(&work->operation, FEED_KEY, work->key.id);
    audit(work, "key.retire", NULL);
    return api_key_update(db, &work->key);
}

/* Nobody used the link for max_overlap_days, and the tier says `keep`. */
static enum err do_keep(struct db *db, struct rotation_work *work)
{
    audit(work, "key.rotation_keep", NULL);
    return alert(db, work, ALERT_CLAIM_UNCLAIMED,
                 work->next.there ? "mail_not_accepted" : "link_not_used");
}

/* ---- the operation ---- */

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
    enum err error = rotation_update(db, row);
    if (!error && alerts) error = alert(db, work, ALERT_ROTATION_POSTPONED, "notice_not_accepted");
    if (!error && plan->decide) error = do_keep(db, work);
    if (error || row->step != ROTATION_ROTATE || waits || work->key.rotates_at == plan->due_at)
        return error;
    work->key.rotates_at = plan->due_at; /* later than promised: the notice was late */
    return api_key_update(db, &work->key);
}

static enum err run_main(struct db *db, struct rotation_work *work)
{
    struct rotation_facts facts;
    enum err error = facts_read(db, work, &facts);
    if (error) return error;
    if (work->pick.used_at && !facts.used_at)
        facts.used_at = work->row.used_at = work->pick.used_at;
    struct rotation_plan plan = rotation_plan(&work->tier.tier, &facts, now_of(work));
    if (plan.step == ROTATION_NONE) return rotation_remove(db, &work->row);
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

static enum err work_run(struct db *db, struct operation *operation)
{
    struct rotation_work *work = CONTAINER_OF(operation, struct rotation_work, operation);
    arena_done(&work->arena);
    work->did = ROTATION_NONE;
    enum err error = load(db, work);
    if (error) return error;
    if (work->key.revoked_at) return rotation_remove(db, &work->row);
    if (work->row.step >= ROTATION_REMIND) return rotation_remind(db, work);
    if (work->row.step == ROTATION_EXPIRING) return rotation_expiring(db, work);
    return run_main(db, work);
}

void rotation_work_init(struct rotation_work *work)
{
    work->operation.run = work_run;
}

void rotation_work_done(struct rotation_work *work)
{
    secret_free(&work->secret);
    buf_done(&work->body);
    arena_done(&work->arena);
}
