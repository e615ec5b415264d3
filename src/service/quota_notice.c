/* The step behind the fold that tells a quota's use. Called each second from the meter's background
 * work with the marks that folds have left (store/quota_notice.h), this node's or another's. What
 * always holds: the mails, what was told and the end of the mark are one transaction; use and limit
 * are read again in it; and nobody waits here for a customer that is locked. */
#include "service/quota_notice.h"

#include "base/json.h"
#include "base/log.h"
#include "core/period.h"
#include "core/tier.h"
#include "service/context.h"
#include "service/notice.h"
#include "service/operation.h"
#include "store/customer.h"
#include "store/entitlement.h"
#include "store/node.h"
#include "store/tier.h"

#include <stdlib.h>

struct telling {
    struct operation operation;
    struct quota_due due;
    unsigned node, incarnation;
    struct arena arena;
    struct customer_row customer;
    struct tier_row tier;
    struct period period;
    uint64_t used;
};

/* `number` sets mails of several limits of one period apart. */
static enum err tell(struct db *db, struct telling *telling, const char *kind)
{
    const struct tier *tier = &telling->tier.tier;
    uint64_t limit = tier->monthly_quota, used = telling->used;
    struct notice notice CLEANUP(notice_done) = {
        .kind = kind,
        .customer = &telling->customer,
        .generation = (uint32_t)(telling->due.period_start / DAY_MS),
        .number = (uint32_t)(limit & INT32_MAX),
    };
    struct buf *out = &notice.context;
    json_open(out, NULL, '{');
    json_put_string(out, "tier", tier->slug);
    json_put_u64(out, "used", used);
    json_put_u64(out, "limit", limit);
    json_put_u64(out, "remaining", used < limit ? limit - used : 0);
    json_put_i64(out, "period_start", telling->period.start_ms);
    json_put_i64(out, "resets_at", telling->period.next_ms);
    json_put_bool(out, "blocked", tier->overage == OVERAGE_BLOCK);
    enum err error = notice_queue(db, &telling->operation, &notice, NULL);
    /* Without an address there is nobody to tell. */
    return error == ERR_NOT_FOUND || error == ERR_EXISTS ? ERR_OK : error;
}

/* The customer's tier and running period. ERR_NOT_FOUND: there is nothing to be told of. */
static enum err facts_read(struct db *db, struct telling *telling)
{
    struct entitlement_row entitlement;
    const struct quota_due *due = &telling->due;
    enum err error = entitlement_find(db, due->customer_id, &telling->arena, &entitlement);
    if (!error) error = tier_row_find(db, span_text(entitlement.tier), &telling->tier);
    if (error) return error;
    telling->period = period_at(&entitlement.months, telling->operation.now_ms);
    bool runs = telling->period.start_ms == due->period_start;
    return runs && telling->tier.tier.has_quota ? ERR_OK : ERR_NOT_FOUND;
}

static enum err tell_due(struct db *db, struct telling *telling)
{
    struct quota_told told;
    uint64_t limit = telling->tier.tier.monthly_quota;
    enum err error = quota_told_lock(db, &telling->due, &telling->used, &told);
    if (error) return error;
    struct quota_notices notices = quota_notices_due(limit, telling->used, &told);
    bool mails = telling->operation.service->mails;
    if (notices.at_80 && mails) error = tell(db, telling, "quota_80");
    if (notices.at_100 && mails && !error) error = tell(db, telling, "quota_100");
    if (error || (!notices.at_80 && !notices.at_100)) return error;
    if (notices.at_80) told.at_80 = limit;
    if (notices.at_100) told.at_100 = limit;
    return quota_told_write(db, &telling->due, &told);
}

static enum err telling_run(struct db *db, struct operation *operation)
{
    struct telling *telling = CONTAINER_OF(operation, struct telling, operation);
    struct customer_name name = {.id = telling->due.customer_id};
    size_t locked = 0;
    arena_done(&telling->arena);
    enum err error = node_hold(db, telling->node, telling->incarnation);
    if (!error) error = quota_due_lock(db, telling->due.id);
    if (error) return error;
    error = customer_try_lock(db, &name.id, 1, &telling->arena, &telling->customer, &locked);
    if (!error && locked) {
        error = facts_read(db, telling);
        if (!error) error = tell_due(db, telling);
    } else if (!error) {
        /* Erased, or locked: then the next second looks again. */
        error = customer_find(db, &name, &telling->arena, &telling->customer);
        if (!error) return ERR_NOT_FOUND;
    }
    if (error && error != ERR_NOT_FOUND) return error;
    return quota_due_remove(db, telling->due.id);
}

static void telling_done(struct operation *operation, enum err error)
{
    struct telling *telling = CONTAINER_OF(operation, struct telling, operation);
    operation->service->quota_tellings--;
    if (error && error != ERR_NOT_FOUND && error != ERR_FENCED && error != ERR_DB_RETRY)
        log_event(LOG_WARN, "quota_notice_failed", "%s", err_name(error));
    arena_done(&telling->arena);
    free(telling);
}

void quota_notices_submit(struct service *service, unsigned node, unsigned incarnation,
                          const struct quota_due *due, size_t count)
{
    if (!service->committer || service->quota_tellings) return;
    for (size_t i = 0; i < count; i++) {
        struct telling *telling = calloc(1, sizeof *telling);
        if (!telling) return;
        telling->operation.service = service;
        telling->operation.run = telling_run;
        telling->operation.done = telling_done;
        telling->due = due[i];
        telling->node = node;
        telling->incarnation = incarnation;
        if (operation_submit(&telling->operation)) {
            free(telling);
            return;
        }
        service->quota_tellings++;
    }
}
