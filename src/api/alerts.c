/* Alerts: the list, and acknowledging one. Called by the routing on the loop thread; the read is a
 * job of the readers, acknowledging an operation of the committer. What always holds: an
 * acknowledged alert keeps who did it, and what it was about may raise a new one. */
#include "api/auth.h"
#include "api/notifications.h"
#include "api/reading.h"
#include "base/codec.h"
#include "base/json.h"
#include "service/context.h"
#include "service/operation.h"
#include "store/alert.h"

struct alerts_reading {
    struct reading reading;
    struct page page;
    enum alert_which which;
    struct alert_row *rows;
    size_t count;
};

static void alert_put(struct buf *out, const struct alert_row *row)
{
    json_open(out, NULL, '{');
    json_put_id(out, "id", "alr", row->id);
    json_put_string(out, "kind", row->kind);
    json_put_string(out, "subject", row->subject);
    json_put_id(out, "customer_id", "cus", row->customer_id);
    json_put_string(out, "status", row->acknowledged_at ? "acknowledged" : "open");
    json_put_raw(out, "detail", span_text(row->detail));
    json_put_u64(out, "times", row->times);
    json_put_time(out, "created_at", row->created_at);
    json_put_time(out, "last_at", row->last_at);
    json_put_time(out, "acknowledged_at", row->acknowledged_at);
    json_put_string(out, "acknowledged_by", row->acknowledged_by);
    json_close(out, '}');
}

static enum err list_run(struct db *db, struct reading *reading)
{
    struct alerts_reading *list = CONTAINER_OF(reading, struct alerts_reading, reading);
    return alert_list(db, list->which, list->page.before, list->page.limit + (size_t)1,
                      &reading->arena, &list->rows, &list->count);
}

static void list_write(struct reading *reading, struct buf *out)
{
    struct alerts_reading *list = CONTAINER_OF(reading, struct alerts_reading, reading);
    bool more = list->count > list->page.limit;
    size_t shown = more ? list->page.limit : list->count;
    page_begin(out);
    for (size_t i = 0; i < shown; i++)
        alert_put(out, &list->rows[i]);
    page_end(out, more ? list->rows[shown - 1].id : 0);
}

struct verdict handle_alerts_list(struct http_request *request)
{
    static const char *const names[] = {"status", NULL};
    struct problem problem = {0};
    struct alerts_reading *list = ARENA_NEW(&request->arena, struct alerts_reading);
    if (!list) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!page_read(request, names, &list->page, &problem)) return problem_reply(request, &problem);
    struct span status = query_text(request, "status");
    if (span_is(status, "open"))
        list->which = ALERT_OPEN;
    else if (span_is(status, "acknowledged"))
        list->which = ALERT_ACKNOWLEDGED;
    else if (status.data) {
        problem_add_field(&problem, "query.status", "must be one of: open, acknowledged");
        return problem_reply(request, &problem);
    }
    list->reading.run = list_run;
    list->reading.write = list_write;
    return reading_submit(&list->reading, request);
}

/* ---- acknowledging ---- */

struct ack_call {
    struct operation operation;
    uint64_t id;
    struct alert_row row;
    struct arena arena;
};

static enum err ack_run(struct db *db, struct operation *operation)
{
    struct ack_call *call = CONTAINER_OF(operation, struct ack_call, operation);
    char subject[ID_TEXT_SIZE];
    bool changed = false;
    arena_done(&call->arena);
    enum err error = alert_acknowledge(db, call->id, operation->actor, operation->now_ms, &changed);
    if (!error) error = alert_find(db, call->id, &call->arena, &call->row);
    if (error == ERR_NOT_FOUND)
        return problem_set(&operation->problem, 404, "not_found", "There is no such alert.");
    if (error || !changed) return error;
    id_format(subject, "alr", call->id);
    operation_audit(operation, "alert.ack", subject, call->row.customer_id, NULL);
    return ERR_OK;
}

static void ack_done(struct operation *operation, enum err error)
{
    struct ack_call *call = CONTAINER_OF(operation, struct ack_call, operation);
    struct http_request *request = operation->request;
    struct arena arena = call->arena;
    if (error) {
        problem_finish_error(request, error, &operation->problem);
    } else {
        struct buf out = {0};
        alert_put(&out, &call->row);
        finish_json(request, 200, &out);
    }
    arena_done(&arena);
}

struct verdict handle_alert_ack(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct ack_call *call = ARENA_NEW(&request->arena, struct ack_call);
    if (!call) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!path_id(request, 0, "alr", &call->id)) return problem_reply_not_found(request, "alert");
    if (!body_open_optional(&body, request)) return problem_reply(request, &body.problem);
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    call->operation.service = request_service(request);
    call->operation.request = request;
    call->operation.token_id = caller_of(request)->token_id;
    call->operation.run = ack_run;
    call->operation.done = ack_done;
    enum err error = operation_submit(&call->operation);
    if (error) return problem_reply_error(request, error, NULL);
    return http_pending(request);
}
