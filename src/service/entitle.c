/* Changes of an entitlement. Called by sign-ups' successors: edits, readings, approvals, the clock;
 * on the committer's thread, in the operation's transaction. What always holds: keys, feed, mail
 * and audit rows stand in the transaction that changed the entitlement, so no node goes on with
 * what it was, and a change is told once. */
#include "service/entitle.h"

#include "base/buf.h"
#include "base/codec.h"
#include "base/json.h"
#include "conf/settings.h"
#include "core/period.h"
#include "service/context.h"
#include "service/notice.h"
#include "service/operation.h"
#include "store/alert.h"

enum { NAMED_KEYS = 20, MINUTE_MS = 60000 };

static enum err rules_read(struct db *db, struct entitle *entitle)
{
    const struct settings *settings = entitle->operation->service->settings;
    const struct entitlement *now = &entitle->before;
    struct pay_rules *rules = &entitle->rules;
    struct tier_row tier;
    *rules = (struct pay_rules){
        .grace_ms = settings->payment.grace_days * DAY_MS,
        .ends_at_once = settings->payment.lapse == SETTINGS_AT_ONCE,
        .lower_at_once = settings->payment.downgrade == SETTINGS_AT_ONCE,
    };
    enum err error = tier_row_find(db, SPAN(FREE_TIER), &tier);
    rules->has_free = !error;
    if (error && error != ERR_NOT_FOUND) return error;
    error = tier_row_find(db, span_text(now->paid_tier[0] ? now->paid_tier : now->tier), &tier);
    rules->on_lapse = error ? ON_LAPSE_SUSPEND : tier.tier.on_lapse;
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

enum err entitle_open(struct db *db, struct entitle *entitle)
{
    enum err error = entitlement_find(db, entitle->customer->id, entitle->arena, &entitle->row);
    if (!error) error = entitlement_open(&entitle->row, &entitle->before);
    if (error) return error;
    entitle->after = entitle->before;
    return rules_read(db, entitle);
}

enum err entitle_read(struct db *db, struct entitle *entitle, struct pay_facts *facts)
{
    struct tier_row bought, now;
    if (facts->tier) {
        enum err error = tier_row_find(db, span_text(facts->tier), &bought);
        if (error) return error;
        error = tier_row_find(db, span_text(entitle->after.tier), &now);
        if (error && error != ERR_NOT_FOUND) return error;
        facts->lower = !error && tier_is_lower(&bought.tier, &now.tier);
    }
    entitlement_read(&entitle->after, facts, &entitle->rules, entitle->operation->now_ms);
    return ERR_OK;
}

bool entitle_differs(const struct entitle *entitle)
{
    return entitle->renamed || !entitlement_equal(&entitle->before, &entitle->after);
}

const char *entitle_status(const char *state)
{
    return span_is(span_text(state), "downgraded") ? "active" : state;
}

static void put_state(struct buf *out, const char *name, const struct entitlement *entitlement)
{
    json_open(out, name, '{');
    json_put_string(out, "tier", entitlement->tier);
    json_put_string(out, "status", entitlement_state_name(entitlement->state));
    json_put_string(out, "payment", pay_status_name(entitlement->payment));
    json_put_time(out, "period_end", entitlement->period_end);
    json_put_time(out, "grace_until", entitlement->ends_at);
    if (entitlement->later_tier[0]) json_put_string(out, "later_tier", entitlement->later_tier);
    json_close(out, '}');
}

const char *entitle_describe(const struct entitlement *entitlement, struct arena *arena)
{
    struct buf out CLEANUP(buf_done) = {0};
    put_state(&out, NULL, entitlement);
    return out.failed ? NULL : arena_copy(arena, buf_span(&out));
}

/* ---- mail ---- */

struct suspended {
    struct suspended_key keys[NAMED_KEYS];
    size_t count;
};

static void put_keys(struct buf *out, const struct suspended *suspended)
{
    size_t named = suspended->count < NAMED_KEYS ? suspended->count : NAMED_KEYS;
    json_open(out, "keys", '[');
    for (size_t i = 0; i < named; i++) {
        json_open(out, NULL, '{');
        if (suspended->keys[i].title[0])
            json_put_string(out, "key_title", suspended->keys[i].title);
        json_put_id(out, "key_id", "key", suspended->keys[i].id);
        json_close(out, '}');
    }
    json_close(out, ']');
    if (suspended->count > named) json_put_u64(out, "more_keys", suspended->count - named);
}

/* `time_name` NULL: none. */
static enum err tell(struct db *db, struct entitle *entitle, const char *kind, uint32_t generation,
                     uint32_t number, const char *time_name, int64_t time_ms,
                     const struct suspended *suspended)
{
    struct notice notice CLEANUP(notice_done) = {
        .kind = kind, .customer = entitle->customer, .generation = generation, .number = number};
    if (!entitle->operation->service->mails) return ERR_OK;
    struct buf *out = &notice.context;
    json_open(out, NULL, '{');
    json_put_string(out, "tier", suspended ? entitle->after.tier : entitle->after.paid_tier);
    if (suspended) json_put_string(out, "former_tier", entitle->before.tier);
    if (time_name) json_put_i64(out, time_name, time_ms);
    if (suspended) put_keys(out, suspended);
    enum err error = notice_queue(db, entitle->operation, &notice, NULL);
    return error == ERR_NOT_FOUND || error == ERR_EXISTS ? ERR_OK : error;
}

static enum err tell_news(struct db *db, struct entitle *entitle, const struct suspended *suspended)
{
    const struct entitlement *after = &entitle->after;
    int64_t now_ms = entitle->operation->now_ms;
    switch (entitlement_news(&entitle->before, after)) {
    case NEWS_PAYMENT_FAILED:
        return tell(db, entitle, "payment_failed", after->lapses, 0, "ends_at", after->ends_at,
                    NULL);
    case NEWS_SUSPENDED:
        return tell(db, entitle, "suspended", after->lapses, 0, "suspended_at", now_ms, NULL);
    case NEWS_RESTORED:
        return tell(db, entitle, "payment_restored", after->lapses, 0, "restored_at", now_ms, NULL);
    case NEWS_DOWNGRADED:
    case NEWS_NONE:
        break;
    }
    bool fell = after->state == ENTITLED_DOWNGRADED && entitle->before.state != after->state;
    if (!fell && !suspended->count) return ERR_OK;
    return tell(db, entitle, "downgraded", (uint32_t)(now_ms / MINUTE_MS), 0, "downgraded_at",
                now_ms, suspended);
}

/* Once for each reminder that has come due; the last one alone if several have. The operator is
 * told by an alert. */
static enum err remind(struct db *db, struct entitle *entitle)
{
    struct entitlement *after = &entitle->after;
    uint32_t due = entitlement_reminders(after, entitle->operation->now_ms);
    char subject[ID_TEXT_SIZE];
    if (due <= after->reminded) return ERR_OK;
    after->reminded = due;
    enum err error = tell(db, entitle, "payment_ending", (uint32_t)(after->ends_at / MINUTE_MS),
                          due, "ends_at", after->ends_at, NULL);
    if (error || !span_is(span_text(entitle->row.provider), "approval")) return error;
    id_format(subject, "cus", entitle->customer->id);
    return alert_raise(db, ALERT_APPROVAL_ENDING, subject, entitle->customer->id, NULL,
                       entitle->operation->now_ms);
}

/* ---- saving ---- */

static enum err fit_keys(struct db *db, struct entitle *entitle, struct suspended *suspended)
{
    struct tier_row tier;
    if (strcmp(entitle->before.tier, entitle->after.tier) == 0) return ERR_OK;
    enum err error = tier_row_find(db, span_text(entitle->after.tier), &tier);
    if (!error)
        error = entitlement_fit_keys(db, entitle->customer->id, tier.tier.max_keys,
                                     entitle->operation->now_ms, entitle->arena, suspended->keys,
                                     NAMED_KEYS, &suspended->count);
    entitle->keys_suspended = suspended->count;
    return error;
}

static enum err record(struct entitle *entitle)
{
    struct buf out CLEANUP(buf_done) = {0};
    char subject[ID_TEXT_SIZE];
    json_open(&out, NULL, '{');
    json_put_string(&out, "cause", entitle->cause);
    put_state(&out, "before", &entitle->before);
    put_state(&out, "after", &entitle->after);
    if (entitle->keys_suspended) json_put_u64(&out, "keys_suspended", entitle->keys_suspended);
    json_close(&out, '}');
    const char *detail = out.failed ? NULL : arena_copy(entitle->arena, buf_span(&out));
    if (!detail) return ERR_NO_MEMORY;
    id_format(subject, "cus", entitle->customer->id);
    operation_feed(entitle->operation, FEED_CUSTOMER, entitle->customer->id);
    operation_audit(entitle->operation, "customer.entitlement", subject, entitle->customer->id,
                    detail);
    return ERR_OK;
}

/* An approval says nothing of when months begin, nor does what is not paid. */
static void months_follow(struct entitle *entitle)
{
    const struct entitlement *after = &entitle->after;
    struct entitlement_row *row = &entitle->row;
    if (!after->period_start || !pay_status_pays(after->payment) ||
        span_is(span_text(row->provider), "approval"))
        return;
    row->months = period_anchor(&row->months, after->period_start, entitle->operation->now_ms);
}

enum err entitle_save(struct db *db, struct entitle *entitle)
{
    struct suspended suspended = {.count = 0};
    enum err error = remind(db, entitle);
    if (error || !entitle_differs(entitle)) return error;
    months_follow(entitle);
    entitlement_close(&entitle->row, &entitle->after);
    entitle->row.updated_at = entitle->operation->now_ms;
    error = entitlement_update(db, &entitle->row);
    if (!error) error = fit_keys(db, entitle, &suspended);
    if (!error) error = tell_news(db, entitle, &suspended);
    return error ? error : record(entitle);
}
