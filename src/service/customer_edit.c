/* Editing customers. The look runs on a reader's thread, the payment is asked on the loop, the
 * commit is an operation of the committer under the customer's lock. What always holds: what an
 * edit leaves out stays as it is, and a paid tier begins only behind a confirmed payment. */
#include "service/customer_edit.h"

#include "base/codec.h"
#include "service/context.h"
#include "service/entitle.h"
#include "store/payment_read.h"
#include "store/tier.h"
#include "store/usage_snapshot.h"

#include <stdio.h>

static enum err not_found(struct problem *problem)
{
    return problem_set(problem, 404, "not_found", "There is no such customer.");
}

/* The tier that a new payment is for, where the edit names none. */
static const char *standing_tier(const struct entitlement_row *row)
{
    bool fell = span_is(span_text(row->status), "downgraded");
    return fell && row->paid_tier ? row->paid_tier : row->tier;
}

/* Whether the edit changes what pays, and so has to be asked first. */
static enum err wants_payment(struct db *db, struct customer_edit *edit,
                              const struct entitlement_row *now, struct problem *problem,
                              bool *wants)
{
    struct tier_row tier;
    const char *slug = edit->tier ? edit->tier : now->tier;
    if (!edit->tier && edit->reference) slug = standing_tier(now);
    bool other = !span_is(span_text(slug), now->tier);
    enum err error = tier_row_find(db, span_text(slug), &tier);
    if (error == ERR_NOT_FOUND) {
        problem_add_field(problem, "body.tier", "there is no such tier; GET /v1/tiers lists them");
        return ERR_DENIED;
    }
    if (error) return error;
    *wants = tier.tier.requires_payment && (other || edit->has_reference);
    memcpy(edit->prices, tier.tier.price_references, sizeof edit->prices);
    return ERR_OK;
}

/* ---- look ---- */

static enum err look_run(struct db *db, struct db_job *job)
{
    struct customer_edit *edit = CONTAINER_OF(job, struct customer_edit, look_job);
    struct problem *problem = &edit->operation.problem;
    struct customer_view view;
    *problem = (struct problem){0};
    arena_done(&edit->look_arena);
    enum err error = customer_view_find(db, edit->operation.service->keyring, &edit->customer, 0,
                                        &edit->look_arena, &view);
    if (!error && contact_change_wanted(&edit->contact))
        error = contact_change_look(db, edit->operation.service, &edit->contact, &edit->customer,
                                    problem);
    if (error == ERR_NOT_FOUND) return not_found(problem);
    if (!error && (edit->tier || edit->has_reference))
        error = wants_payment(db, edit, &view.entitlement, problem, &edit->asked);
    if (error) return error;
    edit->ask = (struct payment_ask){
        .external_id = view.external_id,
        .email = edit->contact.email ? edit->contact.email : view.email,
        .tier = edit->tier ? edit->tier : standing_tier(&view.entitlement),
        .reference = edit->has_reference ? edit->reference : view.entitlement.reference,
        .prices = edit->prices,
    };
    return ERR_OK;
}

/* ---- commit ---- */

/* A confirmed payment, for the tier that was asked for: it counts at once, be it smaller. */
static enum err take_paid(struct db *db, struct customer_edit *edit, struct entitle *entitle)
{
    const struct pay_reading *reading = &edit->ask.reading;
    struct pay_facts facts = {.status = reading->status,
                              .tier = edit->ask.tier,
                              .period_start = reading->period_start,
                              .period_end = reading->period_end};
    entitle->rules.lower_at_once = true;
    entitle->after.refunded_at = 0;
    entitle->row.provider = edit->ask.provider;
    entitle->row.reference = edit->ask.reference;
    entitle->row.resolved_reference = reading->reference[0] ? reading->reference : NULL;
    enum err error =
        payment_follow(db, entitle->row.customer_id, &edit->ask, edit->operation.now_ms);
    return error ? error : entitle_read(db, entitle, &facts);
}

/* To a tier that wants no payment: nothing is paid any more. */
static enum err take_free(struct db *db, struct entitle *entitle, const char *tier)
{
    uint32_t lapses = entitle->after.lapses;
    entitle->after = (struct entitlement){.state = ENTITLED_ACTIVE, .lapses = lapses};
    snprintf(entitle->after.tier, sizeof entitle->after.tier, "%s", tier);
    entitle->row.provider = "none";
    entitle->row.resolved_reference = NULL;
    return payment_read_end(db, entitle->row.customer_id);
}

/* Suspended at a tier that wants no payment (an approval of it ended, or it once did): naming it is
 * the way back. */
static enum err is_freed(struct db *db, const struct customer_edit *edit,
                         const struct entitlement *before, bool *freed)
{
    struct tier_row tier;
    *freed = false;
    if (!edit->tier || before->state != ENTITLED_SUSPENDED) return ERR_OK;
    enum err error = tier_row_find(db, span_text(edit->tier), &tier);
    *freed = !error && !tier.tier.requires_payment;
    return error;
}

static enum err apply_payment(struct db *db, struct customer_edit *edit,
                              const struct customer_row *customer)
{
    struct problem *problem = &edit->operation.problem;
    struct entitle entitle = {.operation = &edit->operation,
                              .customer = customer,
                              .arena = &edit->arena,
                              .cause = "call"};
    enum err error = entitle_open(db, &entitle);
    if (error) return error;
    const char *tier = edit->tier ? edit->tier : entitle.before.tier;
    bool wants = false, freed = false;
    error = wants_payment(db, edit, &entitle.row, problem, &wants);
    if (!error) error = is_freed(db, edit, &entitle.before, &freed);
    if (error) return error;
    if (wants && !edit->asked)
        return problem_set(problem, 409, "conflict",
                           "The customer or the tier was changed while the call ran; try again.");
    bool other = freed || !span_is(span_text(tier), entitle.before.tier);
    entitle.renamed = wants || other || edit->has_reference; /* else nothing is to be recorded */
    if (edit->has_reference) entitle.row.reference = edit->reference;
    if (wants)
        error = take_paid(db, edit, &entitle);
    else if (other)
        error = take_free(db, &entitle, tier);
    if (!error) error = entitle_save(db, &entitle);
    if (error != ERR_EXISTS) return error;
    return problem_set(problem, 409, "payment_reference_used",
                       "This payment reference pays for another customer already.");
}

static enum err apply(struct db *db, struct customer_edit *edit, struct customer_row *row)
{
    struct operation *operation = &edit->operation;
    struct entitlement_row before;
    char subject[ID_TEXT_SIZE];
    const char *detail = NULL;
    enum err error = entitlement_find(db, row->id, &edit->arena, &before);
    if (!error && (edit->tier || edit->has_reference)) error = apply_payment(db, edit, row);
    if (!error && contact_change_wanted(&edit->contact))
        error = contact_change_apply(db, operation, &edit->contact, row);
    if (!error)
        error = customer_seal(operation->service->keyring, edit->contact.email,
                              edit->has_name ? edit->name : NULL, &edit->arena, row);
    if (error) return error;
    if (edit->has_name && !edit->name) row->name_sealed = (struct span){0};
    if (edit->metadata) row->metadata = edit->metadata;
    if (edit->has_language) row->language = edit->language;
    /* Another one each time: it tells whether anything has changed since. */
    row->updated_at = version_next(row->updated_at, operation->now_ms);
    if (edit->tier && !span_is(span_text(edit->tier), before.tier))
        detail = arena_printf(&edit->arena, "{\"tier_before\":\"%s\",\"tier\":\"%s\"}", before.tier,
                              edit->tier);
    id_format(subject, "cus", row->id);
    operation_feed(operation, FEED_CUSTOMER, row->id);
    operation_audit(operation, "customer.update", subject, row->id, detail);
    error = customer_update(db, row);
    if (error) return error;
    return customer_view_find(db, operation->service->keyring, &edit->customer, operation->now_ms,
                              &edit->arena, &edit->view);
}

static enum err erase(struct db *db, struct customer_edit *edit, uint64_t id)
{
    char subject[ID_TEXT_SIZE];
    id_format(subject, "cus", id);
    operation_feed(&edit->operation, FEED_CUSTOMER, id);
    operation_audit(&edit->operation, "customer.delete", subject, id, NULL);
    return customer_erase(db, id, edit->operation.now_ms);
}

static enum err edit_run(struct db *db, struct operation *operation)
{
    struct customer_edit *edit = CONTAINER_OF(operation, struct customer_edit, operation);
    struct customer_row row;
    arena_done(&edit->arena);
    enum err error = customer_lock(db, &edit->customer, &edit->arena, &row);
    if (error == ERR_NOT_FOUND) return not_found(&operation->problem);
    if (!error)
        error = precondition_check(&edit->precondition, row.updated_at, &operation->problem);
    if (error) return error;
    return edit->erase ? erase(db, edit, row.id) : apply(db, edit, &row);
}

static enum err count_run(struct db *db, struct db_job *job)
{
    struct customer_edit *edit = CONTAINER_OF(job, struct customer_edit, count_job);
    enum err error = usage_snapshot_begin(db);
    if (!error) error = customer_view_count(db, &edit->view, 1, &edit->arena);
    usage_snapshot_end(db);
    return error;
}

static void count_done(struct db_job *job, enum err error)
{
    (void)error; /* then the view has what is folded */
    struct customer_edit *edit = CONTAINER_OF(job, struct customer_edit, count_job);
    edit->done(edit, ERR_OK);
}

static void edit_committed(struct operation *operation, enum err error)
{
    struct customer_edit *edit = CONTAINER_OF(operation, struct customer_edit, operation);
    if (!error && !edit->erase) {
        edit->count_job = (struct db_job){.run = count_run, .done = count_done};
        if (db_submit(operation->service->readers, &edit->count_job) == ERR_OK) return;
    }
    edit->done(edit, error);
}

/* ---- the steps ---- */

static enum err edit_commit(struct customer_edit *edit)
{
    edit->operation.run = edit_run;
    edit->operation.done = edit_committed;
    return operation_submit(&edit->operation);
}

static void edit_answered(struct payment_ask *ask, enum payment_result result)
{
    struct customer_edit *edit = ask->context;
    enum err error = ERR_DENIED;
    if (result == PAYMENT_CONFIRMED) {
        error = edit_commit(edit);
        if (!error) return;
    } else {
        edit->operation.problem = ask->problem;
    }
    edit->done(edit, error);
}

static void look_done(struct db_job *job, enum err error)
{
    struct customer_edit *edit = CONTAINER_OF(job, struct customer_edit, look_job);
    if (!error && edit->asked) {
        edit->ask.context = edit;
        edit->ask.done = edit_answered;
        error = payment_check(edit->operation.service, &edit->ask);
        if (error) edit->operation.problem = edit->ask.problem;
    } else if (!error) {
        error = edit_commit(edit);
    }
    if (error) edit->done(edit, error);
}

enum err customer_edit_start(struct customer_edit *edit)
{
    bool looks = edit->tier || edit->has_reference || contact_change_wanted(&edit->contact);
    if (edit->erase || !looks) return edit_commit(edit);
    edit->look_job = (struct db_job){.run = look_run, .done = look_done};
    return db_submit(edit->operation.service->readers, &edit->look_job);
}

void customer_edit_done(struct customer_edit *edit)
{
    contact_change_done(&edit->contact);
    arena_done(&edit->arena);
    arena_done(&edit->look_arena);
}
