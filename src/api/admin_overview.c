/* The dashboard's first page. Called by its routing on the loop thread; the figures are read by a
 * job of the readers, and rotations and alerts by the API's own calls. What always holds: what is
 * counted is what is folded, a second behind the calls at most. */
#include "api/admin.h"
#include "api/admin_chart.h"
#include "api/request.h"
#include "base/clock.h"
#include "io/db_pool.h"
#include "service/context.h"
#include "store/overview.h"

enum { BUCKETS_MAX = 64 };

struct figures {
    struct db_job job;
    struct admin_page *page;
    struct admin_range range;
    int64_t now_ms, starts[BUCKETS_MAX];
    size_t buckets;
    struct usage_counts usage[BUCKETS_MAX];
    struct overview_counts counts;
    struct overview_customer top[OVERVIEW_TOP];
    size_t top_count;
    struct arena arena;
};

static enum err figures_run(struct db *db, struct db_job *job)
{
    struct figures *figures = CONTAINER_OF(job, struct figures, job);
    arena_done(&figures->arena);
    memset(figures->usage, 0, sizeof figures->usage);
    enum err error = overview_count(db, figures->now_ms, &figures->counts);
    if (!error)
        error = overview_usage(db, figures->starts, figures->buckets, figures->range.to,
                               figures->usage);
    if (!error)
        error =
            overview_top(db, figures->now_ms, &figures->arena, figures->top, &figures->top_count);
    return error;
}

static json_t *usage_json(const struct figures *figures)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < figures->buckets; i++) {
        const struct usage_counts *usage = &figures->usage[i];
        char start[TIME_TEXT_SIZE];
        time_format(start, figures->starts[i]);
        if (json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I}", "start", start,
                                                  "allowed", (json_int_t)usage->allowed,
                                                  "denied_quota", (json_int_t)usage->denied_quota,
                                                  "denied_rate", (json_int_t)usage->denied_rate,
                                                  "denied_other", (json_int_t)usage->denied_other)))
            break;
    }
    return list;
}

static json_t *counts_json(const struct overview_counts *counts)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:b}",
        "keys_active", (json_int_t)counts->keys_active, "keys_disabled",
        (json_int_t)counts->keys_disabled, "keys_suspended", (json_int_t)counts->keys_suspended,
        "keys_revoked", (json_int_t)counts->keys_revoked, "customers",
        (json_int_t)counts->customers, "mails_waiting", (json_int_t)counts->mails_waiting,
        "mails_dead", (json_int_t)counts->mails_dead, "mails_sent", (json_int_t)counts->mails_sent,
        "past_due", (json_int_t)counts->past_due, "suspended", (json_int_t)counts->suspended,
        "readings_failing", (json_int_t)counts->readings_failing, "alerts_open",
        (json_int_t)counts->alerts_open, "rotations_due", (json_int_t)counts->rotations_due,
        "has_alerts", counts->alerts_open > 0, "mail_bad", counts->mails_dead > 0, "payment_bad",
        counts->readings_failing > 0, "payment_warns", counts->past_due + counts->suspended > 0);
}

static json_t *top_json(const struct figures *figures)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < figures->top_count; i++) {
        const struct overview_customer *row = &figures->top[i];
        char id[ID_TEXT_SIZE];
        uint64_t share = row->has_quota && row->quota ? row->used * 100 / row->quota : 0;
        id_format(id, "cus", row->id);
        json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:b, s:I, s:I, s:s}", "id", id, "name",
                                   row->external_id ? row->external_id : id, "tier", row->tier,
                                   "used", (json_int_t)row->used, "has_quota", row->has_quota,
                                   "quota", (json_int_t)row->quota, "share",
                                   (json_int_t)(share > 100 ? 100 : share), "level",
                                   share >= 100  ? "bad"
                                   : share >= 80 ? "warn"
                                                 : "");
        if (json_array_append_new(list, object)) break;
    }
    return list;
}

static void figures_done(struct db_job *job, enum err error)
{
    struct figures *figures = CONTAINER_OF(job, struct figures, job);
    struct admin_page *page = figures->page;
    struct arena arena = figures->arena;
    if (error) {
        admin_page_fail(page, error, NULL);
    } else {
        json_t *usage = usage_json(figures);
        json_t *counts = counts_json(&figures->counts), *top = top_json(figures);
        admin_page_words(counts);
        admin_page_words(top);
        admin_page_set(page, "chart", admin_chart_make(usage, &figures->range));
        admin_page_set(page, "counts", counts);
        admin_page_set(page, "top", top);
        json_decref(usage);
        admin_page_show(page);
    }
    arena_done(&arena);
}

static void figures_start(struct admin_page *page)
{
    struct http_request *request = page->request;
    struct figures *figures = ARENA_NEW(&request->arena, struct figures);
    if (!figures) {
        admin_page_fail(page, ERR_NO_MEMORY, NULL);
        return;
    }
    figures->job = (struct db_job){.run = figures_run, .done = figures_done};
    figures->page = page;
    figures->now_ms = clock_wall_ms();
    figures->range = admin_range_read(request);
    int64_t unit = INT64_C(1000) * (figures->range.hours ? 3600 : 86400);
    for (int64_t at = figures->range.from; at < figures->range.to && figures->buckets < BUCKETS_MAX;
         at += unit)
        figures->starts[figures->buckets++] = at;
    enum err error = db_submit(request_service(request)->readers, &figures->job);
    if (error) admin_page_fail(page, error, NULL);
}

struct verdict handle_admin_overview(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_overview", "Overview", "overview");
    if (!page) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    admin_page_part(page, "alerts", "/v1/alerts", "status=open&limit=5");
    admin_page_part(page, "rotations", "/v1/rotations", "status=notified&limit=5");
    page->finish = figures_start;
    return admin_page_run(page);
}
