/* What comes next in the life of a secret. Called by the rotation's operations on the committer's
 * thread, and by tests. What always holds: a rotation is never due before the date that was
 * promised nor sooner than notice_days after its notice was accepted; an old secret is never due to
 * end before its successor was used or delivered, unless the tier says `retire` for a link that
 * nobody used. */
#include "core/rotation.h"

#include "base/compiler.h"
#include "core/period.h"

static const char *const status_names[] = {
    [ROTATION_HIDDEN] = "",
    [ROTATION_SCHEDULED] = "scheduled",
    [ROTATION_NOTIFIED] = "notified",
    [ROTATION_ROTATED] = "rotated",
    [ROTATION_POSTPONED] = "postponed",
    [ROTATION_RETIRED] = "retired",
};

const char *rotation_status_name(enum rotation_status status)
{
    return status_names[status];
}

bool rotation_status_parse(struct span word, enum rotation_status *status)
{
    for (unsigned i = ROTATION_SCHEDULED; i < COUNT_OF(status_names); i++) {
        if (!span_is(word, status_names[i])) continue;
        *status = (enum rotation_status)i;
        return true;
    }
    return false;
}

const char *rotation_step_name(enum rotation_step step)
{
    switch (step) {
    case ROTATION_NONE:
        break;
    case ROTATION_NOTICE:
        return "notice";
    case ROTATION_ROTATE:
        return "rotate";
    case ROTATION_RETIRE:
        return "retire";
    case ROTATION_EXPIRING:
        return "expiring";
    case ROTATION_REMIND:
        return "remind";
    }
    return "";
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The earlier of two times, 0 being none. */
static int64_t earlier_of(int64_t a, int64_t b)
{
    if (!a || !b) return a ? a : b;
    return a < b ? a : b;
}

int64_t rotation_notice_at(const struct tier *tier, int64_t at_ms, int64_t from_ms)
{
    return later(from_ms, at_ms - tier->notice_days * DAY_MS);
}

int64_t rotation_date(const struct tier *tier, int64_t issued_at)
{
    return tier->rotation_days ? issued_at + tier->rotation_days * DAY_MS : 0;
}

static struct rotation_plan plan_at(enum rotation_step step, int64_t due_at, int64_t now_ms)
{
    return (struct rotation_plan){
        .step = step, .due_at = due_at, .due = now_ms >= due_at, .look_at = due_at};
}

/* It would be done, but for what holds it back. */
static struct rotation_plan plan_held(enum rotation_step step, int64_t due_at, int64_t now_ms,
                                      int64_t pause_s)
{
    struct rotation_plan plan = plan_at(step, due_at, now_ms);
    plan.held = plan.due;
    plan.due = false;
    if (plan.held) plan.look_at = now_ms + pause_s * 1000;
    return plan;
}

/* Before the next secret. */
static struct rotation_plan plan_rotation(const struct tier *tier,
                                          const struct rotation_facts *facts, int64_t now_ms)
{
    int64_t rotates_at = facts->rotates_at;
    if (facts->off || !rotates_at) return (struct rotation_plan){0};
    if (!facts->notified) {
        int64_t at = rotation_notice_at(tier, rotates_at, facts->issued_at);
        bool ends_before = facts->key_expires_at && facts->key_expires_at <= rotates_at;
        if (facts->asleep || ends_before)
            return plan_held(ROTATION_NOTICE, at, now_ms, ROTATION_SLEEP_S);
        return plan_at(ROTATION_NOTICE, at, now_ms);
    }
    if (!facts->noticed_at) return plan_held(ROTATION_ROTATE, rotates_at, now_ms, ROTATION_POLL_S);
    int64_t at = later(rotates_at, facts->noticed_at + tier->notice_days * DAY_MS);
    if (facts->asleep) return plan_held(ROTATION_ROTATE, at, now_ms, ROTATION_SLEEP_S);
    if (facts->overlaps) return plan_held(ROTATION_ROTATE, at, now_ms, ROTATION_POLL_S);
    return plan_at(ROTATION_ROTATE, at, now_ms);
}

/* The next secret was neither used nor, as far as is known, delivered. */
static struct rotation_plan plan_waiting(const struct tier *tier,
                                         const struct rotation_facts *facts, int64_t now_ms)
{
    int64_t limit = facts->rotated_at + tier->max_overlap_days * DAY_MS;
    if (facts->by_claim && tier->on_unclaimed == ON_UNCLAIMED_RETIRE)
        return plan_at(ROTATION_RETIRE, limit, now_ms);
    bool over = now_ms >= limit;
    return (struct rotation_plan){
        .step = ROTATION_RETIRE,
        .decide = over && !facts->kept,
        .look_at = over ? now_ms + ROTATION_SLEEP_S * INT64_C(1000) : limit,
    };
}

static struct rotation_plan plan_retirement(const struct tier *tier,
                                            const struct rotation_facts *facts, int64_t now_ms)
{
    if (facts->ends_at) return plan_at(ROTATION_RETIRE, facts->ends_at, now_ms);
    int64_t hard_stop =
        facts->delivered_at ? facts->delivered_at + tier->hard_stop_days * DAY_MS : 0;
    int64_t graced = facts->used_at ? facts->used_at + tier->grace_seconds * INT64_C(1000) : 0;
    int64_t at = earlier_of(hard_stop, graced);
    return at ? plan_at(ROTATION_RETIRE, at, now_ms) : plan_waiting(tier, facts, now_ms);
}

struct rotation_plan rotation_plan(const struct tier *tier, const struct rotation_facts *facts,
                                   int64_t now_ms)
{
    if (facts->retired) return (struct rotation_plan){0};
    if (facts->rotated_at) return plan_retirement(tier, facts, now_ms);
    return plan_rotation(tier, facts, now_ms);
}
