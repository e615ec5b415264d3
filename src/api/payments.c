/* Reconciliation and approvals. Called by the routing on the loop thread. What always holds: a page
 * of a reconciliation tells each customer's state before and after, also of a dry run, which
 * changes nothing. */
#include "api/payments.h"

#include "api/auth.h"
#include "api/idempotency.h"
#include "api/request.h"
#include "base/clock.h"
#include "base/json.h"
#include "core/entitlement.h"
#include "service/approval.h"
#include "service/context.h"
#include "service/payment_work.h"
#include "service/reconciler.h"

#include <stdlib.h>

enum { NOTE_MAX = 1000 };

/* ---- reconciliation ---- */

static void work_put(struct buf *out, const struct payment_work *work, bool unread)
{
    json_open(out, NULL, '{');
    json_put_id(out, "customer_id", "cus", work->due.customer_id);
    json_put_string(out, "external_id", work->due.external_id);
    json_put_bool(out, "read", !unread && work->before != NULL);
    json_put_bool(out, "changed", !unread && work->changed);
    bool shown = !unread && work->before && work->after;
    json_put_raw(out, "before", shown ? span_text(work->before) : SPAN("null"));
    json_put_raw(out, "after", shown ? span_text(work->after) : SPAN("null"));
    json_close(out, '}');
}

static void page_answer(struct reconcile_page *page, enum err error)
{
    struct http_request *request = page->context;
    struct buf out = {0};
    if (!error) {
        page_begin(&out);
        for (size_t i = 0; i < page->count; i++)
            work_put(&out, page->works[i], page->unread[i]);
        page_end(&out, page->last);
    }
    reconcile_page_done(page);
    free(page);
    if (error)
        problem_finish_error(request, error, NULL);
    else
        finish_json(request, 200, &out);
}

struct verdict handle_payments_reconcile(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct service *service = request_service(request);
    struct page cursor = {0};
    bool dry = false;
    if (!body_open_optional(&body, request)) return problem_reply(request, &body.problem);
    field_not_null(&body.fields, "dry_run", field_bool(&body.fields, "dry_run", &dry));
    if (!body_finish(&body) || !page_read(request, NULL, &cursor, &body.problem))
        return problem_reply(request, &body.problem);
    struct reconcile_page *page = calloc(1, sizeof *page);
    if (!page) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    page->dry = dry;
    page->after = cursor.before;
    page->limit = cursor.limit;
    page->context = request;
    page->done = page_answer;
    enum err error = reconcile_page_start(service->reconciler, page);
    if (!error) return http_pending(request);
    free(page);
    return problem_reply_error(request, error, NULL);
}

/* ---- approvals ---- */

static void approval_write(struct operation *operation, struct buf *out)
{
    const struct approval *approval = CONTAINER_OF(operation, struct approval, operation);
    json_open(out, NULL, '{');
    json_put_id(out, "id", "apr", approval->id);
    json_put_id(out, "customer_id", "cus", approval->customer_id);
    json_put_string(out, "tier", approval->tier);
    json_put_time(out, "until", approval->until);
    json_put_string(out, "note", approval->note ? approval->note : "");
    json_put_time(out, "created_at", approval->created_at);
    json_close(out, '}');
}

static void approval_answer(struct approval *approval, enum err error)
{
    struct http_request *request = approval->operation.request;
    struct answer answer = answer_take(&approval->operation, error);
    approval_done(approval);
    answer_finish(request, &answer);
}

struct verdict handle_approval_create(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct customer_ref ref;
    struct approval *approval = ARENA_NEW(&request->arena, struct approval);
    if (!approval) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!customer_ref_parse(path_text(request, 0), &ref))
        return problem_reply_not_found(request, "customer");
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    struct fields *fields = &body.fields;
    field_required(fields, "tier",
                   field_word(fields, "tier", 1, TIER_SLUG_SIZE - 1, &approval->tier));
    field_required(fields, "until", field_time(fields, "until", &approval->until));
    field_not_null(fields, "note", field_lines(fields, "note", 0, NOTE_MAX, &approval->note));
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    approval->customer = (struct customer_name){ref.id, ref.external_id};
    approval->operation.service = request_service(request);
    approval->operation.request = request;
    approval->operation.token_id = caller_of(request)->token_id;
    approval->operation.status = 201;
    approval->operation.write = approval_write;
    approval->done = approval_answer;
    enum err error = approval_submit(approval);
    return error ? problem_reply_error(request, error, NULL) : http_pending(request);
}
