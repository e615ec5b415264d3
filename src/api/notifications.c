/* Mails in the outbox, as lists and to be sent again. Called by the routing on the loop thread;
 * reads are jobs of the readers, retrying is an operation of the committer. What always holds:
 * neither an address nor a mail's text leaves by these calls. */
#include "api/notifications.h"

#include "api/auth.h"
#include "api/reading.h"
#include "base/codec.h"
#include "base/json.h"
#include "service/context.h"
#include "service/operation.h"
#include "store/outbox.h"

struct notifications_reading {
    struct reading reading;
    struct page page;
    struct outbox_filter filter;
    struct outbox_view *views;
    size_t count;
};

static void notification_put(struct buf *out, const struct outbox_view *view)
{
    bool waits =
        span_is(span_text(view->state), "queued") || span_is(span_text(view->state), "retry");
    json_open(out, NULL, '{');
    json_put_id(out, "id", "ntf", view->id);
    json_put_string(out, "kind", view->kind);
    json_put_id(out, "customer_id", "cus", view->customer_id);
    json_put_id(out, "key_id", "key", view->key_id);
    if (view->key_id && view->generation)
        json_put_u64(out, "generation", view->generation);
    else
        json_put_null(out, "generation");
    json_put_string(out, "state", view->state);
    json_put_u64(out, "attempts", view->attempts);
    json_put_time(out, "next_attempt_at", waits ? view->next_at : 0);
    json_put_string(out, "error", view->error);
    json_put_time(out, "created_at", view->queued_at);
    json_put_time(out, "sent_at", view->accepted_at);
    json_close(out, '}');
}

static enum err list_run(struct db *db, struct reading *reading)
{
    struct notifications_reading *list =
        CONTAINER_OF(reading, struct notifications_reading, reading);
    return outbox_list(db, &list->filter, &reading->arena, &list->views, &list->count);
}

static void list_write(struct reading *reading, struct buf *out)
{
    struct notifications_reading *list =
        CONTAINER_OF(reading, struct notifications_reading, reading);
    bool more = list->count > list->page.limit;
    size_t shown = more ? list->page.limit : list->count;
    page_begin(out);
    for (size_t i = 0; i < shown; i++)
        notification_put(out, &list->views[i]);
    page_end(out, more ? list->views[shown - 1].id : 0);
}

struct verdict handle_notifications_list(struct http_request *request)
{
    static const char *const names[] = {"key_id", "customer_id", NULL};
    struct problem problem = {0};
    struct customer_ref ref = {0};
    struct notifications_reading *list = ARENA_NEW(&request->arena, struct notifications_reading);
    if (!list) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!page_read(request, names, &list->page, &problem)) return problem_reply(request, &problem);
    struct span key = query_text(request, "key_id"), customer = query_text(request, "customer_id");
    list->filter =
        (struct outbox_filter){.before = list->page.before, .limit = list->page.limit + (size_t)1};
    if (key.data && !id_parse(key, "key", &list->filter.key_id))
        problem_add_field(&problem, "query.key_id", "must be a key's id (key_…)");
    if (customer.data && !customer_ref_parse(customer, &ref))
        problem_add_field(&problem, "query.customer_id", "must be a customer's id or external_id");
    if (key.data && customer.data)
        problem_add_field(&problem, "query.customer_id", "must not stand beside key_id");
    if (problem.field_count) return problem_reply(request, &problem);
    list->filter.customer_id = ref.id;
    list->filter.external_id = ref.external_id;
    list->reading.run = list_run;
    list->reading.write = list_write;
    return reading_submit(&list->reading, request);
}

/* ---- sending again ---- */

struct retry_call {
    struct operation operation;
    uint64_t id;
    struct outbox_view view;
    struct arena arena;
};

static enum err retry_run(struct db *db, struct operation *operation)
{
    struct retry_call *call = CONTAINER_OF(operation, struct retry_call, operation);
    char subject[ID_TEXT_SIZE];
    bool changed = false;
    arena_done(&call->arena);
    enum err error = outbox_retry(db, call->id, operation->now_ms, &changed);
    if (!error) error = outbox_find(db, call->id, &call->arena, &call->view);
    if (error == ERR_NOT_FOUND)
        return problem_set(&operation->problem, 404, "not_found", "There is no such notification.");
    if (error) return error;
    if (changed) {
        id_format(subject, "ntf", call->id);
        operation_audit(operation, "notification.retry", subject, call->view.customer_id, NULL);
        return ERR_OK;
    }
    if (span_is(span_text(call->view.state), "sent"))
        return problem_set(
            &operation->problem, 409, "already_sent",
            "The mail was sent, and nothing of it is kept that could be sent again.");
    return ERR_OK; /* it is on its way */
}

static void retry_done(struct operation *operation, enum err error)
{
    struct retry_call *call = CONTAINER_OF(operation, struct retry_call, operation);
    struct http_request *request = operation->request;
    struct arena arena = call->arena;
    if (error) {
        problem_finish_error(request, error, &operation->problem);
    } else {
        struct buf out = {0};
        notification_put(&out, &call->view);
        finish_json(request, 200, &out);
    }
    arena_done(&arena);
}

struct verdict handle_notification_retry(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct retry_call *call = ARENA_NEW(&request->arena, struct retry_call);
    if (!call) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!path_id(request, 0, "ntf", &call->id))
        return problem_reply_not_found(request, "notification");
    if (!body_open_optional(&body, request)) return problem_reply(request, &body.problem);
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    call->operation.service = request_service(request);
    call->operation.request = request;
    call->operation.token_id = caller_of(request)->token_id;
    call->operation.run = retry_run;
    call->operation.done = retry_done;
    enum err error = operation_submit(&call->operation);
    if (error) return problem_reply_error(request, error, NULL);
    return http_pending(request);
}
