/* Approving a tier. On the committer's thread, under the customer's lock. What always holds: an
 * approval is what pays from then on, so no provider is read for it; and it ends at its date, by
 * the tier's on_lapse, unless another one follows. */
#include "service/approval.h"

#include "base/codec.h"
#include "base/json.h"
#include "service/entitle.h"
#include "store/alert.h"
#include "store/payment_read.h"
#include "store/tier.h"

static enum err refuse(struct problem *problem, const char *field, const char *message)
{
    problem_add_field(problem, field, "%s", message);
    return ERR_DENIED;
}

static enum err note_down(struct db *db, struct approval *approval)
{
    struct operation *operation = &approval->operation;
    struct payment_approval_row row = {.id = id_new(),
                                       .customer_id = approval->customer_id,
                                       .tier = approval->tier,
                                       .note = approval->note ? approval->note : "",
                                       .until = approval->until,
                                       .created_at = operation->now_ms,
                                       .created_by = operation->actor};
    char subject[ID_TEXT_SIZE], id[ID_TEXT_SIZE], until[TIME_TEXT_SIZE];
    approval->id = row.id;
    approval->created_at = row.created_at;
    id_format(subject, "cus", approval->customer_id);
    id_format(id, "apr", row.id);
    time_format(until, row.until);
    const char *detail =
        arena_printf(&approval->arena, "{\"approval\":\"%s\",\"tier\":\"%s\",\"until\":\"%s\"}", id,
                     row.tier, until);
    operation_feed(operation, FEED_CUSTOMER, approval->customer_id);
    operation_audit(operation, "customer.payment_approve", subject, approval->customer_id, detail);
    return payment_approval_insert(db, &row);
}

/* The former one's end is none any more. Ahead of what the new one may have to raise: it may be
 * short. */
static enum err former_settle(struct db *db, struct approval *approval)
{
    char subject[ID_TEXT_SIZE];
    id_format(subject, "cus", approval->customer_id);
    return alert_settle(db, ALERT_APPROVAL_ENDING, subject, approval->operation.actor,
                        approval->operation.now_ms);
}

/* One that wants no payment would end by the approval's end, though it never had to be paid. */
static enum err tier_check(struct db *db, const struct approval *approval, struct problem *problem)
{
    struct tier_row row;
    enum err error = tier_row_find(db, span_text(approval->tier), &row);
    if (error == ERR_NOT_FOUND)
        return refuse(problem, "body.tier", "there is no such tier; GET /v1/tiers lists them");
    if (!error && !row.tier.requires_payment)
        return refuse(problem, "body.tier",
                      "wants no payment, so there is nothing to approve; PATCH /v1/customers/{id} "
                      "with this tier gives it");
    return error;
}

static enum err approval_run(struct db *db, struct operation *operation)
{
    struct approval *approval = CONTAINER_OF(operation, struct approval, operation);
    struct customer_row customer;
    struct entitle entitle = {.operation = operation,
                              .customer = &customer,
                              .arena = &approval->arena,
                              .cause = "approval",
                              .renamed = true};
    struct pay_facts facts = {.status = PAY_ACTIVE,
                              .tier = approval->tier,
                              .period_start = operation->now_ms,
                              .period_end = approval->until,
                              .ends_at = approval->until};
    arena_done(&approval->arena);
    enum err error = customer_lock(db, &approval->customer, &approval->arena, &customer);
    if (error == ERR_NOT_FOUND)
        return problem_set(&operation->problem, 404, "not_found", "There is no such customer.");
    if (approval->until <= operation->now_ms)
        return refuse(&operation->problem, "body.until", "must be in the future");
    if (!error) error = tier_check(db, approval, &operation->problem);
    if (!error) error = entitle_open(db, &entitle);
    if (error) return error;
    approval->customer_id = customer.id;
    entitle.rules.lower_at_once = true;
    entitle.after.refunded_at = 0;
    entitle.row.provider = "approval";
    entitle.row.reference = entitle.row.resolved_reference = NULL;
    error = entitle_read(db, &entitle, &facts);
    if (!error) error = payment_read_end(db, customer.id);
    if (!error) error = former_settle(db, approval);
    if (!error) error = entitle_save(db, &entitle);
    return error ? error : note_down(db, approval);
}

static void approval_committed(struct operation *operation, enum err error)
{
    struct approval *approval = CONTAINER_OF(operation, struct approval, operation);
    approval->done(approval, error);
}

enum err approval_submit(struct approval *approval)
{
    approval->operation.run = approval_run;
    approval->operation.done = approval_committed;
    return operation_submit(&approval->operation);
}

void approval_done(struct approval *approval)
{
    arena_done(&approval->arena);
}
