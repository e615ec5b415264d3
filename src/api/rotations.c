/* Rotations: what is to come, and doing what is due. Called by the routing on the loop thread; the
 * list is a job of the readers, a run is the rotator's (service/rotator.h). What always holds: each
 * generation of a key shows one row, its next step or its retirement. */
#include "api/rotations.h"

#include "api/auth.h"
#include "api/reading.h"
#include "base/json.h"
#include "service/context.h"
#include "service/rotator.h"
#include "store/rotation.h"

struct rotations_reading {
    struct reading reading;
    struct page page;
    struct rotation_filter filter;
    struct rotation_view *views;
    size_t count;
};

static enum err list_run(struct db *db, struct reading *reading)
{
    struct rotations_reading *list = CONTAINER_OF(reading, struct rotations_reading, reading);
    return rotation_list(db, &list->filter, &reading->arena, &list->views, &list->count);
}

static const char *waits_for(const struct rotation_row *row)
{
    if (row->done_at || row->waited_at || row->due_at > 0) {
        bool notice = row->step == ROTATION_ROTATE && !row->waited_at && !row->done_at;
        return notice ? "notice" : NULL;
    }
    return row->step == ROTATION_RETIRE ? "delivery" : NULL;
}

static void rotation_view_put(struct buf *out, const struct rotation_view *view)
{
    const struct rotation_row *row = &view->row;
    json_open(out, NULL, '{');
    json_put_id(out, "key_id", "key", row->key_id);
    json_put_id(out, "customer_id", "cus", view->customer_id);
    json_put_u64(out, "secret_version", row->generation);
    json_put_string(out, "status", rotation_status_name(row->status));
    json_put_string(out, "step", rotation_step_name((enum rotation_step)row->step));
    json_put_time(out, "due_at", row->due_at);
    json_put_string(out, "waits_for", waits_for(row));
    json_put_time(out, "since", row->created_at);
    json_put_time(out, "done_at", row->done_at);
    json_close(out, '}');
}

static void list_write(struct reading *reading, struct buf *out)
{
    struct rotations_reading *list = CONTAINER_OF(reading, struct rotations_reading, reading);
    bool more = list->count > list->page.limit;
    size_t shown = more ? list->page.limit : list->count;
    page_begin(out);
    for (size_t i = 0; i < shown; i++)
        rotation_view_put(out, &list->views[i]);
    page_end(out, more ? list->views[shown - 1].id : 0);
}

struct verdict handle_rotations_list(struct http_request *request)
{
    static const char *const names[] = {"status", NULL};
    struct problem problem = {0};
    struct rotations_reading *list = ARENA_NEW(&request->arena, struct rotations_reading);
    if (!list) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!page_read(request, names, &list->page, &problem)) return problem_reply(request, &problem);
    struct span status = query_text(request, "status");
    list->filter = (struct rotation_filter){.before = list->page.before,
                                            .limit = list->page.limit + (size_t)1};
    if (status.data && !rotation_status_parse(status, &list->filter.status)) {
        problem_add_field(&problem, "query.status",
                          "must be one of: scheduled, notified, rotated, postponed, retired");
        return problem_reply(request, &problem);
    }
    list->reading.run = list_run;
    list->reading.write = list_write;
    return reading_submit(&list->reading, request);
}

/* ---- running ---- */

struct run_call {
    struct rotator_run run;
    struct http_request *request;
};

static void run_done(struct rotator_run *run)
{
    struct http_request *request = CONTAINER_OF(run, struct run_call, run)->request;
    struct buf out = {0};
    if (run->failed) {
        problem_finish_error(request, ERR_DB_LOST, NULL);
        return;
    }
    json_open(&out, NULL, '{');
    json_put_u64(&out, "notified", run->notified);
    json_put_u64(&out, "rotated", run->rotated);
    json_put_u64(&out, "retired", run->retired);
    json_put_u64(&out, "reminded", run->others);
    json_put_u64(&out, "due", run->due);
    json_put_bool(&out, "paused", run->paused);
    json_close(&out, '}');
    finish_json(request, 200, &out);
}

struct verdict handle_rotations_run(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct run_call *call = ARENA_NEW(&request->arena, struct run_call);
    if (!call) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!body_open_optional(&body, request)) return problem_reply(request, &body.problem);
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    struct rotator *rotator = request_service(request)->rotator;
    if (!rotator) return problem_reply_error(request, ERR_CLOSED, NULL);
    call->request = request;
    call->run.done = run_done;
    rotator_run(rotator, &call->run);
    return http_pending(request);
}
